"""The result of writes that an earlier pass left in flight: a node may forget signatures, but not accounts."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from core_builders import make_user
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from solders.signature import Signature
from stage import Stage, anything, fast, stage

from dzbgp.lab.solana.faults import FaultKind as Kind
from dzbgp.ledger.rpc.client import RpcClient
from dzbgp.ledger.submit.expiry import settle
from dzbgp.ledger.submit.journal import NoJournal
from dzbgp.ledger.submit.settle import fates
from dzbgp.models.in_flight import Fate, InFlight, Settled
from dzbgp.models.ledger import BgpStatus


class Noting(NoJournal):
    def __init__(self) -> None:
        self.noted: list[InFlight] = []

    def sent(self, in_flight: InFlight) -> None:
        self.noted.append(in_flight)


@pytest.fixture
def one() -> Iterator[Stage]:
    """A ledger whose slots pass by hand."""
    with stage(users=3, slot_ms=0) as made:
        made.ledger.advance(200)
        made.recheck()
        yield made


def left_in_flight(made: Stage) -> InFlight:
    """Send a transaction as a run that ends before it knows more."""
    journal = Noting()
    made.submit(options=fast(deadline_s=1.0), journal=journal, authorize=anything)
    [sent] = journal.noted
    return sent


def fate_of(made: Stage, *sent: InFlight) -> list[Settled]:
    return made.ask(lambda client: fates(client, sent))


def test_a_clock_that_was_set_forward_makes_no_other_ledger_of_one_whose_finality_lags(one: Stage) -> None:
    one.inject(Kind.LOST_SEND, times=None)
    sent = replace(left_in_flight(one), sent_at=time.time() - 3_600)
    assert one.ask(lambda client: client.height())[0] < sent.since_slot
    assert fate_of(one, sent) == [Settled(Fate.PENDING)]


def test_until_a_finalized_block_is_beyond_its_last_valid_height_it_is_in_flight(one: Stage) -> None:
    one.inject(Kind.LOST_SEND, times=None)
    sent = left_in_flight(one)
    assert fate_of(one, sent) == [Settled(Fate.PENDING)]
    one.ledger.advance(140)
    assert fate_of(one, sent) == [Settled(Fate.PENDING)]
    one.ledger.advance(60)
    assert fate_of(one, sent) == [Settled(Fate.EXPIRED)]


def test_a_node_without_history_does_not_make_a_write_that_landed_look_expired(one: Stage) -> None:
    one.inject(Kind.BLIND_STATUSES, times=None)
    sent = left_in_flight(one)
    [landed] = one.ledger.transactions()
    one.ledger.advance(200)
    assert fate_of(one, sent) == [Settled(Fate.FINALIZED, dict.fromkeys(sent.users, landed.slot))]


def test_of_a_write_that_was_partly_reported_over_the_rest_counts_as_landed(one: Stage) -> None:
    """The guard weighs a Down of ours, even when another writer has reported a user of the same transaction since."""
    one.inject(Kind.BLIND_STATUSES, times=None)
    sent = left_in_flight(one)
    [landed] = one.ledger.transactions()
    first, *others = sent.users
    user = one.user(first)
    other = BgpStatus.UP if user.bgp_status is BgpStatus.DOWN else BgpStatus.DOWN
    one.change(first, bgp_status=other, last_bgp_reported_at=one.ledger.slot + 9)
    one.ledger.advance(200)
    assert fate_of(one, sent) == [Settled(Fate.FINALIZED, dict.fromkeys(others, landed.slot))]


def test_a_node_that_lags_clears_nothing(one: Stage) -> None:
    """Its accounts are from before the write landed."""
    one.inject(Kind.BLIND_STATUSES, times=None)
    sent = left_in_flight(one)
    one.ledger.advance(200)
    one.inject(Kind.STALE_SLOT, method="getMultipleAccounts", slots=210, times=1)

    async def of_any_age(client: RpcClient) -> list[Settled]:
        # Its time is not what gives it away.
        client.credibility.max_lag_s = 3_600
        return await fates(client, [sent])

    assert one.ask(of_any_age)[0].fate is Fate.FINALIZED


def test_what_is_read_after_a_fate_was_found_is_as_new_as_that(one: Stage) -> None:
    one.inject(Kind.LOST_SEND, times=None)
    sent = left_in_flight(one)
    one.ledger.advance(300)

    async def floor(client: object) -> int:
        await fates(client, [sent])  # type: ignore[arg-type]
        return client.read_floor  # type: ignore[attr-defined,no-any-return]

    assert one.ask(floor) >= one.ledger.slot - 40


def test_a_write_that_a_fork_undid_is_in_flight_again(one: Stage) -> None:
    journal = Noting()

    async def pass_time(_submitter: object) -> None:
        for _ in range(10):
            await asyncio.sleep(0.02)
            one.ledger.advance(1)

    one.submit(journal=journal, meanwhile=pass_time)
    [sent] = journal.noted
    assert fate_of(one, sent)[0].fate is Fate.CONFIRMED
    one.inject(Kind.FORK, method="getEpochInfo", slots=30)
    assert fate_of(one, sent) == [Settled(Fate.PENDING)]


def test_a_ledger_that_began_anew_at_a_lower_slot_holds_nothing_in_flight_for_long(one: Stage) -> None:
    sent = InFlight(
        "1" * 64, 900_000_000, {one.writes[0].user: BgpStatus.UP}, 950_000_000, time.time() - 3_600
    )
    fresh = replace(sent, signature=str(Signature.new_unique()), sent_at=time.time() - 5)
    assert fate_of(one, sent, fresh) == [Settled(Fate.EXPIRED), Settled(Fate.PENDING)]


USERS = [make_user(number) for number in range(1, 4)]
SENT = InFlight("signature", 500, {user.pubkey: BgpStatus.DOWN for user in USERS}, since_slot=100)


@given(
    st.lists(
        st.tuples(st.integers(0, 200), st.sampled_from([BgpStatus.UP, BgpStatus.DOWN])),
        min_size=3,
        max_size=3,
    ),
    st.sets(st.integers(0, 2)),
)
def test_one_account_that_was_not_reported_since_proves_that_nothing_landed(
    reports: Sequence[tuple[int, BgpStatus]], gone: set[int]
) -> None:
    users = {
        user.pubkey: None
        if number in gone
        else structs.replace(user, last_bgp_reported_at=slot, bgp_status=status)
        for number, (user, (slot, status)) in enumerate(zip(USERS, reports, strict=True))
    }
    settled = settle(SENT, users)
    found = [user for user in users.values() if user is not None]
    if any(user.last_bgp_reported_at < SENT.since_slot for user in found) or not found:
        assert settled == Settled(Fate.EXPIRED)
    else:
        downs = {user.pubkey for user in found if user.bgp_status is BgpStatus.DOWN}
        assert settled.landed.keys() == downs
        assert settled.fate.has_landed == bool(downs)
