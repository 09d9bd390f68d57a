import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import ruamel.yaml
from msgspec import structs
from solders.pubkey import Pubkey
from solders.signature import Signature
from waiting import until
from watch_lab import DEADLINE_S, NO_GUARD, QUICK, WatchLab, watch_lab

from dzbgp.console.progress import NoProgress
from dzbgp.decision.rules import Rules
from dzbgp.fleet.fleet import Fleet
from dzbgp.lab.eos.fleet import DeviceFault
from dzbgp.lab.solana.faults import FaultKind
from dzbgp.ledger.errors import LedgerReplacedError
from dzbgp.ledger.session import LedgerSession, SessionOptions
from dzbgp.ledger.submit.submitter import SubmitOptions
from dzbgp.models.decision import Action
from dzbgp.models.exit import ExitReason, exit_reasons
from dzbgp.models.in_flight import InFlight
from dzbgp.models.ledger import BgpStatus
from dzbgp.models.session import DeviceResult
from dzbgp.models.submission import Outcome
from dzbgp.report.digest import Digest
from dzbgp.report.problems import problems
from dzbgp.run import job
from dzbgp.run.job import run_pass
from dzbgp.run.request import RunRequest
from dzbgp.run.setup import open_store
from dzbgp.run.systemd import Notifier
from dzbgp.run.watch import Watch, WatchOptions
from dzbgp.state.lock import lock_file
from dzbgp.state.records import writes
from dzbgp.state.store import Store

UP, DOWN = BgpStatus.UP, BgpStatus.DOWN


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[WatchLab]:
    with watch_lab(tmp_path) as running:
        yield running


# Passes and their times


def test_there_is_a_pass_every_interval(lab: WatchLab) -> None:
    # Long enough for a pass on a machine with other things to do.
    lab.start(interval_s=0.8)
    lab.more_passes(4)
    gaps = [after - before for before, after in pairwise(lab.told.at)]
    assert sum(gaps) / len(gaps) == pytest.approx(0.8, abs=0.2)


def test_the_first_pass_begins_within_a_tenth_of_the_interval_at_a_moment_drawn_by_lot(
    lab: WatchLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        drawn.append((low, high))
        return high

    monkeypatch.setattr("dzbgp.run.watch.random.uniform", uniform)
    began = time.monotonic()
    lab.start(interval_s=3.0)
    lab.more_passes(1)
    assert drawn == [(0, 3.0 * 0.1)]
    assert 0.3 <= time.monotonic() - began < 2


def test_passes_share_one_fetch_of_the_program_data_while_it_is_good(lab: WatchLab) -> None:
    lab.start(interval_s=0.02)
    lab.more_passes(20)
    # Devices, tenants and users, once.
    assert lab.ledger.stats().requests["getProgramAccounts"] == 3


def test_a_pass_that_overruns_skips_the_next_tick_and_the_first_and_last_of_them_are_told(
    lab: WatchLab, caplog: pytest.LogCaptureFixture
) -> None:
    code = lab.spec(0).device
    lab.devices.set_fault(code, DeviceFault.NO_ANSWER)
    began = time.monotonic()
    lab.start(interval_s=0.7)
    until(lambda: "is taking longer than the interval of 0.7 s" in caplog.text)
    assert lab.passes == 0
    lab.more_passes(2)
    # A pass of a second from the first tick on, the second tick skipped, the next pass at the third.
    assert time.monotonic() - began > 2.3
    lab.devices.set_fault(code, None)
    until(lambda: "a pass took less than the interval of 0.7 s again" in caplog.text)
    assert caplog.text.count("is taking longer") == 1


def test_a_pass_that_waits_for_the_second_look_skips_no_tick(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with watch_lab(tmp_path, confirm_down_s=1.2) as lab:
        lab.put(0, up=False)
        lab.start(interval_s=1.0)
        until(lambda: lab.says(0, DOWN))
        lab.more_passes(1)
        assert "longer than the interval" not in caplog.text


# Writes beside the passes


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        (FaultKind.STALL, "sendTransaction"),
        (FaultKind.DELAY, "sendTransaction"),
        (FaultKind.DELAY, "getSignatureStatuses"),
        (FaultKind.STALL, "simulateTransaction"),
    ],
)
def test_a_slow_ledger_delays_no_pass(tmp_path: Path, kind: FaultKind, method: str) -> None:
    # A blockhash outlives the stall.
    with watch_lab(tmp_path, changed=0.25, slot_ms=100) as lab:
        lab.inject(kind, method=method, delay_s=4, times=3)
        watch = lab.start(interval_s=0.1)
        until(lambda: sum(lab.ledger.stats().faults.values()) > 0)
        passed = lab.passes
        until(lambda: not watch._worker.busy())
        # One that was running as the fault began, and one that ran beside it: a machine under load does no more.
        assert lab.passes >= passed + 2
        lab.ledger.clear_faults()
        until(lambda: lab.says(0, UP) and not watch._worker.busy())
        lab.more_passes(3)
        assert set(lab.writes().values()) == {1}


def test_a_user_in_flight_is_not_submitted_again(tmp_path: Path) -> None:
    with watch_lab(tmp_path, changed=0.25) as lab:
        lab.inject(FaultKind.DELAYED_SEND, slots=60, times=None)
        lab.start()
        until(lambda: any(d.reason == "in-flight" for r in lab.told.reports for d in r.decisions))
        until(lambda: lab.told.counted("success") == 1)
        lab.more_passes(3)
        assert list(lab.writes().values()) == [1]
        assert lab.ledger.stats().transactions_executed == 1


def test_what_does_not_fit_the_queue_is_due_again_in_the_next_pass(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # The default: what the lab says of its slots of 20 ms is not believed.
    rules = replace(NO_GUARD, refresh_interval_s=6 * 3600)
    with watch_lab(tmp_path, devices=2, users=160, changed=1.0, slot_ms=20, rules=rules) as lab:
        lab.start(interval_s=0.3)
        until(lambda: lab.told.counted("success") == 320)
        assert "64 writes did not fit into the queue; they are due again in the next pass" in caplog.text
        lab.more_passes(2)
        assert set(lab.writes().values()) == {1}
        assert len(lab.writes()) == 320


def test_a_session_that_comes_back_before_its_down_was_sent_retracts_it(tmp_path: Path) -> None:
    with watch_lab(tmp_path, changed=0.25) as lab:
        lab.inject(FaultKind.STALL, method="simulateTransaction", delay_s=1.5)
        watch = lab.start()
        until(lambda: lab.ledger.stats().faults.get("stall", 0) > 0)
        lab.put(1, up=False)
        until(lambda: lab.spec(1).user.pubkey in watch._worker.waiting())
        lab.put(1, up=True)
        until(lambda: lab.spec(1).user.pubkey not in watch._worker.waiting())
        assert lab.told.counted("success") == 0, "the first write should still have been under way"
        until(lambda: lab.told.counted("success") == 1)
        lab.more_passes(5)
        assert lab.says(1, UP)
        assert lab.spec(1).user.pubkey not in lab.writes()


def test_a_down_whose_write_waits_for_the_rpc_is_not_signed_after_the_session_came_back(
    tmp_path: Path,
) -> None:
    with watch_lab(tmp_path) as lab:
        lab.start()
        lab.more_passes(1)
        lab.inject(FaultKind.STALL, method="simulateTransaction", delay_s=1.0)
        lab.put(0, up=False)
        until(lambda: lab.ledger.stats().faults.get("stall", 0) > 0)
        lab.put(0, up=True)
        lab.more_passes(2)
        until(lambda: not lab.watches[0][0]._worker.busy())
        lab.more_passes(1)
        assert lab.writes() == {}


def test_a_down_whose_write_waits_for_the_rpc_is_not_signed_after_a_pass_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows then whether the session came back meanwhile."""
    with watch_lab(tmp_path) as lab:
        (watch := lab.made())._pass()
        lab.inject(FaultKind.STALL, method="simulateTransaction", delay_s=1.0)
        lab.put(0, up=False)
        watch._pass()
        until(lambda: lab.ledger.stats().faults.get("stall", 0) > 0)
        with monkeypatch.context() as patched:
            patched.setattr(job, "guard", lambda *_: 1 / 0)
            watch._pass()
        assert lab.told.failures
        assert watch._worker.busy()
        assert watch._worker.wait_idle(DEADLINE_S)
        assert lab.writes() == {}
        watch._end()


def test_a_down_whose_write_waits_for_the_rpc_is_not_signed_after_another_run_wrote_to_the_state_file(
    tmp_path: Path,
) -> None:
    """It was decided without what that run wrote, which may still land."""
    with watch_lab(tmp_path) as lab:
        assert lab.history is not None
        (watch := lab.made())._pass()
        lab.inject(FaultKind.STALL, method="simulateTransaction", delay_s=1.0)
        lab.put(0, up=False)
        watch._pass()
        until(lambda: lab.ledger.stats().faults.get("stall", 0) > 0)
        state, spec = lab.history.database.path, lab.spec(0)
        lock_file(state).unlink()
        with Store.open(state, lab.session.builder.program_id) as another:
            another.hold({spec.user.device_pk: spec.device})
            another.sent(InFlight(str(Signature.new_unique()), 1 << 40, {spec.user.pubkey: DOWN}))
        watch._pass()
        assert watch._worker.busy()
        assert watch._worker.wait_idle(DEADLINE_S)
        (ended,) = watch._worker.begin_pass().finished
        assert ended.result.refused[spec.user.pubkey].reason == "superseded"
        assert lab.writes() == {}
        watch._end()


@pytest.mark.parametrize("is_watch", [True, False], ids=["watch", "run"])
def test_what_another_reports_while_a_write_waits_for_the_rpc_is_not_overwritten(
    tmp_path: Path, *, is_watch: bool
) -> None:
    with watch_lab(tmp_path) as lab:
        lab.put(0, up=False)
        lab.inject(FaultKind.STALL, method="simulateTransaction", delay_s=1.0)

        reported: list[int] = []

        def report() -> None:
            until(lambda: lab.ledger.stats().faults.get("stall", 0) > 0)
            reported.append(lab.report_elsewhere(0, DOWN))

        another = threading.Thread(target=report)
        another.start()
        if is_watch:
            watch = lab.made()
            watch._pass()
            another.join()
            assert watch._worker.wait_idle(DEADLINE_S)
            watch._end()
        else:
            with lab.load().fleet as fleet:
                done = run_pass(fleet, lab.session, lab.options, NoProgress())
            another.join()
            assert [one.reason for one in done.decisions].count("newer-report") == 1
        assert lab.onchain(0).last_bgp_reported_at == reported[0]
        assert lab.writes() == {}


def test_a_down_is_written_although_somebody_else_reports_on_the_device(tmp_path: Path) -> None:
    """It sees and corrects within its interval what would be wrong; one run holds such a Down."""
    with watch_lab(tmp_path) as lab:
        (watch := lab.made())._pass()
        lab.report_elsewhere(1, UP)
        lab.put(0, up=False)
        lab.session.expire()
        watch._pass()
        assert any("Another writer reports" in note for note in lab.told.reports[-1].notes)
        assert watch._worker.wait_idle(DEADLINE_S)
        assert lab.says(0, DOWN)
        watch._end()


def test_the_newest_status_of_a_user_that_waits_is_the_one_written(tmp_path: Path) -> None:
    with watch_lab(tmp_path, changed=0.25) as lab:
        lab.inject(FaultKind.STALL, method="simulateTransaction", delay_s=4.0)
        watch = lab.start()
        until(lambda: lab.ledger.stats().faults.get("stall", 0) > 0)
        for up in (False, True, False):
            lab.put(1, up=up)
            lab.more_passes(3)
        assert watch._worker.waiting() == {lab.spec(1).user.pubkey}
        until(lambda: lab.says(1, DOWN))
        lab.more_passes(5)
        assert lab.writes()[lab.spec(1).user.pubkey] == 1


def test_a_host_that_leaves_takes_its_waiting_writes_with_it(tmp_path: Path) -> None:
    with watch_lab(tmp_path, devices=2, users=4, changed=0.125) as lab:
        lab.inject(FaultKind.STALL, method="simulateTransaction", delay_s=1.5)
        watch = lab.start()
        until(lambda: lab.ledger.stats().faults.get("stall", 0) > 0)
        (written,) = watch._worker.busy()
        other = next(
            number for number, spec in enumerate(lab.world.users) if spec.device != home(lab, written)
        )
        lab.put(other, up=False)
        until(lambda: lab.spec(other).user.pubkey in watch._worker.waiting())
        change_hosts(lab, lambda hosts: hosts.pop(lab.world.device(lab.spec(other).device).host))
        watch.reload()
        until(lambda: lab.told.counted("success") == 1)
        lab.more_passes(5)
        assert lab.writes().keys() == {written}


def home(lab: WatchLab, user: Pubkey) -> str:
    return next(spec.device for spec in lab.world.users if spec.user.pubkey == user)


def test_a_write_that_ends_between_the_reading_of_the_ledger_and_the_decision_is_not_made_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pass below reads the ledger, then waits until writes that waited at its beginning have landed."""
    with watch_lab(tmp_path, changed=0.25) as lab:
        watch = lab.made()
        held = threading.Event()
        real_write = lab.session.write

        def slow_write(*args: Any, **more: Any) -> Any:
            assert held.wait(DEADLINE_S)
            return real_write(*args, **more)

        monkeypatch.setattr(lab.session, "write", slow_write)
        watch._pass()
        until(lambda: bool(watch._worker.busy()))
        lab.put(1, up=False)
        watch._pass()
        assert watch._worker.waiting() == {lab.spec(1).user.pubkey}

        real_read = Fleet.read

        def read_late(self: Fleet, *args: Any) -> Any:
            held.set()
            assert watch._worker.wait_idle(DEADLINE_S)
            return real_read(self, *args)

        with monkeypatch.context() as patched:
            patched.setattr(Fleet, "read", read_late)
            watch._pass()
        # Of what is its own no other writer is suspected.
        assert not any("Another writer" in note for note in lab.told.reports[-1].notes)
        assert watch._worker.wait_idle(DEADLINE_S)
        watch._pass()
        assert watch._worker.wait_idle(DEADLINE_S)
        assert set(lab.writes().values()) == {1}
        watch._end()


@pytest.mark.parametrize("history", [True, False])
def test_a_write_of_unknown_fate_is_not_made_again_with_or_without_a_state_file(
    tmp_path: Path, *, history: bool
) -> None:
    hasty = type(QUICK)(poll_s=0.01, resend_s=5, deadline_s=0.3, interrupt_wait_s=0.3)
    with watch_lab(tmp_path, changed=0.25, submit=hasty, history=history) as lab:
        lab.inject(FaultKind.DELAYED_SEND, slots=140)
        lab.start()
        until(lambda: lab.told.counted("error") == 1)
        lab.more_passes(3)
        until(lambda: sum(lab.writes().values()) > 0)
        lab.more_passes(5)
        assert list(lab.writes().values()) == [1]


def test_the_counters_of_submissions_are_the_ledgers_own_count_whatever_else_fails(tmp_path: Path) -> None:
    with watch_lab(tmp_path, devices=2, users=8, changed=0.5) as lab:
        lab.start()
        for number in range(6):
            lab.put(number, up=number % 2 == 0)
            lab.inject(FaultKind.HTTP_STATUS, method="getProgramAccounts", times=2)
            lab.more_passes(4)
        until(lambda: all(lab.says(number, UP if number % 2 == 0 else DOWN) for number in range(6)))
        lab.more_passes(3)
        assert lab.told.counted("success") == sum(lab.writes().values())


def test_results_that_came_in_with_a_pass_that_failed_are_counted_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with watch_lab(tmp_path, changed=0.25) as lab:
        watch = lab.made()
        watch._pass()
        assert watch._worker.wait_idle(DEADLINE_S)
        with monkeypatch.context() as patched:
            patched.setattr("dzbgp.run.watch.plan_pass", lambda *_: 1 / 0)
            watch._pass()
        assert lab.told.counted("success") == 0
        watch._pass()
        assert lab.told.counted("success") == 1
        watch._end()


# Bad passes


def test_no_bad_pass_ends_it(
    lab: WatchLab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lab.inject(FaultKind.HTTP_STATUS, times=None)
    lab.start()
    until(lambda: bool(lab.told.failures), within_s=DEADLINE_S)
    assert "pass failed: RPC" in caplog.text
    lab.ledger.clear_faults()
    until(lambda: bool(lab.told.reports))

    code = lab.spec(0).device
    lab.devices.set_fault(code, DeviceFault.REFUSE)
    until(lambda: lab.told.reports[-1].devices[0].result is DeviceResult.FAILED)
    lab.devices.set_fault(code, None)
    until(lambda: lab.told.reports[-1].devices[0].result is DeviceResult.OK)

    with monkeypatch.context() as patched:
        patched.setattr(job, "guard", lambda *_: 1 / 0)
        until(lambda: any(isinstance(error, ZeroDivisionError) for error in lab.told.failures))
    assert "pass failed: internal error" in caplog.text

    lab.put(0, up=False)
    until(lambda: lab.says(0, DOWN))


def test_an_observer_that_fails_does_not_end_it(lab: WatchLab, monkeypatch: pytest.MonkeyPatch) -> None:
    real_passed, real_failed = lab.told.passed, lab.told.failed

    def passed(*args: Any) -> None:
        real_passed(*args)
        raise RuntimeError

    def failed(*args: Any) -> None:
        real_failed(*args)
        raise RuntimeError

    monkeypatch.setattr(lab.told, "passed", passed)
    monkeypatch.setattr(lab.told, "failed", failed)
    lab.start()
    lab.more_passes(6)


def test_the_ledgers_outage_lets_the_passes_go_on_with_old_data_and_writes_nothing(lab: WatchLab) -> None:
    watch = lab.start()
    lab.more_passes(1)
    lab.session._fetcher.expire()
    lab.inject(FaultKind.HTTP_STATUS, times=None)
    lab.put(0, up=False)
    until(lambda: any(d.reason == "stale-ledger" for d in lab.told.reports[-1].decisions))
    assert watch._worker.waiting() == watch._worker.busy() == frozenset()
    lab.ledger.clear_faults()
    until(lambda: lab.says(0, DOWN))
    assert sum(lab.writes().values()) == 1


def test_a_pass_over_the_data_of_before_an_outage_never_says_that_all_is_well(lab: WatchLab) -> None:
    watch = lab.made()
    watch._pass()
    assert watch._worker.wait_idle(DEADLINE_S)
    lab.session._fetcher.expire()
    lab.inject(FaultKind.HTTP_STATUS, times=None)
    watch._pass()
    report = lab.told.reports[-1]
    assert not any(one.is_write or one.reason == "stale-ledger" for one in report.decisions)
    assert ExitReason.LEDGER_NOT_BELIEVED in exit_reasons(report)
    assert any("the ledger did not answer, its data is" in one.line for one in problems(report))
    lab.ledger.clear_faults()
    watch._pass()
    assert ExitReason.LEDGER_NOT_BELIEVED not in exit_reasons(lab.told.reports[-1])
    watch._end()


def test_a_watch_that_is_killed_leaves_the_slot_below_which_no_later_one_believes_a_ledger(
    lab: WatchLab,
) -> None:
    watch = lab.made()
    watch._pass()
    history = watch._memory.history
    assert history is not None
    assert lab.session.floor is not None
    assert history.floor() == lab.session.floor
    watch._end()


@pytest.mark.parametrize("is_behind", [True, False], ids=["behind the old one", "after an outage"])
def test_it_ends_when_the_ledger_began_anew(lab: WatchLab, *, is_behind: bool) -> None:
    watch = lab.made()
    watch._pass()
    floor = lab.session.floor
    assert floor is not None
    if not is_behind:
        lab.inject(FaultKind.HTTP_STATUS, times=None)
        lab.session._fetcher.expire()
        watch._pass()
        lab.ledger.clear_faults()
    lab.ledger.begin_anew(1_000 if is_behind else floor.slot + 100)
    lab.session._fetcher.expire()
    if is_behind:
        watch._pass()
    with pytest.raises(LedgerReplacedError, match="the ledger has been replaced: its genesis hash was"):
        watch._pass()
    assert lab.writes() == {}
    watch._end()


def test_an_rpc_that_knows_no_genesis_hash_is_no_reason_to_end(lab: WatchLab) -> None:
    lab.inject(FaultKind.RPC_ERROR, method="getGenesisHash", code=-32601, times=None)
    lab.start()
    lab.more_passes(3)
    assert lab.told.reports


def test_a_ledger_that_says_only_later_that_it_is_another_ends_what_uses_the_old_state(
    tmp_path: Path,
) -> None:
    state = tmp_path / "s.sqlite"
    with watch_lab(tmp_path) as lab:
        request = RunRequest(env="localnet", state=state)
        with ExitStack() as stack:
            assert open_store(request, lab.session, stack) is not None
        lab.ledger.begin_anew(1_000)
        lab.inject(FaultKind.RPC_ERROR, method="getGenesisHash", code=-32601, times=None)
        with LedgerSession(lab.session.network, SessionOptions()) as session, ExitStack() as stack:
            assert open_store(request, session, stack) is not None
            session.check_genesis_hash()
            lab.ledger.clear_faults()
            with pytest.raises(
                LedgerReplacedError, match="the ledger has been replaced: its genesis hash was"
            ):
                session.check_genesis_hash()


def test_a_note_that_holds_for_long_is_said_once(lab: WatchLab, caplog: pytest.LogCaptureFixture) -> None:
    lab.start()
    lab.more_passes(10)
    told = [record for record in caplog.records if "is the metrics publisher of no device" in record.message]
    assert len(told) == len({record.message for record in told}) > 0


def test_a_device_that_did_not_answer_is_asked_over_a_new_connection(lab: WatchLab) -> None:
    watch = lab.start()
    lab.more_passes(1)
    (host,) = watch._setup.fleet.hosts.values()
    before = host.connections["napalm"]
    lab.devices.set_fault(lab.spec(0).device, DeviceFault.HANGUP)
    until(lambda: lab.told.reports[-1].devices[0].result is DeviceResult.FAILED)
    lab.devices.set_fault(lab.spec(0).device, None)
    until(lambda: lab.told.reports[-1].devices[0].result is DeviceResult.OK)
    assert host.connections["napalm"] is not before


# The end


def test_it_ends_at_once_while_it_waits_for_the_next_pass(lab: WatchLab) -> None:
    watch = lab.start(interval_s=60)
    watch.stop()
    began = time.monotonic()
    lab.stop()
    assert time.monotonic() - began < 2


def test_it_ends_at_once_while_it_waits_for_the_second_look(tmp_path: Path) -> None:
    with watch_lab(tmp_path, confirm_down_s=60) as lab:
        lab.start()
        lab.more_passes(1)
        asked = lab.devices.requests(lab.spec(0).device)
        lab.put(0, up=False)
        until(lambda: lab.devices.requests(lab.spec(0).device) > asked)
        began = time.monotonic()
        lab.stop()
        assert time.monotonic() - began < 3
        assert lab.writes() == {}


def test_a_write_under_way_at_the_end_is_waited_for_and_remembered(tmp_path: Path) -> None:
    with watch_lab(tmp_path, changed=0.25) as lab:
        lab.inject(FaultKind.DELAYED_SEND, slots=50)
        lab.start()
        until(lambda: lab.ledger.stats().requests.get("sendTransaction", 0) > 0)
        lab.stop()
        ((user, count),) = lab.writes().items()
        assert count == 1
        assert lab.history is not None
        assert lab.history.users()[user].written_slot is not None
        assert lab.all_landed(lab.history)


def test_the_end_is_bounded_while_a_write_is_stuck_and_a_new_start_ends_in_the_right_state(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with watch_lab(tmp_path, changed=0.25) as lab:
        lab.inject(FaultKind.STALL, method="getSignatureStatuses", delay_s=6)
        lab.start(stop_wait_s=0.2)
        until(lambda: lab.ledger.stats().faults.get("stall", 0) > 0)
        began = time.monotonic()
        lab.stop()
        assert time.monotonic() - began < 4
        assert "a write was still in flight at the end" in caplog.text
        assert lab.history is not None
        assert len(lab.history.in_flight()) == 1
        lab.ledger.clear_faults()
        lab.session._stopping = None
        lab.start()
        until(lambda: lab.history is not None and lab.history.in_flight() == [])
        lab.more_passes(3)
        assert list(lab.writes().values()) == [1]


def test_it_ends_by_itself_after_the_passes_it_was_told(lab: WatchLab) -> None:
    watch = lab.made(interval_s=0.01, passes=3)
    watch.run()
    assert lab.passes == 3


def test_a_signal_where_nothing_waits_only_asks_for_the_end(lab: WatchLab) -> None:
    watch = lab.made()
    watch.interrupt()
    watch.run()
    assert lab.passes == 0


def test_a_report_says_of_no_user_that_an_earlier_write_is_the_one_that_is_due(lab: WatchLab) -> None:
    lab.start()
    lab.more_passes(2)
    lab.put(0, up=False)
    until(lambda: lab.says(0, DOWN))
    until(lambda: any(report.submissions for report in lab.told.reports))
    (landed,) = [report for report in lab.told.reports if report.submissions]
    (done,) = landed.submissions.values()
    one = next(one for one in landed.decisions if one.user == done.user)
    again = structs.replace(one, action=Action.SUBMIT, status=UP, reason="changed")
    other = next(other for other in landed.decisions if other.user != done.user)
    due = structs.replace(other, action=Action.SUBMIT, status=DOWN, reason="changed")
    report = replace(landed, decisions=(again, due))
    assert Digest(report).headline == "Due: 2 users; of earlier passes: 1 written"
    rows = report.to_dict()["users"]
    assert [(row["status"], row["action"], row["result"], row["signature"]) for row in rows] == [
        ("up", "submit", None, None),
        ("down", "submit", None, None),
    ]
    assert report.to_dict()["summary"]["submitted"] == 1
    (row,) = replace(landed, decisions=(one,)).to_dict()["users"]
    assert (row["status"], row["action"], row["result"]) == ("down", "skip", "confirmed")


@pytest.mark.parametrize("history", [True, False])
def test_a_write_that_lands_after_its_time_limit_is_nobody_elses(tmp_path: Path, *, history: bool) -> None:
    quick = SubmitOptions(poll_s=0.01, resend_s=5, deadline_s=0.3, interrupt_wait_s=1)
    with watch_lab(tmp_path, history=history, submit=quick) as lab:
        lab.start()
        lab.more_passes(2)
        lab.put(0, up=False)
        until(lambda: lab.says(0, DOWN))
        lab.more_passes(10)
        lab.inject(FaultKind.DELAYED_SEND, slots=40)
        lab.put(0, up=True)
        until(lambda: lab.says(0, UP))
        lab.more_passes(20)
        written = [one.outcome for report in lab.told.reports for one in report.submissions.values()]
        assert Outcome.PENDING in written
        notes = [note for report in lab.told.reports for note in report.notes]
        assert not [note for note in notes if note.startswith("Another writer")]


# Reload


def change_hosts(lab: WatchLab, change: Callable[[dict[str, Any]], object]) -> None:
    file = lab.inventory / "hosts.yaml"
    yaml = ruamel.yaml.YAML(typ="safe")
    hosts = yaml.load(file.read_text())
    change(hosts)
    with file.open("w") as stream:
        yaml.dump(hosts, stream)


def test_a_reload_takes_a_new_host_in_and_its_users_are_written(tmp_path: Path) -> None:
    with watch_lab(tmp_path, devices=2, users=1, changed=1.0) as lab:
        left_out: dict[str, Any] = {}
        host = lab.world.devices[1].host
        change_hosts(lab, lambda hosts: left_out.update({host: hosts.pop(host)}))
        watch = lab.start()
        until(lambda: lab.told.counted("success") == 1)
        assert [reading.host for reading in lab.told.reports[-1].devices] == [lab.world.devices[0].host]
        change_hosts(lab, lambda hosts: hosts.update(left_out))
        watch.reload()
        until(lambda: lab.told.counted("success") == 2)
        assert [reading.host for reading in lab.told.reports[-1].devices][1:] == [host]
        assert set(lab.writes().values()) == {1}


def test_what_is_not_signed_yet_of_a_host_that_a_reload_takes_out_is_left_to_another_run(
    tmp_path: Path,
) -> None:
    with watch_lab(tmp_path, devices=2, users=2) as lab:
        kept, gone = lab.world.devices
        number = next(number for number, spec in enumerate(lab.world.users) if spec.device == gone.code)
        key = lab.spec(number).user.device_pk
        watch = lab.start()
        lab.more_passes(2)
        lab.inject(FaultKind.DELAY, method="simulateTransaction", delay_s=0.45)
        lab.put(number, up=False)
        until(lambda: "simulateTransaction" in lab.ledger.stats().requests)
        # The next pass takes longer than what is left of the simulation.
        lab.devices.set_fault(kept.code, DeviceFault.NO_ANSWER)
        change_hosts(lab, lambda hosts: hosts.pop(gone.host))
        watch.reload()
        with Store.open(tmp_path / "state.sqlite", lab.world.program_id) as other:
            other.hold({key: gone.code})
            before = [one.signature for one in writes(other)]
            lab.more_passes(3)
            assert [one.signature for one in writes(other)] == before


@pytest.mark.parametrize("content", ["{", "a: [", "[]", "x:\n  port: no\n"])
def test_a_malformed_inventory_keeps_the_old_one_and_says_so(
    lab: WatchLab, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    watch = lab.start()
    lab.more_passes(1)
    (lab.inventory / "hosts.yaml").write_text(content)
    watch.reload()
    until(lambda: "the previous inventory stays in use" in caplog.text)
    lab.more_passes(2)
    assert lab.told.reports[-1].devices[0].result is DeviceResult.OK
    assert "reload: " in caplog.text


def test_a_reload_that_raises_something_unforeseen_keeps_the_old_setup(
    lab: WatchLab, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = lab.start()
    lab.more_passes(1)
    monkeypatch.setattr(watch, "_load", lambda: 1 / 0)
    watch.reload()
    until(
        lambda: (
            "reload: internal error (ZeroDivisionError); the previous inventory stays in use" in caplog.text
        )
    )
    lab.more_passes(2)


def test_a_reload_while_it_waits_is_done_at_once(lab: WatchLab, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "dzbgp")
    watch = lab.start(interval_s=60)
    until(lambda: "watching" in caplog.text)
    watch.reload()
    until(lambda: "reloaded: 1 hosts" in caplog.text, within_s=5)


# systemd


class Manager:
    """Stands for systemd."""

    def __init__(self, directory: Path, watchdog_s: float = 1.0) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(directory / "notify"))
        self.socket.setblocking(False)
        self.notifier = Notifier(
            {"NOTIFY_SOCKET": str(directory / "notify"), "WATCHDOG_USEC": str(int(watchdog_s * 1e6))}
        )
        self.said: list[str] = []

    def heard(self) -> list[str]:
        """What was said since the last time."""
        fresh = []
        while True:
            try:
                fresh.append(self.socket.recv(65536).decode())
            except BlockingIOError:
                self.said += fresh
                return fresh

    def hears(self, start: str) -> None:
        until(lambda: self.heard() is not None and any(line.startswith(start) for line in self.said))


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    listening = Manager(tmp_path)
    yield listening
    listening.socket.close()


def test_systemd_is_told_ready_status_reloading_and_stopping(lab: WatchLab, manager: Manager) -> None:
    watch = lab.made(notifier=manager.notifier)
    thread = threading.Thread(target=watch.run, daemon=True)
    lab.watches.append((watch, thread))
    thread.start()
    manager.hears("STATUS=last pass ok: devices=1 devices_failed=0 users=4")
    watch.reload()
    manager.hears("RELOADING=1\nMONOTONIC_USEC=")
    lab.inject(FaultKind.HTTP_STATUS, times=None)
    lab.stop()
    manager.heard()
    kinds = [line.split("=")[0] for line in manager.said if not line.startswith(("WATCHDOG", "STATUS"))]
    assert kinds == ["READY", "RELOADING", "READY", "STOPPING"]


def test_the_status_says_that_a_pass_failed(lab: WatchLab, manager: Manager) -> None:
    lab.inject(FaultKind.HTTP_STATUS, times=None)
    lab.start(notifier=manager.notifier)  # type: ignore[arg-type]
    manager.hears("STATUS=last pass failed: RPC")


def test_the_watchdog_is_fed_between_passes_and_in_them_and_not_when_a_pass_hangs(
    lab: WatchLab, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs, let_go = threading.Event(), threading.Event()
    lab.start(interval_s=0.5, notifier=manager.notifier)  # type: ignore[arg-type]
    lab.more_passes(2)
    fed_at = []
    ends = time.monotonic() + 2
    while time.monotonic() < ends:
        if "WATCHDOG=1" in manager.heard():
            fed_at.append(time.monotonic())
        time.sleep(0.005)
    assert max(after - before for before, after in pairwise(fed_at)) < 1.0

    real_match = Fleet.match

    def hang(self: Fleet, *args: Any) -> Any:
        hangs.set()
        assert let_go.wait(DEADLINE_S)
        return real_match(self, *args)

    monkeypatch.setattr(Fleet, "match", hang)
    assert hangs.wait(DEADLINE_S)
    manager.heard()
    time.sleep(1.0)
    assert manager.heard() == []
    let_go.set()
    manager.hears("WATCHDOG=1")


def test_a_long_wait_for_the_second_look_feeds_the_watchdog(tmp_path: Path, manager: Manager) -> None:
    with watch_lab(tmp_path, confirm_down_s=1.5) as lab:
        lab.put(0, up=False)
        lab.start(notifier=manager.notifier)  # type: ignore[arg-type]
        lab.more_passes(1)
        assert manager.heard().count("WATCHDOG=1") >= 5


# Metrics


def test_a_device_that_leaves_the_ledger_leaves_no_frozen_series(tmp_path: Path) -> None:
    with watch_lab(tmp_path, devices=2, users=2) as lab:
        gone = lab.world.devices[1]
        lab.start()
        until(lambda: f'"{gone.code}"' in lab.told.metrics.render().decode())
        data = bytearray(lab.ledger.account(gone.device.pubkey) or b"")
        data[0] = 200
        lab.ledger.set_account(gone.device.pubkey, bytes(data))
        lab.session._fetcher.expire()
        until(lambda: f'"{gone.code}"' not in lab.told.metrics.render().decode())
        assert f'"{lab.world.devices[0].code}"' in lab.told.metrics.render().decode()


# The state, written from two threads


def test_the_history_survives_a_watch_and_its_worker_writing_at_once(tmp_path: Path) -> None:
    with watch_lab(tmp_path, devices=2, users=8, changed=1.0, rules=Rules(max_down=1.0)) as lab:
        lab.start(interval_s=0.01)
        for turn in range(12):
            for number in range(4):
                lab.put(number, up=turn % 2 == 0)
            lab.more_passes(3)
        lab.stop()
        assert lab.history is not None
        assert lab.history.problems == []
        lab.history.close()
        again = Store.open(tmp_path / "state.sqlite", lab.world.program_id)
        assert again.problems == []
        assert len(again.users()) == 16
        assert lab.all_landed(again)
        again.close()


def test_a_setup_that_can_not_be_loaded_is_said_at_the_start(lab: WatchLab) -> None:
    with pytest.raises(ZeroDivisionError):
        Watch(lab.session, None, lambda: 1 / 0, WatchOptions())  # type: ignore[arg-type,return-value]
