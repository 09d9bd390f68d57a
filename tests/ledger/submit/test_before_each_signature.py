"""Users are read again before each signature: what changed since the look, or is too old, is not signed."""

import asyncio
import gc
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from solders.message import Message
from solders.pubkey import Pubkey
from stage import Stage, fast, outcomes, reasons, stage, until

from dzbgp.errors import JournalError
from dzbgp.lab.solana.faults import FaultKind as Kind
from dzbgp.ledger.errors import LedgerError, RpcError
from dzbgp.ledger.rpc.client import RpcClient
from dzbgp.ledger.submit.journal import NoJournal
from dzbgp.ledger.submit.packing import Batch, TransactionBuilder
from dzbgp.ledger.submit.reread import Reread, Rereader
from dzbgp.ledger.submit.submitter import Submitter
from dzbgp.models.in_flight import InFlight
from dzbgp.models.ledger import BgpStatus, UserStatus
from dzbgp.models.moment import Moment


@pytest.fixture
def one() -> Iterator[Stage]:
    with stage() as made:
        yield made


def change(made: Stage, number: int, **changes: Any) -> Pubkey:
    """Change the user of a write as another writer."""
    made.change(made.writes[number].user, **changes)
    return made.writes[number].user


class Noting(NoJournal):
    def __init__(self) -> None:
        self.noted: list[InFlight] = []

    def sent(self, in_flight: InFlight) -> None:
        self.noted.append(in_flight)


def test_what_changed_between_the_look_and_the_first_signature_is_not_written(one: Stage) -> None:
    reported = change(one, 0, last_bgp_reported_at=one.ledger.slot + 50, bgp_status=BgpStatus.DOWN)
    banned = change(one, 1, status=UserStatus.BANNED)
    one.move(2)
    done = one.submit()
    assert {user: refusal.reason for user, refusal in done.refused.items()} == {
        reported: "newer-report",
        banned: "not-activated",
        one.writes[2].user: "moved",
    }
    assert outcomes(done.submissions) == {"landed": 2}
    assert set(one.ledger.stats().per_user) == {write.user for write in one.writes[3:]}


def test_what_changed_before_a_second_signature_is_not_written(one: Stage) -> None:
    """The first transaction is rejected when it lands, and the rest of it is signed again."""
    one.inject(Kind.DELAYED_SEND, slots=80)

    async def change_two(_: Submitter) -> None:
        await until(lambda: one.sent() == 1)
        one.move(0)
        change(one, 1, last_bgp_reported_at=one.ledger.slot + 200, bgp_status=BgpStatus.DOWN)

    done = one.submit(options=fast(resend_s=9), meanwhile=change_two)
    assert done.transactions == 2
    assert outcomes(done.submissions) == {"failed": 1, "landed": 3}
    assert reasons(done) == {"newer-report": 1}
    assert one.writes[1].user not in one.ledger.stats().per_user


def test_a_lost_transaction_is_not_signed_again_on_what_one_of_its_users_proves() -> None:
    """Of three users one was reported Down meanwhile and one was banned; the third proves that nothing landed."""
    with stage(users=3, slot_ms=2) as made:
        made.inject(Kind.LOST_SEND, times=None)

        async def an_agent(_: Submitter) -> None:
            await until(lambda: made.sent() == 1)
            change(made, 0, last_bgp_reported_at=made.ledger.slot, bgp_status=BgpStatus.DOWN)
            change(made, 1, status=UserStatus.BANNED)

        done = made.submit(meanwhile=an_agent)
        assert (done.submissions, reasons(done), done.transactions) == ({}, {"expired": 3}, 1)
        assert made.ledger.stats().per_user == {}


@pytest.mark.parametrize("later_s", [61.0, 3_600.0])
def test_a_decision_that_slept_is_not_signed(one: Stage, later_s: float) -> None:
    """As after a SIGSTOP or a suspend between the look and the signature."""
    looked_at = one.writes[0].look
    assert looked_at is not None
    done = one.submit(now=lambda: Moment(looked_at.at.unix + later_s, looked_at.at.monotonic))
    assert (done.submissions, reasons(done), one.sent()) == ({}, {"expired": 5}, 0)


def test_nothing_is_signed_while_the_users_cannot_be_read(one: Stage) -> None:
    one.inject(Kind.RPC_ERROR, method="getMultipleAccounts", code=-32602, times=None)
    done = one.submit()
    assert outcomes(done.submissions) == {"failed": 5}
    assert one.sent() == 0


def test_a_node_that_is_behind_the_look_is_not_believed(one: Stage) -> None:
    change(one, 0, status=UserStatus.BANNED)
    one.inject(Kind.STALE_SLOT, method="getMultipleAccounts", slots=1_000, times=2)
    done = one.submit()
    assert reasons(done) == {"not-activated": 1}
    assert one.ledger.stats().requests["getMultipleAccounts"] == 3


def test_batches_share_the_reads_before_their_signatures() -> None:
    with stage(1, 190, slot_ms=0) as made:

        async def pass_time(_submitter: Submitter) -> None:
            deadline, after = time.monotonic() + 60, 0
            while after < 40 and time.monotonic() < deadline:
                await asyncio.sleep(0.02)
                made.ledger.advance(1)
                after += made.ledger.stats().transactions_executed == 10

        made.submit(meanwhile=pass_time)
        stats = made.ledger.stats()
        assert stats.transactions_executed == 10
        assert stats.requests["getMultipleAccounts"] <= 6


@pytest.mark.parametrize("cancelled", [(0,), (1,), (0, 1)])
def test_a_read_that_fails_after_some_who_wait_for_it_were_cancelled_is_told_to_the_others_alone(
    one: Stage, cancelled: tuple[int, ...]
) -> None:
    one.inject(Kind.RPC_ERROR, method="getMultipleAccounts", code=-32602, times=None)
    told: list[dict[str, Any]] = []

    async def cancel_some(client: RpcClient) -> list[BaseException | Reread]:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        rereader = Rereader(client)
        waiting = [asyncio.create_task(rereader.read([write.user], 0)) for write in one.writes[:2]]
        await asyncio.sleep(0)
        for number in cancelled:
            waiting[number].cancel()
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        await until(lambda: not rereader._asking)
        return ended

    ended = one.ask(cancel_some)
    gc.collect()
    kinds = [asyncio.CancelledError if number in cancelled else RpcError for number in (0, 1)]
    assert list(map(type, ended)) == kinds
    assert one.ledger.stats().requests["getMultipleAccounts"] == 1
    assert told == []


def test_what_a_question_fails_with_that_was_given_up_is_not_logged(one: Stage) -> None:
    told: list[dict[str, Any]] = []

    async def question() -> bool:
        try:
            return await asyncio.sleep(60, result=True)
        except asyncio.CancelledError:
            raise LedgerError("closed early") from None

    async def stop_early(submitter: Submitter) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        submitter.stop("stopped by a signal")
        assert await submitter._unless_stopped(question()) is None
        await asyncio.sleep(0)
        gc.collect()

    one.submit(meanwhile=stop_early)
    assert told == []


def test_a_message_for_somebody_who_is_not_of_this_pass_is_an_internal_error_and_is_not_signed(
    one: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, other = TransactionBuilder.message, one.writes[0]

    def wrong(builder: TransactionBuilder, batch: Batch, *how: Any, **more: Any) -> Message:
        return right(builder, replace(batch, writes=(*batch.writes, other)), *how, **more)

    monkeypatch.setattr(TransactionBuilder, "message", wrong)
    done = one.submit(one.writes[1:])
    assert one.sent() == 0
    assert {submission.error for submission in done.submissions.values()} == {
        "not sent: internal error (UnexpectedTransactionError)"
    }


def test_what_cannot_be_noted_is_not_sent(one: Stage) -> None:
    class FullDisk(NoJournal):
        def sent(self, in_flight: InFlight) -> None:
            raise JournalError(f"--state x: {in_flight.signature[:0]}disk full")

    done = one.submit(journal=FullDisk())
    assert outcomes(done.submissions) == {"failed": 5}
    assert {submission.error for submission in done.submissions.values()} == {
        "not sent: --state x: disk full"
    }
    assert (one.sent(), done.transactions) == (0, 0)


def test_the_window_between_the_read_and_the_landing_is_short(one: Stage) -> None:
    """The lab finalizes 30 blocks behind what is confirmed: of a blockhash's 150 blocks so many fewer are left."""

    class Thawing(Noting):
        def sent(self, in_flight: InFlight) -> None:
            super().sent(in_flight)
            one.ledger.thaw()

    journal = Thawing()
    # No slot passes between the last read and the signature, so that what is measured is the blockhash's age.
    one.ledger.freeze()
    slot, height = one.ask(lambda client: client.height())
    one.submit(journal=journal)
    [sent] = journal.noted
    blocks = sent.last_valid_block_height - (sent.since_slot - (slot - height))
    assert blocks == 150 - 30
