"""`dzbgp watch` as a process of its own."""

import re
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest
from e2e_lab import E2eLab, began, dzbgp, edited, started_lab
from waiting import until

from dzbgp.lab.eos.fleet import DeviceFault
from dzbgp.lab.solana.faults import Fault, FaultKind
from dzbgp.lab.world.world import LAB_PASSWORD, LAB_USERNAME
from dzbgp.ledger.program.accounts import decode_user
from dzbgp.models.ledger import BgpStatus

QUICK_S = 8
"""Far below what is waited for, and far above what a busy machine adds."""
FOREVER_S = 60


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[E2eLab]:
    with started_lab(tmp_path) as running:
        running.heal()
        yield running


class Watching:
    """A `dzbgp watch` process; its log is read as it comes."""

    def __init__(self, lab: E2eLab, home: Path, *args: str, **env: str) -> None:
        state = ("--state", str(home / "state.sqlite"))
        arguments = [*lab.args, *state, "--interval", "200ms", "--max-down", "100%", *args]
        self.process = began(home, "watch", *arguments, PYTHONFAULTHANDLER="1", **env)
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()

    @property
    def log(self) -> str:
        return "".join(self.lines)

    def says(self, text: str, times: int = 1) -> None:
        """Waits until it does."""
        until(lambda: self.log.count(text) >= times or self.process.poll() is not None)
        assert self.log.count(text) >= times, self.log

    @property
    def submitted(self) -> int:
        """How many writes the passes so far have told of."""
        return sum(map(int, re.findall(r" submitted=(\d+)", self.log)))

    def passes(self, more: int) -> None:
        self.says(" pass result=", self.log.count(" pass result=") + more)

    def ends(self, *numbers: signal.Signals, within_s: float = QUICK_S) -> None:
        """Sends the signals, and sees it end cleanly."""
        for number in numbers:
            self.process.send_signal(number)
        try:
            code = self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            # Shows where it hangs.
            self.process.send_signal(signal.SIGABRT)
            self.process.wait()
            self._reader.join()
            raise AssertionError(self.log) from None
        assert code == 0, self.log
        self._reader.join()
        assert self.lines[-1].endswith("ended\n"), self.log
        assert "Traceback" not in self.log


@contextmanager
def settled(lab: E2eLab, home: Path, *args: str, **env: str) -> Iterator[Watching]:
    """A watch that has written what there was to write."""
    before = sum(lab.ledger.stats().per_user.values())
    with Watching(lab, home, *args, **env) as watching:
        until(lambda: lab.ledger.stats().per_user.keys() >= set(written_by_healthy(lab)))
        # Each process tells of its own writes: when of all of them, its worker is idle.
        told = sum(lab.ledger.stats().per_user.values()) - before
        until(lambda: watching.submitted >= told)
        yield watching


def written_by_healthy(lab: E2eLab) -> list[object]:
    healthy = lab.healthy.split(",")
    return [
        spec.user.pubkey
        for spec in lab.world.users
        if spec.expect is not None and lab.world.device(spec.device).host in healthy
    ]


def onchain(lab: E2eLab, number: int) -> BgpStatus:
    key = lab.world.users[number].user.pubkey
    return decode_user(key, lab.ledger.account(key) or b"").bgp_status


def a_stable_user(lab: E2eLab) -> int:
    """An activated user that is Up and stays so unless the test says otherwise."""
    return next(
        number
        for number, spec in enumerate(lab.world.users)
        if spec.expect is BgpStatus.UP
        and spec.session is not None
        and lab.world.device(spec.device).host in lab.healthy.split(",")
    )


def put(lab: E2eLab, number: int, *, up: bool) -> None:
    spec = lab.world.users[number]
    state = "Established" if up else "Idle"
    lab.fleet.set_state(spec.device, spec.eos_peer().address, state, established_s=86_400.0)


def silenced(lab: E2eLab) -> None:
    for spec in lab.world.devices:
        lab.fleet.set_fault(spec.code, DeviceFault.NO_ANSWER)


# The end


@pytest.mark.parametrize("numbers", [(signal.SIGTERM,), (signal.SIGINT,), (signal.SIGTERM, signal.SIGTERM)])
def test_a_signal_between_passes_ends_it_cleanly_also_when_sent_twice(
    lab: E2eLab, tmp_path: Path, numbers: tuple[signal.Signals, ...]
) -> None:
    with Watching(lab, tmp_path, "--interval", "10s") as watching:
        watching.passes(1)
        watching.ends(*numbers)
        assert watching.log.count("INFO stopped") == 1


def test_a_signal_in_the_middle_of_asking_silent_devices_ends_it_cleanly(tmp_path: Path) -> None:
    with started_lab(tmp_path, timeout_s=FOREVER_S) as lab:
        silenced(lab)
        with Watching(lab, tmp_path) as watching:
            until(lambda: lab.fleet.requests(lab.world.devices[0].code) > 0)
            watching.ends(signal.SIGTERM)


def test_a_signal_while_the_ledger_stalls_ends_it_cleanly(lab: E2eLab, tmp_path: Path) -> None:
    lab.ledger.inject(Fault(kind=FaultKind.STALL, method="getProgramAccounts", delay_s=FOREVER_S))
    with Watching(lab, tmp_path) as watching:
        until(lambda: lab.ledger.stats().faults.get("stall", 0) > 0)
        watching.ends(signal.SIGINT)


def test_a_signal_while_the_balances_are_read_ends_it_cleanly(lab: E2eLab, tmp_path: Path) -> None:
    with settled(lab, tmp_path) as watching:
        lab.ledger.inject(Fault(kind=FaultKind.STALL, method="getMultipleAccounts", delay_s=FOREVER_S))
        until(lambda: lab.ledger.stats().faults.get("stall", 0) > 0)
        watching.ends(signal.SIGTERM)


def test_a_write_under_way_is_waited_for_at_the_end(lab: E2eLab, tmp_path: Path) -> None:
    lab.ledger.inject(Fault(kind=FaultKind.DELAYED_SEND, times=None, slots=60))
    with Watching(lab, tmp_path) as watching:
        until(lambda: lab.sent() > 0)
        watching.ends(signal.SIGTERM)
        written = lab.ledger.stats().per_user
        assert written
        assert set(written.values()) == {1}
        assert f"writes in flight: confirmed={len(written)}\n" in watching.log


def test_a_write_that_never_lands_does_not_keep_it_from_ending(lab: E2eLab, tmp_path: Path) -> None:
    lab.ledger.inject(Fault(kind=FaultKind.LOST_SEND, times=None))
    with Watching(lab, tmp_path) as watching:
        until(lambda: lab.sent() > 0)
        watching.ends(signal.SIGTERM, within_s=45)


# Reload


def test_sighup_takes_in_a_host_and_a_malformed_file_changes_nothing(lab: E2eLab, tmp_path: Path) -> None:
    hosts = lab.inventory / "hosts.yaml"
    with edited(hosts) as content:
        name, entry = next((name, content.pop(name)) for name in list(content) if name in lab.healthy)
        count = len(content)
    with Watching(lab, tmp_path) as watching:
        watching.says(f"watching {count} hosts")
        watching.passes(1)
        good = hosts.read_text()
        hosts.write_text("{")
        watching.process.send_signal(signal.SIGHUP)
        watching.says("the previous inventory stays in use")
        watching.passes(1)
        hosts.write_text(good)
        with edited(hosts) as content:
            content[name] = entry
        watching.process.send_signal(signal.SIGHUP)
        watching.says(f"reloaded: {count + 1} hosts")
        watching.says(f" devices={count + 1} ")
        watching.ends(signal.SIGTERM)


def test_sighup_takes_in_a_keypair(lab: E2eLab, tmp_path: Path) -> None:
    first, *others = sorted(lab.keypairs.iterdir())
    content = {file: file.read_bytes() for file in others}
    for file in others:
        file.unlink()
    with Watching(lab, tmp_path) as watching:
        watching.passes(3)
        before = len(lab.ledger.stats().per_user)
        assert before < len(written_by_healthy(lab))
        for file, secret in content.items():
            file.write_bytes(secret)
            file.chmod(0o600)
        watching.process.send_signal(signal.SIGHUP)
        until(lambda: lab.ledger.stats().per_user.keys() >= set(written_by_healthy(lab)))
        watching.ends(signal.SIGTERM)
    assert first.exists()


def test_sighup_takes_in_what_the_password_command_prints_now(lab: E2eLab, tmp_path: Path) -> None:
    with edited(lab.inventory / "defaults.yaml") as defaults:
        del defaults["username"], defaults["password"]
    secret = tmp_path / "password"
    secret.write_text("of last year", encoding="ascii")
    login = {"DZBGP_EOS_USERNAME": LAB_USERNAME, "DZBGP_EOS_PASSWORD_COMMAND": f"cat {secret}"}
    with Watching(lab, tmp_path, **login) as watching:
        watching.passes(2)
        assert not lab.ledger.stats().per_user
        secret.write_text(LAB_PASSWORD, encoding="ascii")
        watching.process.send_signal(signal.SIGHUP)
        until(lambda: lab.ledger.stats().per_user.keys() >= set(written_by_healthy(lab)))
        watching.ends(signal.SIGTERM)


def test_sighup_before_the_first_pass_does_not_end_it(lab: E2eLab, tmp_path: Path) -> None:
    lab.ledger.inject(Fault(kind=FaultKind.STALL, method="getProgramAccounts", delay_s=1.5))
    with Watching(lab, tmp_path) as watching:
        until(lambda: lab.ledger.stats().faults.get("stall", 0) > 0)
        watching.process.send_signal(signal.SIGHUP)
        watching.says("reloaded")
        watching.ends(signal.SIGTERM)


# systemd and metrics


def test_a_service_manager_hears_ready_watchdog_and_stopping_and_metrics_are_served(
    lab: E2eLab, tmp_path: Path
) -> None:
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(tmp_path / "notify"))
    heard: list[str] = []

    def listen() -> None:
        while not heard or heard[-1] != "STOPPING":
            heard.append(manager.recv(65536).decode().split("=")[0])

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000"}
    with settled(lab, tmp_path, "--metrics-addr", f"127.0.0.1:{port}", **environment) as watching:

        def scraped() -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=QUICK_S) as answer:
                text: str = answer.read().decode()
                return text

        name = "doublezero_bgpstatus_submissions_total{"
        written = sum(lab.ledger.stats().per_user.values())

        def counted() -> float:
            lines = [line for line in scraped().splitlines() if line.startswith(name)]
            return sum(float(line.split()[-1]) for line in lines if 'result="success"' in line)

        until(lambda: counted() == written)
        lab.ledger.inject(Fault(kind=FaultKind.HTTP_STATUS, times=None))
        silenced(lab)
        watching.process.send_signal(signal.SIGHUP)
        watching.says("reloaded")
        assert "dzbgp_build_info" in scraped()
        lab.ledger.clear_faults()
        watching.ends(signal.SIGTERM)
    listener.join(QUICK_S)
    manager.close()
    assert heard[0] == "READY"
    assert heard[-1] == "STOPPING"
    assert {"WATCHDOG", "STATUS", "RELOADING"} <= set(heard)


# The state


def test_a_run_on_the_same_state_is_locked_out_and_names_the_watch(lab: E2eLab, tmp_path: Path) -> None:
    with settled(lab, tmp_path) as watching:
        state = str(tmp_path / "state.sqlite")
        done = dzbgp(tmp_path, "run", *lab.args, "--state", state)
        assert done.code == 1
        assert f"pid {watching.process.pid}" in done.error
        assert "nothing was written" in done.error
        # A dry run only reads.
        assert dzbgp(tmp_path, "run", *lab.args, "--state", state, "--dry-run").code in {0, 3}
        watching.ends(signal.SIGTERM)


def test_a_second_watch_of_the_same_devices_says_at_its_start_who_has_them(
    lab: E2eLab, tmp_path: Path
) -> None:
    with settled(lab, tmp_path) as watching:
        with Watching(lab, tmp_path) as second:
            assert second.process.wait(60) == 1
            second.says(f"pid {watching.process.pid}, since ")
        watching.passes(1)
        watching.ends(signal.SIGTERM)


def test_it_waits_for_a_ledger_that_does_not_answer_at_its_start_and_ends_when_told(
    lab: E2eLab, tmp_path: Path
) -> None:
    lab.ledger.inject(Fault(kind=FaultKind.RPC_ERROR, method="getGenesisHash", code=-32602, times=None))
    with Watching(lab, tmp_path) as watching:
        watching.says("pass failed: RPC http://127.0.0.1:", times=2)
        watching.ends(signal.SIGTERM)


def test_killed_and_started_again_it_ends_in_the_right_state(lab: E2eLab, tmp_path: Path) -> None:
    number = a_stable_user(lab)
    user = lab.world.users[number].user.pubkey
    up = True
    lab.ledger.inject(Fault(kind=FaultKind.DELAYED_SEND, times=None, slots=10))
    for turn in range(3):
        with Watching(lab, tmp_path) as watching:
            sent = lab.sent()
            until(lambda sent=sent: lab.sent() > sent)  # type: ignore[misc]
            if turn:
                watching.passes(1)
            up = not up
            put(lab, number, up=up)
    lab.ledger.clear_faults()
    with Watching(lab, tmp_path) as watching:
        wanted = BgpStatus.UP if up else BgpStatus.DOWN
        until(lambda: lab.ledger.stats().per_user.keys() >= set(written_by_healthy(lab)))
        until(lambda: onchain(lab, number) is wanted)
        watching.passes(3)
        total = dict(lab.ledger.stats().per_user)
        watching.passes(3)
        assert lab.ledger.stats().per_user == total
        assert total[user] <= 1 + 3
        assert all(count == 1 for key, count in total.items() if key != user)
        watching.ends(signal.SIGTERM)


# Mistakes


def test_an_interval_of_nothing_is_refused(lab: E2eLab, tmp_path: Path) -> None:
    done = dzbgp(tmp_path, "watch", *lab.args, "--interval", "0s")
    assert done.code == 2
    assert "--interval" in done.err


def test_it_says_at_once_why_it_can_not_start(lab: E2eLab, tmp_path: Path) -> None:
    started = time.monotonic()
    done = dzbgp(tmp_path, "watch", *lab.ledger_args, "--inventory", str(tmp_path / "none"))
    assert (done.code, done.out) == (2, "")
    assert "there is no such file or directory" in done.error
    assert time.monotonic() - started < QUICK_S


def test_nothing_is_printed_to_stdout(lab: E2eLab, tmp_path: Path) -> None:
    with settled(lab, tmp_path) as watching:
        watching.ends(signal.SIGTERM)
        assert watching.process.stdout is not None
        assert watching.process.stdout.read() == ""


def test_a_watch_on_its_own_lab_ends_with_it(tmp_path: Path) -> None:
    with started_lab(tmp_path) as other:
        inventory = str(other.inventory)
    process = began(tmp_path, "watch", "--lab", "--inventory", inventory, "--interval", "1s")
    assert isinstance(process, subprocess.Popen)
    assert process.stderr is not None
    line = ""
    while " pass result=" not in line:
        line = process.stderr.readline()
        assert line, "it ended before its first pass"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=QUICK_S)
    assert process.returncode == 0


def test_it_ends_when_the_ledger_began_anew_and_the_next_start_has_a_state_file_for_it(
    lab: E2eLab, tmp_path: Path
) -> None:
    often = ("--ledger-interval", "200ms")
    with Watching(lab, tmp_path, *often) as watch:
        watch.passes(2)
        lab.ledger.begin_anew(1_000)
        assert watch.process.wait(FOREVER_S) == 1
        watch.says("the ledger has been replaced: its genesis hash was ")
    with Watching(lab, tmp_path, *often) as watch:
        watch.says("this ledger uses ")
        watch.passes(2)
    assert len(list(tmp_path.glob("state.sqlite.????????"))) == 1
