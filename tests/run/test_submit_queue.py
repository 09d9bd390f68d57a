import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import pytest
from core_builders import key, make_device, make_user
from solders.pubkey import Pubkey

from dzbgp.ledger.errors import LedgerError, RpcTransportError
from dzbgp.ledger.program.instruction import Write
from dzbgp.ledger.session import LedgerSession, WriteResult
from dzbgp.ledger.submit.journal import Journal
from dzbgp.ledger.submit.reread import Authorize, Reread
from dzbgp.ledger.submit.signers import Signers
from dzbgp.models.decision import Action, Decision
from dzbgp.models.in_flight import Fate, InFlight, Settled
from dzbgp.models.ledger import BgpStatus
from dzbgp.models.session import Observation, Observed
from dzbgp.models.submission import Outcome, Submission
from dzbgp.run.submit_queue import CAPACITY, SubmitWorker
from dzbgp.state.in_flight import InFlightLog

DEADLINE_S = 10
UP, DOWN = BgpStatus.UP, BgpStatus.DOWN


class FakeLedger:
    """Notes each round of writes, and ends it when it is let go."""

    def __init__(self) -> None:
        self.rounds: list[dict[Pubkey, BgpStatus]] = []
        self.began = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.stopped = ""
        self.heeds_stop = True
        self.error: Exception | None = None
        self.fate = Settled(Fate.PENDING)
        self.asked: list[str] = []
        self.authorize: Authorize = lambda *_: {}

    def may_sign(self, *users: Pubkey) -> dict[Pubkey, str]:
        writes = [Write(user, key(1), key(2), DOWN) for user in users]
        return {user: why.reason for user, why in self.authorize(writes, Reread(1, None, {})).items()}

    def write(
        self,
        writes: Sequence[Write],
        signers: Signers,
        *,
        journal: Journal | None = None,
        authorize: Authorize,
    ) -> WriteResult:
        self.rounds.append({write.user: write.status for write in writes})
        self.authorize = authorize
        self.began.release()
        self.go.acquire()
        if self.error is not None:
            raise self.error
        return WriteResult(
            {
                write.user: Submission(write.user, Outcome.CONFIRMED, slot=9, status=write.status)
                for write in writes
            }
        )

    def stop_writing(self, why: str) -> None:
        self.stopped = why
        if self.heeds_stop:
            self.go.release()

    def fates(self, sent: Sequence[InFlight]) -> list[Settled]:
        self.asked += [one.signature for one in sent]
        return [self.fate] * len(sent)

    def wait_begun(self) -> None:
        assert self.began.acquire(timeout=DEADLINE_S)


@contextmanager
def working(**more: Any) -> Iterator[tuple[SubmitWorker, FakeLedger]]:
    ledger = FakeLedger()
    worker = SubmitWorker(
        cast("LedgerSession", ledger), lambda: Signers({}), lambda: lambda *_: {}, None, **more
    )
    try:
        yield worker, ledger
    finally:
        for _ in range(20):
            ledger.go.release()
        assert worker.stop(DEADLINE_S)


def decided(number: int, status: BgpStatus = UP) -> Decision:
    observation = Observation(make_user(number), make_device(), "host", Observed.ESTABLISHED)
    return Decision(observation, Action.SUBMIT, status, "changed", "")


def user_of(number: int) -> Pubkey:
    return make_user(number).pubkey


def test_what_is_offered_is_written_and_its_result_is_told_once() -> None:
    with working() as (worker, ledger):
        ledger.go.release()
        worker.begin_pass()
        assert worker.offer([decided(1), decided(2, DOWN)]) == 0
        assert worker.wait_idle(DEADLINE_S)
        assert ledger.rounds == [{user_of(1): UP, user_of(2): DOWN}]
        (finished,) = worker.begin_pass().finished
        assert {one.user for one in finished.decisions} == finished.result.submissions.keys()
        assert worker.begin_pass().finished == ()


def test_the_oldest_status_of_a_user_that_waits_is_replaced_by_its_newest() -> None:
    with working() as (worker, ledger):
        worker.offer([decided(1)])
        ledger.wait_begun()
        worker.begin_pass()
        worker.offer([decided(2, UP), decided(3, UP)])
        worker.offer([decided(2, DOWN)])
        assert worker.waiting() == {user_of(2), user_of(3)}
        ledger.go.release()
        ledger.wait_begun()
        assert ledger.rounds[1] == {user_of(2): DOWN, user_of(3): UP}


def test_the_queue_holds_256_users_and_says_how_many_more_there_were() -> None:
    assert CAPACITY == 256
    with working() as (worker, ledger):
        worker.offer([decided(1)])
        ledger.wait_begun()
        assert worker.offer([decided(number) for number in range(2, 302)]) == 300 - 256
        assert worker.offer([decided(2, DOWN), decided(400)]) == 1
        assert len(worker.waiting()) == 256


def test_a_user_whose_write_is_under_way_is_refused_and_does_not_count_as_dropped() -> None:
    with working() as (worker, ledger):
        worker.offer([decided(1)])
        ledger.wait_begun()
        assert worker.begin_pass().busy == worker.busy() == {user_of(1)}
        assert worker.offer([decided(1, DOWN)]) == 0
        assert worker.waiting() == frozenset()


def test_a_user_whose_write_has_ended_since_the_pass_began_is_refused_until_the_next_pass() -> None:
    with working() as (worker, ledger):
        worker.offer([decided(1)])
        ledger.wait_begun()
        worker.begin_pass()
        ledger.go.release()
        assert worker.wait_idle(DEADLINE_S)
        worker.offer([decided(1)])
        assert worker.waiting() == frozenset()
        worker.begin_pass()
        worker.offer([decided(1)])
        ledger.wait_begun()
        assert len(ledger.rounds) == 2


def test_a_user_that_waited_when_the_pass_began_and_was_written_since_is_refused() -> None:
    with working() as (worker, ledger):
        worker.offer([decided(1)])
        ledger.wait_begun()
        worker.offer([decided(2)])
        assert worker.begin_pass().busy == {user_of(1)}
        ledger.go.release()
        ledger.go.release()
        assert worker.wait_idle(DEADLINE_S)
        worker.offer([decided(2), decided(3)])
        ledger.wait_begun()
        ledger.wait_begun()
        assert [set(one) for one in ledger.rounds] == [{user_of(1)}, {user_of(2)}, {user_of(3)}]


def test_what_is_retracted_is_not_written() -> None:
    with working() as (worker, ledger):
        worker.offer([decided(1)])
        ledger.wait_begun()
        worker.offer([decided(2), decided(3)])
        worker.keep_only({user_of(1): UP, user_of(3): UP})
        ledger.go.release()
        ledger.wait_begun()
        assert set(ledger.rounds[1]) == {user_of(3)}


def test_what_a_later_pass_does_not_decide_again_is_not_signed() -> None:
    with working() as (worker, ledger):
        worker.offer([decided(1, DOWN), decided(2, DOWN), decided(3, UP)])
        ledger.wait_begun()
        worker.keep_only({user_of(1): DOWN, user_of(2): UP})
        assert ledger.may_sign(user_of(1), user_of(2), user_of(3)) == {
            user_of(2): "superseded",
            user_of(3): "superseded",
        }
        ledger.go.release()
        assert worker.wait_idle(DEADLINE_S)
        worker.begin_pass()
        worker.offer([decided(2, UP)])
        ledger.wait_begun()
        assert ledger.may_sign(user_of(2)) == {}


def test_after_a_pass_that_failed_nothing_that_was_queued_is_signed() -> None:
    with working() as (worker, ledger):
        worker.offer([decided(1, DOWN)])
        ledger.wait_begun()
        worker.offer([decided(2, DOWN)])
        worker.keep_only({})
        assert worker.waiting() == frozenset()
        assert ledger.may_sign(user_of(1)) == {user_of(1): "superseded"}


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RpcTransportError("no answer"), "no answer"),
        (ZeroDivisionError(), "internal error (ZeroDivisionError); it may have been sent"),
    ],
)
def test_an_exception_fails_its_round_and_the_next_one_is_written(error: Exception, told: str) -> None:
    with working() as (worker, ledger):
        ledger.error = error
        ledger.go.release()
        worker.offer([decided(1)])
        assert worker.wait_idle(DEADLINE_S)
        ((failed,),) = (one.result.submissions.values() for one in worker.begin_pass().finished)
        assert (failed.outcome, failed.error, failed.status) == (Outcome.FAILED, told, UP)
        ledger.error = None
        ledger.go.release()
        worker.offer([decided(1)])
        assert worker.wait_idle(DEADLINE_S)
        ((landed,),) = (one.result.submissions.values() for one in worker.begin_pass().finished)
        assert landed.outcome is Outcome.CONFIRMED


def test_the_end_begins_nothing_more_and_waits_for_what_is_under_way(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with working() as (worker, ledger):
        worker.offer([decided(1)])
        ledger.wait_begun()
        worker.offer([decided(2)])
        assert worker.stop(DEADLINE_S)
        assert ledger.stopped == "stopping"
        assert "1 writes had not begun" in caplog.text
        assert len(ledger.rounds) == 1
        assert len(worker.begin_pass().finished) == 1
        worker.offer([decided(3)])
        assert worker.waiting() == frozenset()


def test_the_end_of_a_worker_that_is_stuck_is_bounded() -> None:
    with working() as (worker, ledger):
        ledger.heeds_stop = False
        worker.offer([decided(1)])
        ledger.wait_begun()
        began = time.monotonic()
        assert not worker.stop(0.05)
        assert time.monotonic() - began < 2


def test_stopping_twice_does_no_harm() -> None:
    with working() as (worker, _):
        assert worker.stop(DEADLINE_S)
        assert worker.stop(DEADLINE_S)


def in_flight(*numbers: int) -> tuple[InFlightLog, FakeLedger]:
    log = InFlightLog()
    for number in numbers:
        log.sent(InFlight(f"signature-{number}", 500, {user_of(number): UP}))
    return log, FakeLedger()


def unsettled(log: InFlightLog, ledger: FakeLedger, *busy: int) -> frozenset[Pubkey]:
    return log.unsettled(cast("LedgerSession", ledger), {user_of(number) for number in busy})


def test_a_write_whose_fate_is_not_known_withholds_its_user_without_any_state_file() -> None:
    log, ledger = in_flight(1, 2)
    log.ended("signature-2", Fate.FINALIZED)
    assert unsettled(log, ledger) == {user_of(1)}
    assert ledger.asked == ["signature-1"]


def test_a_write_that_the_worker_still_follows_is_not_asked_for() -> None:
    log, ledger = in_flight(1)
    assert unsettled(log, ledger, 1) == frozenset()
    assert ledger.asked == []


def test_a_write_that_has_expired_withholds_nobody_any_more() -> None:
    log, ledger = in_flight(1)
    ledger.fate = Settled(Fate.EXPIRED)
    assert unsettled(log, ledger) == frozenset()
    assert unsettled(log, ledger) == frozenset()
    assert ledger.asked == ["signature-1"]


def test_a_write_that_landed_late_withholds_its_user_until_a_pass_has_read_it() -> None:
    log, ledger = in_flight(1)
    ledger.fate = Settled(Fate.CONFIRMED, {user_of(1): 40})
    assert unsettled(log, ledger) == {user_of(1)}
    log.read(39)
    assert unsettled(log, ledger) == {user_of(1)}
    log.read(40)
    assert unsettled(log, ledger) == frozenset()


def test_a_write_that_a_fork_undoes_after_it_was_confirmed_withholds_its_user_again() -> None:
    log, ledger = in_flight(1)
    log.ended("signature-1", Fate.CONFIRMED)
    ledger.fate = Settled(Fate.CONFIRMED, {user_of(1): 40})
    assert unsettled(log, ledger) == frozenset()
    ledger.fate = Settled(Fate.PENDING)
    assert unsettled(log, ledger) == {user_of(1)}
    ledger.fate = Settled(Fate.FINALIZED, {user_of(1): 45})
    assert unsettled(log, ledger) == frozenset()
    assert unsettled(log, ledger) == frozenset()
    assert ledger.asked == ["signature-1"] * 3


def test_a_ledger_that_does_not_say_forgets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    log, ledger = in_flight(1)

    def refuses(_: object) -> list[Settled]:
        raise RpcTransportError("no answer")

    with monkeypatch.context() as patched:
        patched.setattr(ledger, "fates", refuses)
        with pytest.raises(LedgerError):
            unsettled(log, ledger)
    assert unsettled(log, ledger) == {user_of(1)}
