"""`--processes`: a cluster of this machine's own processes, which lives as long as the command."""

import os
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from e2e_lab import REAL_SLOT_MS, SCRIPT, E2eLab, dzbgp, ended, environment, silence, started_lab
from test_cluster_runs import CANARY, clean, findings, without_password, without_times
from waiting import until

TIMEOUT_S = 30
QUICK_S = 15
"""Far below what a device may take, and above what ending the processes takes on a busy machine."""
ENOUGH = ("--processes", "2")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[E2eLab]:
    with started_lab(tmp_path, timeout_s=TIMEOUT_S, slot_ms=REAL_SLOT_MS, password=CANARY) as made:
        made.heal()
        yield made


def began(home: Path, *args: str, **env: str) -> "subprocess.Popen[str]":
    """A command in a process group of its own, as a shell starts one."""
    return subprocess.Popen(
        [SCRIPT, *args],
        cwd=home,
        env=environment(home, **env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def family(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """The processes that a command has started."""
    children: list[psutil.Process] = psutil.Process(process.pid).children(recursive=True)
    return children


def gone(processes: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=QUICK_S)[1]


def test_a_run_with_processes_sees_and_writes_as_with_threads(lab: E2eLab, tmp_path: Path) -> None:
    args = ["run", *lab.args, "--output", "json"]
    threads, processes = (clean(dzbgp(tmp_path, *args, "--dry-run", *more)) for more in ((), ENOUGH))
    assert (threads.code, processes.code) == (0, 0), processes.err
    assert without_times(processes.report) == without_times(threads.report)
    assert not any("Dask" in note for note in processes.report["notes"])
    said = [[line.partition(" ")[2] for line in done.err.splitlines()] for done in (processes, threads)]
    assert said[0] == said[1]
    done = clean(dzbgp(tmp_path, *args, *ENOUGH))
    assert done.code == 0, done.err
    assert done.report["summary"]["submitted"] == done.report["summary"]["to_submit"] > 0


def test_check_and_audit_ask_from_processes_too_which_have_the_login_of_the_environment(
    lab: E2eLab, tmp_path: Path
) -> None:
    without_password(lab)
    args = [word for word in lab.args if word not in {"--refresh-interval", "6h"}]
    check = clean(dzbgp(tmp_path, "check", *args, "--runner", "dask", DZBGP_EOS_PASSWORD=CANARY))
    assert check.code == 0, check.out + check.err
    ledger = ["--env", "localnet", "--rpc-url", lab.ledger.url, "--inventory", str(lab.inventory)]
    audits = [
        clean(dzbgp(tmp_path, "audit", *ledger, *more, "--output", "json", DZBGP_EOS_PASSWORD=CANARY))
        for more in ((), ENOUGH)
    ]
    assert findings(audits[0]) == findings(audits[1])


@pytest.mark.parametrize("wanted", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_group_ends_all_processes_in_order(
    lab: E2eLab, tmp_path: Path, wanted: signal.Signals
) -> None:
    silence(lab)
    process = began(tmp_path, "run", *lab.args, *ENOUGH)
    until(lambda: all(lab.fleet.requests(spec.code) for spec in lab.world.devices))
    children = family(process)
    assert len(children) >= 2
    os.killpg(process.pid, wanted)
    process.wait(QUICK_S)
    assert gone(children)
    done = clean(ended(process))
    assert (done.code, done.out, done.err) == (1, "", "error: interrupted; nothing was written\n")


def test_when_the_command_is_killed_its_processes_end_too(lab: E2eLab, tmp_path: Path) -> None:
    silence(lab)
    process = began(tmp_path, "run", *lab.args, *ENOUGH)
    until(lambda: all(lab.fleet.requests(spec.code) for spec in lab.world.devices))
    children = family(process)
    process.kill()
    process.wait(QUICK_S)
    assert gone(children)
    ended(process)


def talks_to_a_stranger(address: tuple[str, int], context: ssl.SSLContext) -> bool:
    """Whether a listener says anything to who has no certificate of the cluster."""
    try:
        with (
            socket.create_connection(address, timeout=QUICK_S) as plain,
            context.wrap_socket(plain) as encrypted,
        ):
            return encrypted.recv(1) != b""
    except (ssl.SSLError, ConnectionError):
        return False


def test_only_the_commands_own_processes_can_join_and_nothing_secret_is_in_their_arguments(
    lab: E2eLab, tmp_path: Path
) -> None:
    silence(lab)
    process = began(tmp_path, "run", *lab.args, *ENOUGH, DZBGP_EOS_PASSWORD=CANARY)
    until(lambda: all(lab.fleet.requests(spec.code) for spec in lab.world.devices))
    everyone = [psutil.Process(process.pid), *family(process)]
    listening = [
        connection.laddr
        for one in everyone
        for connection in one.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 3
    assert {address.ip for address in listening} == {"127.0.0.1"}
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for address in listening:
        assert not talks_to_a_stranger(address, context)
    assert not any(CANARY in word for one in everyone for word in one.cmdline())
    os.killpg(process.pid, signal.SIGTERM)
    ended(process)


def test_a_watch_keeps_its_processes_replaces_a_lost_one_and_ends_them(lab: E2eLab, tmp_path: Path) -> None:
    log = tmp_path / "watch.log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [SCRIPT, "watch", *lab.args, *ENOUGH, "--interval", "200ms", "--max-down", "100%"],
            cwd=tmp_path,
            env=environment(tmp_path),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stream,
            start_new_session=True,
        )

    def passes() -> int:
        assert process.poll() is None, log.read_text()
        return log.read_text().count(" pass result=")

    try:
        until(lambda: passes() >= 2)
        children = psutil.Process(process.pid).children(recursive=True)
        workers = [one for one in children if "spawn_main" in " ".join(one.cmdline())]
        assert len(workers) == 2
        workers[0].kill()
        seen = passes()
        until(lambda: passes() >= seen + 3)
        assert workers[1].is_running()
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        assert process.wait(QUICK_S) == 0, log.read_text()
        assert gone(children)
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in log.read_text()
    assert CANARY not in log.read_text()
