import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e_lab import (
    DEADLINE_S,
    SCRIPT,
    E2eLab,
    began,
    ended,
    environment,
    interrupted,
    silence,
    started_lab,
)
from waiting import until

from dzbgp.lab.solana.faults import Fault, FaultKind

DEVICE_TIMEOUT_S = 30
QUICK_S = 5
"""Far below what the device may take, and far above what a busy machine adds."""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[E2eLab]:
    with started_lab(tmp_path, timeout_s=DEVICE_TIMEOUT_S) as running:
        running.heal()
        yield running


@pytest.mark.parametrize("wanted", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_while_devices_are_asked_ends_at_once_and_writes_nothing(
    lab: E2eLab, tmp_path: Path, wanted: signal.Signals
) -> None:
    silence(lab)
    file = tmp_path / "report.json"
    process = began(tmp_path, "run", *lab.args, "--report-file", str(file))
    until(lambda: all(lab.fleet.requests(spec.code) for spec in lab.world.devices))
    done = interrupted(process, wanted, QUICK_S)
    assert (done.code, done.out) == (1, "")
    assert done.err == "error: interrupted; nothing was written\n"
    assert lab.sent() == 0
    assert not file.exists()


def test_silent_devices_are_not_waited_for_once_the_ledger_has_failed(lab: E2eLab, tmp_path: Path) -> None:
    silence(lab)
    # Of three hosts the users are asked for after the devices and the tenants.
    lab.ledger.inject(
        Fault(kind=FaultKind.RPC_ERROR, method="getProgramAccounts", code=-32602, after=2, times=None)
    )
    hosts = ",".join(spec.host for spec in lab.world.devices[:3])
    started = time.monotonic()
    done = ended(began(tmp_path, "run", *lab.args, "--limit", hosts))
    assert time.monotonic() - started < DEVICE_TIMEOUT_S / 2
    assert (done.code, done.out) == (1, "")
    assert "-32602" in done.error


def test_an_interrupt_while_the_ledger_is_read_ends_at_once(lab: E2eLab, tmp_path: Path) -> None:
    lab.ledger.inject(Fault(kind=FaultKind.STALL, method="getProgramAccounts", delay_s=DEVICE_TIMEOUT_S))
    process = began(tmp_path, "run", *lab.args)
    until(lambda: lab.ledger.stats().faults.get("stall", 0) > 0)
    done = interrupted(process, signal.SIGINT, QUICK_S)
    assert (done.code, done.out) == (1, "")
    assert done.err == "error: interrupted; nothing was written\n"


def test_an_interrupt_while_writes_are_under_way_waits_for_them_and_reports(
    lab: E2eLab, tmp_path: Path
) -> None:
    lab.ledger.inject(Fault(kind=FaultKind.DELAYED_SEND, times=None, slots=50))
    process = began(tmp_path, "run", *lab.args, "--output", "json")
    until(lambda: lab.sent() > 0)
    process.send_signal(signal.SIGINT)
    done = ended(process)
    assert "interrupted: nothing more is sent; waiting for what was sent" in done.err
    written = {user["user"] for user in done.report["users"] if user["result"] == "confirmed"}
    assert written == {str(user) for user in lab.ledger.stats().per_user}
    assert written
    assert set(lab.ledger.stats().per_user.values()) == {1}


def test_a_terminal_that_closes_while_writes_are_under_way_loses_neither_writes_nor_report(
    lab: E2eLab, tmp_path: Path
) -> None:
    file = tmp_path / "report.json"
    lab.ledger.inject(Fault(kind=FaultKind.DELAYED_SEND, times=None, slots=50))
    process = began(tmp_path, "run", *lab.args, "--report-file", str(file))
    assert process.stdout is not None
    process.stdout.close()
    until(lambda: lab.sent() > 0)
    # The kernel and the shell may both send it.
    for _ in range(2):
        process.send_signal(signal.SIGHUP)
        time.sleep(0.2)
    assert process.wait(timeout=DEADLINE_S) == 3
    report = json.loads(file.read_text())
    assert "interrupted" in report["exit"]["reasons"]
    written = {user["user"] for user in report["users"] if user["result"] == "confirmed"}
    assert written == {str(user) for user in lab.ledger.stats().per_user}
    assert written


def test_under_nohup_a_run_goes_on_without_its_terminal(lab: E2eLab, tmp_path: Path) -> None:
    lab.ledger.inject(Fault(kind=FaultKind.DELAY, method="getLatestBlockhash", times=None, delay_s=0.5))
    process = subprocess.Popen(
        ["nohup", SCRIPT, "run", *lab.args, "--output", "json"],
        cwd=tmp_path,
        env=environment(tmp_path),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: lab.ledger.stats().requests.get("getLatestBlockhash", 0) > 0)
    process.send_signal(signal.SIGHUP)
    done = ended(process)
    assert "interrupted" not in done.report["exit"]["reasons"]
    assert any(user["result"] == "confirmed" for user in done.report["users"])


def test_a_sigterm_after_the_writes_were_confirmed_loses_neither_results_nor_report(
    lab: E2eLab, tmp_path: Path
) -> None:
    lab.ledger.inject(Fault(kind=FaultKind.DELAY, method="getSignatureStatuses", times=None, delay_s=0.7))
    process = began(tmp_path, "run", *lab.args, "--output", "json")
    until(lambda: lab.sent() >= len(lab.publishers))
    read = lab.ledger.stats().requests["getMultipleAccounts"]
    lab.ledger.inject(Fault(kind=FaultKind.DELAY, method="getMultipleAccounts", times=None, delay_s=1.5))
    # What was written is read back once all of it is confirmed.
    until(lambda: lab.ledger.stats().requests["getMultipleAccounts"] > read)
    process.send_signal(signal.SIGTERM)
    done = ended(process)
    assert done.code in {3, 4}, done.err
    assert "nothing was written" not in done.err
    assert "interrupted" in done.report["exit"]["reasons"]
    written = {user["user"] for user in done.report["users"] if user["result"] in {"confirmed", "finalized"}}
    assert written == {str(user) for user in lab.ledger.stats().per_user}
    assert written


def test_a_second_interrupt_does_not_claim_that_nothing_was_written(lab: E2eLab, tmp_path: Path) -> None:
    lab.ledger.inject(Fault(kind=FaultKind.LOST_SEND, times=None))
    process = began(tmp_path, "run", *lab.args)
    until(lambda: lab.sent() > 0)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while "interrupted: nothing more is sent" not in (line := process.stderr.readline()):
        assert line
    done = interrupted(process, signal.SIGINT, QUICK_S)
    assert done.code == 3
    assert "error: interrupted again: the fate of what was sent is not known" in done.err
    assert "nothing was written" not in done.err


def test_an_interrupted_lab_run_stops_its_lab(tmp_path: Path) -> None:
    with started_lab(tmp_path, timeout_s=DEVICE_TIMEOUT_S) as other:
        inventory = other.inventory
    process = began(tmp_path, "run", "--lab", "--inventory", str(inventory), "--verbose")
    assert process.stderr is not None
    while "bgp_neighbors" not in (line := process.stderr.readline()):
        assert line
    done = interrupted(process, signal.SIGTERM, QUICK_S)
    assert done.code == 1
    assert "interrupted; nothing was written" in done.err


HELD = """
import os, signal, sys
import dzbgp.run.job as job
from dzbgp.cli.app import main
from dzbgp.run.plan import Plan

def interrupted(wrapped, times):
    def call(*args, **named):
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGTERM)
        return wrapped(*args, **named)
    return call

owner, name, times = {"memory": (job.Memory, "keep_written", 1), "report": (Plan, "report", 1),
                      "end": (job.Memory, "end", 1), "twice": (job.Memory, "end", 2)}[sys.argv.pop(1)]
setattr(owner, name, interrupted(getattr(owner, name), times))
main()
"""


@pytest.mark.parametrize("where", ["memory", "report", "end", "twice"])
def test_a_signal_after_the_writes_costs_no_report_and_the_code_is_never_1(
    lab: E2eLab, tmp_path: Path, where: str
) -> None:
    done = ended(
        subprocess.Popen(
            [sys.executable, "-c", HELD, where, "run", *lab.args, "--output", "json"],
            cwd=tmp_path,
            env=environment(tmp_path),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    )
    assert lab.ledger.stats().per_user
    assert "interrupted: the report is made before the exit" in done.err
    assert "nothing was written" not in done.err
    if where == "twice":
        assert done.code == 3
        assert done.err.endswith("error: interrupted; the next run shows what was written\n")
    else:
        assert done.report["summary"]["submitted"] > 0
        assert done.code in {0, 3}
