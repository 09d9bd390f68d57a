"""Ledgers that lie by standing still, that lag, or that say absurd things: none of them is believed."""

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from stage import FAST, Stage, anything, stage

from dzbgp.lab.solana.faults import Fault
from dzbgp.lab.solana.faults import FaultKind as Kind
from dzbgp.ledger.errors import LedgerBehindError, RpcError
from dzbgp.ledger.program.fetch import fetch
from dzbgp.ledger.rpc.client import RpcClient
from dzbgp.ledger.session import LedgerSession
from dzbgp.models.ledger import NOMINAL_SECONDS_PER_SLOT, ProgramData, Sighting
from dzbgp.models.moment import Moment
from dzbgp.models.submission import Outcome

QUICK = replace(FAST, attempts=2)


@pytest.fixture
def one() -> Iterator[Stage]:
    with stage(users=3) as made:
        yield made


def an_hour_later(session: LedgerSession) -> Sighting:
    """What a run would remember an hour later: no test waits for that."""
    assert session.floor is not None
    return Sighting(session.floor.slot, session.floor.at - 3600)


def read_by_the_next_run(made: Stage, *urls: str) -> ProgramData:
    """Read as a run that follows another one, which ended before the faults."""
    with made.session(budget=QUICK) as first:
        first.program_data()
        floor = an_hour_later(first)
    made.inject(Kind.FROZEN_SLOT, times=None)
    with made.session(*urls, budget=QUICK) as second:
        second.restore_floor(floor)
        return second.program_data().data


# a. and b.


def test_a_node_that_stands_still_from_run_to_run_is_read_and_not_believed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with stage(users=3, slot_ms=0) as still:
        data = read_by_the_next_run(still)
    assert data.users
    assert "does not advance" in data.doubt
    assert data.doubt in data.remarks
    assert "does not advance" in caplog.text


def test_a_node_that_stands_still_within_a_pass_is_not_believed_before_a_signature(one: Stage) -> None:
    with one.session(budget=QUICK) as session:
        session.program_data()
        one.inject(Kind.FROZEN_SLOT, times=None)
        credibility = session._client.credibility
        assert credibility._last is not None
        # As if the look at the devices had taken an hour.
        credibility._last = replace(credibility._last, at=Moment(credibility._last.at.unix - 3600))
        done = session.write(one.writes, one.signers, authorize=anything)
    assert one.sent() == 0
    for submission in done.submissions.values():
        assert submission.outcome is Outcome.FAILED
        assert "is not believed: it does not advance" in (submission.error or "")


def test_beside_an_rpc_that_stands_still_the_next_one_is_asked(caplog: pytest.LogCaptureFixture) -> None:
    with stage(users=3, slot_ms=100) as made:
        healthy = made.ledger.add_rpc()
        with made.session(budget=QUICK) as first:
            first.program_data()
            floor = first.floor
        assert floor is not None
        made.inject(Kind.FROZEN_SLOT, times=None)
        made.ask(lambda client: client.bank(), budget=QUICK)
        made.ledger.advance(100)
        with made.session(made.url, healthy, budget=QUICK) as second:
            second.restore_floor(Sighting(floor.slot, floor.at - 3600))
            fetched = second.program_data()
            assert second._client.pool.where == healthy
    assert fetched.doubt == ""
    assert fetched.data.slot > floor.slot + 90
    assert "does not advance" in caplog.text
    assert "asking another RPC" in caplog.text


# c.


def test_program_accounts_of_a_node_that_lags_are_not_taken_beside_a_fresh_clock(one: Stage) -> None:
    one.inject(Kind.STALE_SLOT, method="getProgramAccounts", slots=90, times=None)
    with pytest.raises(RpcError, match="-32016"):
        one.ask(fetch, budget=QUICK)
    healthy = one.ledger.add_rpc()
    data = one.ask(fetch, one.url, healthy, budget=QUICK)
    assert data.doubt == ""
    assert data.slot > one.ledger.slot - 90


# e.


@pytest.mark.parametrize("slots", [1, 100_000])
def test_an_absurd_slot_time_is_not_used_and_said(one: Stage, slots: int) -> None:
    one.inject(Kind.ABSURD_SAMPLES, slots=slots, times=None)
    data = one.ask(fetch)
    assert data.seconds_per_slot == NOMINAL_SECONDS_PER_SLOT
    assert any("s a slot, expected 0.1 to 2 s" in remark for remark in data.remarks)


def test_the_slot_time_is_asked_once_in_ten_minutes(one: Stage) -> None:
    async def twice(client: RpcClient) -> None:
        await fetch(client)
        await fetch(client)

    one.ask(twice)
    requests = one.ledger.stats().requests
    assert requests["getRecentPerformanceSamples"] == 1
    assert sum(requests.values()) == 1 + 2 * 4  # the Clock, devices, tenants, users


# f.


def test_a_ledger_that_began_anew_at_a_lower_slot_has_another_genesis_hash_and_is_not_taken_for_the_old_one(
    one: Stage,
) -> None:
    with one.session(budget=QUICK) as session:
        genesis = session.genesis_hash()
        session.program_data()
        floor = session.floor
    one.ledger.begin_anew(1_000)
    with one.session(budget=QUICK) as session:
        assert session.genesis_hash() != genesis
        session.restore_floor(floor)
        assert "was seen before" in session.program_data().doubt
    with one.session(budget=QUICK) as session:
        assert session.program_data().doubt == ""


def test_what_was_seen_of_a_ledger_that_did_not_tell_its_name_is_no_measure_of_one_that_does(
    one: Stage,
) -> None:
    one.inject(Kind.RPC_ERROR, method="getGenesisHash", code=-32601, times=None)
    with one.session(budget=QUICK) as session:
        session.check_genesis_hash()
        session.program_data()
        one.ledger.begin_anew(1_000)
        session.expire()
        assert "was seen before" in session.program_data().doubt
        one.ledger.clear_faults()
        session.check_genesis_hash()
        session.expire()
        assert session.program_data().doubt == ""


# g.


@pytest.mark.parametrize(
    ("shift_s", "words"),
    [(-120, "behind this machine's clock"), (120, "ahead of this machine's clock")],
)
def test_where_time_differs_on_every_rpc_that_moves_this_machines_clock_is_named(
    shift_s: float, words: str
) -> None:
    with stage(users=3) as made:
        shifted = Fault(kind=Kind.SHIFTED_CLOCK, delay_s=shift_s, times=None)
        other = made.ledger.add_rpc([shifted])
        made.ledger.inject(shifted)
        data = made.ask(fetch, made.url, other)
    assert words in data.doubt
    assert "this machine's clock may be wrong" in data.doubt


def test_an_rpc_whose_time_differs_is_left_for_one_whose_time_does_not(one: Stage) -> None:
    one.inject(Kind.SHIFTED_CLOCK, delay_s=-90, times=None)
    assert one.ask(fetch, one.url, one.ledger.add_rpc(), budget=QUICK).doubt == ""


def test_the_limit_of_the_difference_is_an_option(one: Stage) -> None:
    one.inject(Kind.SHIFTED_CLOCK, delay_s=-90, times=None)
    with one.session(budget=QUICK, max_ledger_lag_s=100.0) as session:
        assert session.program_data().doubt == ""


def test_without_a_clock_motion_decides(one: Stage) -> None:
    one.inject(Kind.NO_CLOCK, times=None)
    started = time.monotonic()
    data = one.ask(fetch)
    assert time.monotonic() - started >= 2
    assert (data.doubt, data.ledger_at) == ("", None)


def test_without_a_clock_a_ledger_that_stands_still_is_not_believed() -> None:
    with stage(users=3, slot_ms=0) as made:
        made.inject(Kind.NO_CLOCK, times=None)
        assert "does not advance" in made.ask(fetch, budget=QUICK).doubt


def test_one_absurd_slot_is_asked_again_and_not_remembered(one: Stage) -> None:
    one.inject(Kind.ABSURD_SLOT, method="getMultipleAccounts")
    one.inject(Kind.ABSURD_SLOT, method="getProgramAccounts")

    async def read(client: RpcClient) -> tuple[ProgramData, Sighting | None]:
        return await fetch(client), client.credibility.floor

    data, floor = one.ask(read)
    assert data.doubt == ""
    assert floor is not None
    assert floor.slot <= data.slot <= (data.newest_slot or 0) <= one.ledger.slot


def test_what_is_not_believed_is_raised_where_an_answer_must_be_right(one: Stage) -> None:
    one.inject(Kind.SHIFTED_CLOCK, delay_s=-90, times=None)
    with pytest.raises(LedgerBehindError, match=r"9[01] s behind"):
        one.ask(lambda client: client.bank(), budget=QUICK)
