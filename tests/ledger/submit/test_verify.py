"""What was written is read back, and what differs from what was meant is told."""

from collections.abc import Callable, Iterator

import pytest
from solders.pubkey import Pubkey
from stage import Stage, outcomes, stage

from dzbgp.lab.solana.faults import FaultKind as Kind
from dzbgp.lab.world.encode import encode_user
from dzbgp.ledger.program.instruction import Write
from dzbgp.ledger.submit.verify import verify
from dzbgp.models.ledger import BgpStatus
from dzbgp.models.submission import Outcome, Submission
from dzbgp.run.authorize import authorizer


@pytest.fixture
def one() -> Iterator[Stage]:
    with stage(users=3) as made:
        yield made


def read_back(
    made: Stage, between: Callable[[Pubkey, Submission], None] = lambda *_: None
) -> tuple[dict[Pubkey, Submission], str | None]:
    """Writes, lets somebody do something `between`, and reads the first user's account back."""
    submissions = made.submit().submissions
    first = made.writes[0]
    between(first.user, submissions[first.user])
    return made.ask(lambda client: verify(client, made.writes, submissions))


def changed(made: Stage, key: Pubkey, **values: object) -> None:
    user = made.user(key)
    fields = {name: getattr(user, name) for name in user.__struct_fields__} | values
    made.ledger.set_account(key, encode_user(type(user)(**fields)))


def test_what_the_accounts_say_as_meant_needs_no_word(one: Stage) -> None:
    assert read_back(one) == ({}, None)
    assert one.ledger.stats().requests["getMultipleAccounts"] == 2  # before the signature and after


def test_another_status_in_the_slot_of_the_write_is_a_failure(one: Stage) -> None:
    other = BgpStatus.DOWN if one.writes[0].status is BgpStatus.UP else BgpStatus.UP
    corrected, note = read_back(one, lambda key, _: changed(one, key, bgp_status=other))
    [submission] = corrected.values()
    assert (submission.outcome, note) == (Outcome.FAILED, None)
    assert (submission.error or "").startswith(f"read back: the account says {other.label}, RTT")
    assert submission.signature


def test_another_rtt_is_a_failure(one: Stage) -> None:
    corrected, _ = read_back(one, lambda key, _: changed(one, key, bgp_rtt_ns=123))
    assert [submission.outcome for submission in corrected.values()] == [Outcome.FAILED]


def test_an_old_program_that_keeps_no_rtt_has_done_what_it_can(one: Stage) -> None:
    assert read_back(one, lambda key, _: changed(one, key, bgp_rtt_ns=0)) == ({}, None)


def test_a_write_that_is_not_there_any_more_may_land_again_and_is_pending(one: Stage) -> None:
    def undo(key: Pubkey, submission: Submission) -> None:
        changed(one, key, last_bgp_reported_at=(submission.slot or 0) - 7)

    corrected, _ = read_back(one, undo)
    [submission] = corrected.values()
    assert submission.outcome is Outcome.PENDING
    assert "confirmed in slot" in (submission.error or "")


def test_a_fork_after_the_confirmation_is_found_out(one: Stage) -> None:
    one.inject(Kind.FORK, method="getMultipleAccounts", slots=20, after=2)
    with one.session() as session:
        done = session.write(one.writes, one.signers, authorize=authorizer())
    assert outcomes(done.submissions) == {"pending": 3}
    assert one.ledger.stats().per_user == {}
    one.check(done.submissions)


def test_another_writer_who_came_later_is_told_and_is_no_failure(one: Stage) -> None:
    def later(key: Pubkey, submission: Submission) -> None:
        changed(one, key, last_bgp_reported_at=(submission.slot or 0) + 3, bgp_status=BgpStatus.DOWN)

    corrected, _ = read_back(one, later)
    [submission] = corrected.values()
    assert submission.outcome in {Outcome.CONFIRMED, Outcome.FINALIZED}
    assert (submission.error or "").startswith("read back: another writer has reported since: down, RTT")


def test_an_account_that_is_gone_or_no_user_any_more_is_a_failure(one: Stage) -> None:
    def spoil(_key: Pubkey, _submission: Submission) -> None:
        one.ledger.set_account(one.writes[0].user, b"\x05" + bytes(300))
        one.ledger.set_balance(one.writes[1].user, 0)

    corrected, _ = read_back(one, spoil)
    assert [submission.outcome for submission in corrected.values()] == [Outcome.FAILED] * 2
    assert "account type 5" in (corrected[one.writes[0].user].error or "")
    assert "gone" in (corrected[one.writes[1].user].error or "")


def test_a_node_that_is_behind_is_asked_again(one: Stage) -> None:
    one.inject(Kind.STALE_SLOT, method="getMultipleAccounts", slots=100_000, times=2)
    assert read_back(one) == ({}, None)
    assert one.ledger.stats().requests["getMultipleAccounts"] == 4


def test_what_can_not_be_read_back_is_said_and_changes_nothing(one: Stage) -> None:
    one.inject(Kind.RPC_ERROR, method="getMultipleAccounts", after=1, times=None)
    corrected, note = read_back(one)
    assert corrected == {}
    assert (note or "").startswith("what was written could not be read back: RPC http://127.0.0.1")


def test_what_did_not_land_is_not_read_back(one: Stage) -> None:
    write = one.writes[0]
    submissions = {write.user: Submission(write.user, Outcome.PENDING, "signature", "why")}
    assert one.ask(lambda client: verify(client, [write], submissions)) == ({}, None)
    assert "getMultipleAccounts" not in one.ledger.stats().requests


def test_reading_back_can_be_left_out(one: Stage) -> None:
    with one.session(verify=False) as session:
        session.write(one.writes, one.signers, authorize=authorizer())
    assert one.ledger.stats().requests["getMultipleAccounts"] == 2  # the balances and before the signature


def test_each_write_is_compared_with_its_own_account(one: Stage) -> None:
    written: list[Write] = one.writes
    corrected, _ = read_back(one, lambda *_: changed(one, written[1].user, bgp_rtt_ns=9))
    assert list(corrected) == [written[1].user]
