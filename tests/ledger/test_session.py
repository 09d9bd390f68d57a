"""The ledger for threads: what a pass writes, and what an interruption leaves."""

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest
from stage import SECRET, Stage, fast, outcomes, stage

from dzbgp.lab.solana.faults import FaultKind as Kind
from dzbgp.ledger.errors import EmptyProgramError, WriteInterruptedError
from dzbgp.ledger.program.accounts import CONTRIBUTOR
from dzbgp.models.ledger import Contributor
from dzbgp.models.submission import Outcome
from dzbgp.run.authorize import authorizer


@pytest.fixture
def one() -> Iterator[Stage]:
    with stage() as made:
        yield made


class Interrupting:
    """Interrupts the main thread, as Ctrl-C does, when so many transactions have arrived."""

    def __init__(self, made: Stage, *counts: int) -> None:
        self._made = made
        self._counts = counts
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        for number, count in enumerate(self._counts):
            ends_at = time.monotonic() + 5
            while self._made.sent() < count and time.monotonic() < ends_at:
                time.sleep(0.005)
            time.sleep(0.2 if number else 0.02)
            os.kill(os.getpid(), signal.SIGINT)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join()


def test_a_pass_writes_reads_back_and_tells(one: Stage) -> None:
    counted: list[int] = []
    with one.session() as session:
        done = session.write(one.writes, one.signers, counted.append, authorize=authorizer())
        assert session.rpc_requests == sum(one.ledger.stats().requests.values())
    assert (outcomes(done.submissions), done.transactions, done.notes) == ({"landed": 5}, 1, [])
    assert sum(counted) == 5
    one.check(done.submissions)


def test_interrupted_what_was_sent_is_waited_for_and_reported() -> None:
    with stage(1, 95, land_after=40) as made, made.session(submit=fast(in_flight=2, resend_s=9)) as session:
        with Interrupting(made, 2):
            done = session.write(made.writes, made.signers, authorize=authorizer())
        assert outcomes(done.submissions) == {"landed": 38, "failed": 57}
        assert made.sent() == 2
        made.check(done.submissions)


def test_interrupted_before_anything_was_sent_nothing_is(one: Stage) -> None:
    one.inject(Kind.DELAY, method="getMultipleAccounts", delay_s=0.5)
    with one.session() as session:
        with Interrupting(one, 0):
            done = session.write(one.writes, one.signers, authorize=authorizer())
        assert {submission.error for submission in done.submissions.values()} == {"not sent: interrupted"}
    assert one.sent() == 0


def test_interrupted_again_it_leaves_at_once_and_says_that_something_may_have_been_written() -> None:
    started = time.monotonic()
    with stage(land_after=10_000) as made:  # noqa: SIM117 - the session is what must be left quickly
        with pytest.raises(WriteInterruptedError), made.session(submit=fast(interrupt_wait_s=9)) as session:
            with Interrupting(made, 1, 1):
                session.write(made.writes, made.signers, authorize=authorizer())
    assert time.monotonic() - started < 6


def test_one_line_a_transaction_tells_signature_users_slot_and_time(
    one: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="dzbgp"), one.session() as session:
        done = session.write(one.writes, one.signers, authorize=authorizer())
    submission = done.submissions[one.writes[0].user]
    [line] = [
        record.getMessage() for record in caplog.records if record.getMessage().startswith("transaction ")
    ]
    assert line.startswith(
        f"transaction signature={submission.signature} publisher={one.writes[0].publisher} users=5 "
        f"result={submission.outcome} slot={submission.slot} seconds=0."
    )


def test_a_contributor_whose_account_is_malformed_has_no_code_and_none_at_all_are_not_believed(
    one: Stage,
) -> None:
    codes = {spec.device.contributor_pk: spec.contributor for spec in one.world.devices}
    known = [Contributor(key, code) for key, code in codes.items()]
    with one.session() as session:
        assert set(session.contributors()) == set(known)
        one.ledger.set_account(known[0].pubkey, bytes([CONTRIBUTOR, 0]))
        assert set(session.contributors()) == {Contributor(known[0].pubkey, ""), *known[1:]}
        for contributor in known:
            one.ledger.set_account(contributor.pubkey, bytes([0]))
        with pytest.raises(EmptyProgramError, match="has no contributor accounts"):
            session.contributors()


def test_a_second_write_in_a_session_needs_no_new_one(one: Stage) -> None:
    with one.session() as session:
        first = session.write(one.writes[:2], one.signers, authorize=authorizer())
        second = session.write(one.writes[2:], one.signers, authorize=authorizer())
    one.check(first.submissions | second.submissions)


def test_an_rpc_that_was_left_out_of_one_write_is_asked_again_in_the_next(one: Stage) -> None:
    with stage() as other:
        other.inject(Kind.HTTP_STATUS, status=403)
        with one.session(other.url, one.url) as session:
            session.write(one.writes[:2], one.signers, authorize=authorizer())
            before = other.ledger.stats().http_requests
            session.write(one.writes[2:], one.signers, authorize=authorizer())
            assert other.ledger.stats().http_requests > before


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        (Kind.HTTP_STATUS, None),
        (Kind.HANGUP_AFTER, "sendTransaction"),
        (Kind.RPC_ERROR, "simulateTransaction"),
        (Kind.GARBAGE, "getMultipleAccounts"),
        (Kind.REJECT_USER, None),
    ],
)
def test_neither_the_urls_secret_nor_a_key_is_in_any_word(
    one: Stage, kind: Kind, method: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    one.inject(
        kind, method=method, times=3, **({"by_confirmation": True} if kind is Kind.REJECT_USER else {})
    )
    with caplog.at_level(logging.DEBUG, logger="dzbgp"), one.session() as session:
        done = session.write(one.writes, one.signers, authorize=authorizer())
    said = "".join(
        record.getMessage() + repr(record.args)
        for record in caplog.records
        if record.name.startswith("dzbgp")
    )
    said += repr(done) + repr(one.signers)
    assert SECRET not in said
    for keypair in one.keypairs.values():
        assert str(keypair) not in said
        assert repr(list(bytes(keypair)))[1:60] not in said
        assert bytes(keypair).hex() not in said
    one.check(done.submissions)
    assert all(one.outcome is not Outcome.PENDING for one in done.submissions.values())
