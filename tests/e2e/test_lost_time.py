"""Whole passes in which something stops: a ledger that drops what it accepted, a process that was stopped."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e_lab import REAL_SLOT_MS, Done, E2eLab, began, dzbgp, ended, started_lab
from solders.pubkey import Pubkey
from waiting import until

from dzbgp.lab.solana.faults import Fault, FaultKind

MAX_AGE_S = 4
BLOCKHASH_SLOTS = 400
"""More than a blockhash lives."""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[E2eLab]:
    with started_lab(tmp_path, timeout_s=5, slot_ms=REAL_SLOT_MS) as running:
        running.heal()
        yield running


def passed(lab: E2eLab, home: Path, *more: str) -> Done:
    return dzbgp(home, "run", *lab.args, "--max-down", "100%", "--output", "json", *more)


def users(done: Done, key: str, value: str) -> set[Pubkey]:
    return {Pubkey.from_string(user["user"]) for user in done.report["users"] if user[key] == value}


def test_writes_that_are_accepted_and_dropped_are_told_in_every_pass_and_signed_anew_once_they_cannot_land(
    lab: E2eLab, tmp_path: Path
) -> None:
    lab.ledger.inject(Fault(kind=FaultKind.LOST_SEND, times=None))
    first = passed(lab, tmp_path, "--submit-timeout", "3s")
    pending = users(first, "result", "pending")
    assert pending
    assert first.code == 3
    assert "writes-pending" in first.report["exit"]["reasons"]
    sent = lab.sent()
    # What lasts is on stderr once an hour, and in the report and the exit code every time.
    for told in (f"not written: {len(pending)} users: in-flight: ", ""):
        later = passed(lab, tmp_path)
        assert later.code == 3
        assert "not-written" in later.report["exit"]["reasons"]
        assert users(later, "reason", "in-flight") == pending
        details = {user["detail"] for user in later.report["users"] if user["reason"] == "in-flight"}
        assert all("an earlier write may still land, sent " in detail for detail in details)
        assert told in later.err
        assert bool(told) is bool(later.err)
    assert lab.sent() == sent
    lab.ledger.clear_faults()
    lab.ledger.advance(BLOCKHASH_SLOTS)
    last = passed(lab, tmp_path)
    assert last.code == 0, last.err
    assert users(last, "result", "confirmed") >= pending
    assert set(lab.ledger.stats().per_user.values()) == {1}


def test_what_one_rpc_accepts_and_drops_is_sent_again_through_the_other_in_the_same_pass(
    lab: E2eLab, tmp_path: Path
) -> None:
    other = lab.ledger.add_rpc()
    lab.ledger.inject(Fault(kind=FaultKind.LOST_SEND, times=None))
    done = passed(lab, tmp_path, "--rpc-url", other)
    assert done.code == 0, done.err
    written = users(done, "result", "confirmed")
    assert written
    assert lab.ledger.stats().per_user == dict.fromkeys(written, 1)


@pytest.mark.parametrize("is_stopped", [True, False], ids=["stopped", "only slow"])
def test_a_process_that_was_stopped_between_the_look_and_the_signature_signs_nothing(
    lab: E2eLab, tmp_path: Path, *, is_stopped: bool
) -> None:
    # It is stopped while it waits for this answer, after the devices were asked and before anything is signed.
    slow = Fault(kind=FaultKind.DELAY, method="getLatestBlockhash", times=None, delay_s=1.0)
    lab.ledger.inject(slow)
    words = (*lab.args, "--max-down", "100%", "--max-age", f"{MAX_AGE_S}s", "--output", "json")
    process = began(tmp_path, "run", *words)
    until(lambda: lab.ledger.stats().requests.get("getLatestBlockhash", 0) > 0)
    assert all(lab.fleet.requests(spec.code) for spec in lab.world.devices)
    if is_stopped:
        process.send_signal(signal.SIGSTOP)
        stopped = time.monotonic()
        until(lambda: time.monotonic() > stopped + MAX_AGE_S + 1)
        process.send_signal(signal.SIGCONT)
    done = ended(process)
    written = set(lab.ledger.stats().per_user)
    assert written == users(done, "result", "confirmed")
    assert bool(lab.sent()) is bool(written) is not is_stopped
    assert bool(users(done, "reason", "expired")) is is_stopped
    assert done.code == (3 if is_stopped else 0), done.err
