"""Every way in which a send can go wrong, counted on the ledger: once, or reported; never twice, never wrongly."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace

import pytest
from stage import FAST, SOL, Stage, anything, exact, fast, outcomes, reasons, stage, until

from dzbgp.lab.solana.faults import FaultKind as Kind
from dzbgp.ledger.submit.packing import MAX_COMPUTE_UNITS
from dzbgp.ledger.submit.submitter import Submitter
from dzbgp.models.submission import Outcome

SEND = "sendTransaction"


@pytest.fixture
def one() -> Iterator[Stage]:
    """One device with five users: one transaction."""
    with stage() as made:
        yield made


@pytest.fixture
def hasty() -> Iterator[Stage]:
    """The same where a blockhash expires within half a second."""
    with stage(slot_ms=2) as made:
        yield made


# Nothing wrong


def test_a_thousand_writes_of_one_publisher_take_as_few_transactions_as_bytes_allow() -> None:
    with stage(1, 200) as made:
        done = made.submit()
        assert outcomes(done.submissions) == {"landed": 200}
        assert done.transactions == made.ledger.stats().transactions_executed == 11
        assert max(one.size for one in made.ledger.transactions()) <= 1232
        made.check(done.submissions)


def test_several_devices_of_one_publisher_share_a_transaction() -> None:
    with stage(6, 2) as made:
        done = made.submit()
        assert done.transactions == 3
        made.check(done.submissions)


def test_finalized_is_waited_for_when_it_is_asked_for(one: Stage) -> None:
    done = one.submit(options=fast(commitment="finalized"))
    assert exact(done.submissions) == {"finalized": 5}
    [landed] = one.ledger.transactions()
    assert one.ledger.slot - landed.slot >= 31
    one.check(done.submissions)


def test_one_poll_asks_about_everything_in_flight() -> None:
    with stage(3, 95, land_after=4) as made:
        done = made.submit(options=fast(poll_s=0.05))
        assert done.transactions == 15
        assert made.ledger.stats().requests["getSignatureStatuses"] <= 8
        made.check(done.submissions)


def test_no_more_transactions_are_in_flight_than_asked_for() -> None:
    with stage(1, 95) as made:
        made.inject(Kind.LOST_SEND, times=None)
        done = made.submit(options=fast(in_flight=2, deadline_s=2, resend_s=9))
        assert made.sent() == 2
        assert outcomes(done.submissions) == {"pending": 38, "failed": 57}
        made.check(done.submissions)


# The compute limit and what it costs


def test_the_compute_limit_comes_from_the_simulation_with_headroom(one: Stage) -> None:
    one.submit(priority_fee=1_000_000)
    # At a million micro-lamports a unit, a transaction's fee beyond the signature is its compute limit.
    limit = one.ledger.stats().fees - 5_000
    [landed] = one.ledger.transactions()
    used = next(int(line.split()[3]) for line in landed.logs if " consumed " in line)
    total = sum(int(line.split()[3]) for line in landed.logs if " consumed " in line)
    assert used < total < limit < 2 * total + 2_000 < MAX_COMPUTE_UNITS


def test_without_a_priority_fee_only_the_signature_is_paid(one: Stage) -> None:
    one.submit()
    assert one.ledger.stats().fees == 5_000


def test_a_priority_fee_must_not_be_affordable_for_more_units_than_are_used() -> None:
    with stage(balance=SOL // 50) as made:
        # 0.02 SOL pay for the units used, and not for the runtime's own limit of 1.4 million.
        done = made.submit(priority_fee=1_000_000_000)
        assert outcomes(done.submissions) == {"landed": 5}
        assert 5_000 < made.ledger.stats().fees < SOL // 50


# Answers that get lost


@pytest.mark.parametrize("kind", [Kind.HANGUP_AFTER, Kind.TRUNCATED, Kind.WRONG_ID])
def test_a_send_whose_answer_is_lost_is_found_and_not_sent_again(one: Stage, kind: Kind) -> None:
    one.inject(kind, method=SEND)
    done = one.submit(options=fast(resend_s=5))
    assert outcomes(done.submissions) == {"landed": 5}
    assert one.sent() == done.transactions == 1
    one.check(done.submissions)


def test_a_send_answered_503_although_it_was_executed_is_found(one: Stage) -> None:
    one.inject(Kind.HTTP_STATUS, method=SEND, executed=True)
    done = one.submit(options=fast(resend_s=5))
    assert outcomes(done.submissions) == {"landed": 5}
    assert one.sent() == 1
    one.check(done.submissions)


@pytest.mark.parametrize("kind", [Kind.HANGUP_BEFORE, Kind.HTTP_STATUS, Kind.GARBAGE, Kind.LOST_SEND])
def test_a_send_that_never_arrived_is_sent_again_as_it_was(one: Stage, kind: Kind) -> None:
    one.inject(kind, method=SEND, times=2)
    done = one.submit()
    assert outcomes(done.submissions) == {"landed": 5}
    assert one.sent() == 3
    assert done.transactions == 1
    one.check(done.submissions)


def test_a_send_that_is_late_is_sent_again_and_lands_once(one: Stage) -> None:
    one.inject(Kind.DELAYED_SEND, slots=40)
    done = one.submit(options=fast(resend_s=0.02))
    assert one.sent() > 1
    assert done.transactions == 1
    one.check(done.submissions)
    assert outcomes(done.submissions) == {"landed": 5}


@pytest.mark.parametrize("code", [-32005, -32603, -32429, -32099])
def test_a_node_that_can_not_take_it_now_is_asked_again_with_the_same_bytes(one: Stage, code: int) -> None:
    one.inject(Kind.RPC_ERROR, method=SEND, code=code, message="not now", times=2)
    done = one.submit()
    assert outcomes(done.submissions) == {"landed": 5}
    assert done.transactions == 1
    one.check(done.submissions)


@pytest.mark.parametrize(
    ("code", "message"), [(-32602, "Invalid params"), (-32003, "signature verification failure")]
)
def test_a_node_that_refuses_for_good_is_believed(one: Stage, code: int, message: str) -> None:
    one.inject(Kind.RPC_ERROR, method=SEND, code=code, message=message)
    done = one.submit()
    assert outcomes(done.submissions) == {"failed": 5}
    assert one.sent() == 1
    assert {submission.error for submission in done.submissions.values()} == {
        f"the node refused it: RPC {one.ledger.url}: sendTransaction: error {code}: {message}"
    }
    one.check(done.submissions)


def test_a_node_that_says_already_processed_is_no_failure(one: Stage) -> None:
    one.inject(Kind.HANGUP_AFTER, method=SEND)
    one.inject(Kind.BLIND_STATUSES, times=10)
    told = {"code": -32002, "message": "x", "data": {"err": "AlreadyProcessed"}}
    one.inject(Kind.RPC_ERROR, method=SEND, after=1, times=None, **told)
    done = one.submit(options=fast(resend_s=0.02))
    assert one.sent() > 1
    assert outcomes(done.submissions) == {"landed": 5}
    one.check(done.submissions)


# Rejections


def test_what_the_program_refuses_in_the_simulation_is_taken_out_before_anything_is_sent(one: Stage) -> None:
    one.move(1, 3)
    done = one.submit(authorize=anything)
    assert outcomes(done.submissions) == {"landed": 3, "failed": 2}
    assert done.transactions == 1
    stats = one.ledger.stats()
    assert (stats.transactions_failed, stats.requests["simulateTransaction"]) == (0, 3)
    one.check(done.submissions)


def test_a_rejection_is_told_with_name_number_and_the_programs_own_words(one: Stage) -> None:
    one.inject(Kind.REJECT_USER, method="simulateTransaction", user=one.writes[2].user)
    error = one.submit(authorize=anything).submissions[one.writes[2].user].error or ""
    assert "NotAllowed (8)" in error
    assert 'it logged "' in error


@pytest.mark.parametrize("count", [1, 3, 5])
def test_what_is_refused_only_when_it_lands_takes_one_more_round_for_each(one: Stage, count: int) -> None:
    one.inject(Kind.DELAYED_SEND, slots=80)

    async def move(_: Submitter) -> None:
        await until(lambda: one.sent() == 1)
        one.move(*range(count))

    done = one.submit(options=fast(resend_s=9), meanwhile=move, authorize=anything)
    expected = {"landed": 5 - count, "failed": count}
    assert outcomes(done.submissions) == {name: number for name, number in expected.items() if number}
    assert done.transactions <= 1 + count
    assert one.ledger.stats().requests["simulateTransaction"] <= 1 + count
    for write in one.writes[:count]:
        assert "NotAllowed (8)" in (done.submissions[write.user].error or "")
    one.check(done.submissions)


def test_many_rejections_do_not_cost_the_others_their_writes(one: Stage) -> None:
    """Each one turns up only after the one before it was taken out, and after the simulation has passed."""
    for after, write in enumerate(one.writes[:4]):
        one.inject(Kind.REJECT_USER, user=write.user, by_confirmation=True, after=after)
    done = one.submit()
    assert outcomes(done.submissions) == {"landed": 1, "failed": 4}
    assert done.transactions == 5
    one.check(done.submissions)


def test_a_refusal_costs_nobody_else_in_another_batch_anything() -> None:
    with stage(3, 25) as made:
        for number in (0, 30, 60):
            made.inject(Kind.REJECT_USER, user=made.writes[number].user, by_confirmation=True)
        done = made.submit()
        assert outcomes(done.submissions) == {"landed": 72, "failed": 3}
        assert done.transactions <= 6 + 3
        made.check(done.submissions)


def test_a_rejection_is_final_and_keeps_its_words_when_the_rpc_fails_afterwards(one: Stage) -> None:
    one.inject(Kind.REJECT_USER, method="simulateTransaction", user=one.writes[0].user)
    one.inject(Kind.RPC_ERROR, method="simulateTransaction", after=1, times=None)
    done = one.submit(authorize=anything)
    assert outcomes(done.submissions) == {"failed": 5}
    assert "NotAllowed (8)" in (done.submissions[one.writes[0].user].error or "")
    assert "not sent: " in (done.submissions[one.writes[1].user].error or "")
    one.check(done.submissions)


def test_a_preflight_that_fails_all_the_same_takes_out_the_one_it_names(one: Stage) -> None:
    data = {"err": {"InstructionError": [2, {"Custom": 8}]}, "logs": ["Program log: no"]}
    one.inject(Kind.RPC_ERROR, method=SEND, code=-32002, message="Transaction simulation failed", data=data)
    done = one.submit()
    assert outcomes(done.submissions) == {"landed": 4, "failed": 1}
    one.check(done.submissions)


def test_a_failure_is_no_less_one_for_being_finalized(one: Stage) -> None:
    one.inject(Kind.REJECT_USER, by_confirmation=True)
    done = one.submit(options=fast(commitment="finalized"))
    assert exact(done.submissions) == {"finalized": 4, "failed": 1}
    one.check(done.submissions)


# Expiry


def test_what_expires_is_not_signed_again_without_another_look(one: Stage) -> None:
    one.inject(Kind.EXPIRE_BLOCKHASH, method=SEND)
    done = one.submit()
    assert (done.submissions, reasons(done), done.transactions) == ({}, {"expired": 5}, 1)
    [why] = {refusal.detail for refusal in done.refused.values()}
    assert "expired before it landed: the device must be asked again" in why
    assert one.ledger.stats().per_user == {}
    one.recheck()
    again = one.submit()
    assert outcomes(again.submissions) == {"landed": 5}
    one.check(again.submissions)


def test_a_finalized_blockhash_that_is_old_is_not_used(one: Stage) -> None:
    one.inject(Kind.STALE_SLOT, method="getLatestBlockhash", slots=100)
    done = one.submit()
    assert outcomes(done.submissions) == {"landed": 5}
    assert (done.transactions, one.ledger.stats().requests["getLatestBlockhash"]) == (1, 2)
    one.check(done.submissions)


def test_expiry_is_not_believed_of_a_node_that_is_behind(
    one: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    one.inject(Kind.STALE_SLOT, method="getSignatureStatuses", slots=100_000, times=20)
    one.inject(Kind.EXPIRE_BLOCKHASH, method="getEpochInfo", slots=300)
    done = one.submit(options=fast(resend_s=0.02))
    assert one.ledger.stats().faults == {"stale_slot": 20, "expire_blockhash": 1}
    assert outcomes(done.submissions) == {"landed": 5}
    assert done.transactions == 1
    assert "unseen" not in caplog.text
    one.check(done.submissions)


def test_one_account_not_reported_since_proves_that_nothing_of_the_batch_has_landed(hasty: Stage) -> None:
    hasty.inject(Kind.LOST_SEND, times=None)

    async def somebody_else(_: Submitter) -> None:
        await until(lambda: hasty.sent() == 1)
        for write in hasty.writes[1:]:
            hasty.report_elsewhere(write.user, hasty.ledger.slot + 1)

    done = hasty.submit(meanwhile=somebody_else)
    assert (done.submissions, reasons(done), done.transactions) == ({}, {"expired": 5}, 1)


def test_what_landed_unseen_is_not_written_again(hasty: Stage, caplog: pytest.LogCaptureFixture) -> None:
    hasty.inject(Kind.BLIND_STATUSES, times=None)
    done = hasty.submit()
    assert exact(done.submissions) == {"finalized": 5}
    assert done.transactions == 1
    assert "landed unseen" in caplog.text
    hasty.check(done.submissions)


def test_what_failed_unseen_is_found_out_all_the_same(hasty: Stage) -> None:
    hasty.inject(Kind.REJECT_USER, by_confirmation=True)
    hasty.inject(Kind.BLIND_STATUSES, times=None)
    done = hasty.submit()
    assert (done.submissions, reasons(done)) == ({}, {"expired": 5})
    assert hasty.ledger.stats().per_user == {}


def test_blind_and_with_accounts_that_can_not_be_read_nothing_is_signed_anew(hasty: Stage) -> None:
    hasty.inject(Kind.BLIND_STATUSES, times=None)
    hasty.inject(Kind.RPC_ERROR, method="getMultipleAccounts", after=1, times=None)
    done = hasty.submit()
    assert outcomes(done.submissions) == {"pending": 5}
    assert done.transactions == 1
    hasty.check(done.submissions)


def test_blind_and_overwritten_by_somebody_else_nothing_is_signed_anew(hasty: Stage) -> None:
    hasty.inject(Kind.BLIND_STATUSES, times=None)

    async def overwrite(_: Submitter) -> None:
        await until(lambda: hasty.ledger.transactions() != [])
        for number, write in enumerate(hasty.writes, 1):
            hasty.report_elsewhere(write.user, hasty.ledger.slot + number)

    done = hasty.submit(meanwhile=overwrite)
    assert outcomes(done.submissions) == {"pending": 5}
    assert done.transactions == 1
    assert "another writer" in (done.submissions[hasty.writes[0].user].error or "")
    hasty.check(done.submissions)


def test_what_was_lost_is_not_taken_for_landed_because_somebody_else_reports_the_same_status(
    hasty: Stage,
) -> None:
    hasty.inject(Kind.LOST_SEND, times=None)
    # An agent's transaction is for one user.
    write = next(one for one in hasty.writes if one.rtt_ns)

    async def somebody_else(_: Submitter) -> None:
        await until(lambda: hasty.sent() == 1)
        slot, rtt_ns = hasty.ledger.slot, write.rtt_ns + 1_000
        hasty.change(write.user, bgp_status=write.status, bgp_rtt_ns=rtt_ns, last_bgp_reported_at=slot)

    done = hasty.submit([write], meanwhile=somebody_else)
    assert outcomes(done.submissions) == {"pending": 1}
    assert "another writer" in (done.submissions[write.user].error or "")


# Forks


def test_what_a_fork_undoes_before_it_is_confirmed_lands_again_as_it_was() -> None:
    with stage(confirmed_after=10) as made:
        made.inject(Kind.FORK, method="getSignatureStatuses", slots=9, after=1)
        done = made.submit(options=fast(resend_s=0.02))
        assert outcomes(done.submissions) == {"landed": 5}
        assert done.transactions == 1
        made.check(done.submissions)


def test_what_a_fork_undoes_before_it_is_final_lands_again_when_finalized_is_asked_for(one: Stage) -> None:
    one.inject(Kind.FORK, method="getSignatureStatuses", slots=9, after=2)
    done = one.submit(options=fast(commitment="finalized"))
    assert exact(done.submissions) == {"finalized": 5}
    assert done.transactions == 1
    one.check(done.submissions)


def test_what_a_fork_has_undone_is_not_said_to_be_there_when_time_is_over() -> None:
    with stage(slot_ms=50) as made:
        made.inject(Kind.FORK, method="getSignatureStatuses", slots=30, after=2)
        made.inject(Kind.RPC_ERROR, method=SEND, after=1, times=None)
        done = made.submit(options=fast(commitment="finalized", deadline_s=1.0))
        assert made.ledger.stats().per_user == {}
        assert outcomes(done.submissions) == {"pending": 5}
        error = done.submissions[made.writes[0].user].error or ""
        assert "at the end of the time limit it was last seen as " in error


# Time


@pytest.mark.parametrize("method", [SEND, "getSignatureStatuses", "simulateTransaction", None])
def test_an_rpc_that_stalls_in_the_middle_is_waited_for(method: str | None) -> None:
    """As one that stops for 20 s: it answers nothing for twice as long as a request may take."""
    with stage(slot_ms=20) as made:
        made.inject(Kind.STALL, method=method, delay_s=0.6, after=0 if method else 2)
        done = made.submit(budget=replace(FAST, request_s=0.3))
        assert outcomes(done.submissions) == {"landed": 5}
        assert done.transactions == 1
        made.check(done.submissions)


def test_when_time_is_over_what_was_sent_is_pending_with_its_signature() -> None:
    with stage(land_after=1_000) as made:
        done = made.submit(options=fast(deadline_s=0.3))
        assert outcomes(done.submissions) == {"pending": 5}
        assert "at the end of the time limit it was not seen" in (
            done.submissions[made.writes[0].user].error or ""
        )
        made.check(done.submissions)


def test_a_deadline_holds_although_the_rpc_says_nothing_at_all(one: Stage) -> None:
    one.inject(Kind.STALL, method="simulateTransaction", delay_s=9)
    done = one.submit(options=fast(deadline_s=0.3))
    assert outcomes(done.submissions) == {"failed": 5}
    assert "0.3 s for submissions are over" in (done.submissions[one.writes[0].user].error or "")


# Interruption


def after_sends(made: Stage, count: int) -> Callable[[Submitter], Awaitable[None]]:
    async def stop(submitter: Submitter) -> None:
        await until(lambda: made.sent() == count)
        submitter.stop("interrupted")

    return stop


def test_interrupted_what_was_sent_is_waited_for_and_the_rest_is_not_sent() -> None:
    with stage(1, 95, land_after=30) as made:
        done = made.submit(options=fast(in_flight=2, resend_s=9), meanwhile=after_sends(made, 2))
        assert outcomes(done.submissions) == {"landed": 38, "failed": 57}
        assert made.sent() == done.transactions == 2
        assert {one.error for one in done.submissions.values() if one.outcome is Outcome.FAILED} == {
            "not sent: interrupted"
        }
        made.check(done.submissions)


def test_interrupted_it_waits_only_so_long() -> None:
    with stage(land_after=10_000) as made:
        done = made.submit(options=fast(interrupt_wait_s=0.2), meanwhile=after_sends(made, 1))
        assert outcomes(done.submissions) == {"pending": 5}
        made.check(done.submissions)


def test_interrupted_while_it_prepares_it_does_not_wait_for_the_rpc(one: Stage) -> None:
    one.inject(Kind.STALL, method="simulateTransaction", delay_s=9)

    async def stop(submitter: Submitter) -> None:
        await asyncio.sleep(0.1)
        submitter.stop("interrupted")

    done = one.submit(meanwhile=stop)
    assert outcomes(done.submissions) == {"failed": 5}
    assert made_nothing(one)


def made_nothing(made: Stage) -> bool:
    return made.sent() == 0 and made.ledger.stats().transactions_executed == 0


def test_stopped_before_it_began_it_sends_nothing(one: Stage) -> None:
    async def stop(submitter: Submitter) -> None:
        submitter.stop("interrupted")
        await asyncio.sleep(0)

    done = one.submit(meanwhile=stop)
    assert outcomes(done.submissions)["failed"] >= 1
    one.check(done.submissions)


# What can't happen


def test_a_publisher_without_a_keypair_costs_nobody_else_anything() -> None:
    with stage(3, 2) as made:
        missing = made.keypairs.pop("tidewater").pubkey()
        done = made.submit()
        assert outcomes(done.submissions) == {"landed": 4, "failed": 2}
        assert f"no keypair for publisher {missing}" in str(done.submissions)
        made.check(done.submissions)


def test_a_fault_of_our_own_costs_nobody_else_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    with stage(2, 2) as made:
        broken = made.writes[0].publisher

        class Broken(dict[object, object]):
            def __getitem__(self, key: object) -> object:
                if key == broken:
                    raise RuntimeError("made up")
                return super().__getitem__(key)

        signers = made.signers
        monkeypatch.setattr(Stage, "signers", type(signers)(Broken(signers.keypairs)))  # type: ignore[arg-type]
        done = made.submit()
        assert outcomes(done.submissions) == {"failed": 2, "landed": 2}
        assert "not sent: internal error (RuntimeError)" in str(done.submissions)
