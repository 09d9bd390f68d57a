"""Which readings of the ledger are believed: it moves, it is not behind, and its time is this machine's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dzbgp.ledger.rpc.credible import (
    FASTEST_S,
    MOTION_S,
    SLACK_SLOTS,
    Credibility,
    raised,
    slot_time,
    slots_due,
)
from dzbgp.models.ledger import Sighting
from dzbgp.models.moment import Moment

NOW = 1_800_000_000.0
SLOT = 300_000_000
slots = st.integers(0, 2**62)
times = st.floats(0, 4e9, allow_nan=False)


def after(seconds: float, *, set_back_s: float = 0.0) -> Moment:
    """Return the moment so long after NOW, by a clock that was set back since."""
    return Moment(NOW + seconds - set_back_s, 1_000.0 + seconds)


def seen(*readings: tuple[int, float], floor: Sighting | None = None) -> Credibility:
    """Believes readings as (slot, seconds from NOW)."""
    made = Credibility(60.0)
    made.restore(floor)
    for slot, at in readings:
        made.believe(slot, NOW + at, after(at))
    return made


def doubt(made: Credibility, slot: int, at: float, *, behind_s: float | None = 0.0, rpc: str = "a") -> str:
    ledger_at = None if behind_s is None else NOW + at - behind_s
    return made.doubt(rpc, slot, ledger_at, after(at)) or ""


def test_the_first_reading_needs_only_the_time_of_this_machine() -> None:
    assert doubt(seen(), SLOT, 0) == ""


@pytest.mark.parametrize(
    ("behind_s", "words"),
    [
        (61, "61 s behind this machine's clock"),
        (-61, "61 s ahead of this machine's clock"),
        (60, ""),
        (-60, ""),
    ],
)
def test_a_time_that_differs_by_more_than_the_limit_is_not_believed(behind_s: float, words: str) -> None:
    assert doubt(seen(), SLOT, 0, behind_s=behind_s).endswith(words)
    assert bool(doubt(seen(), SLOT, 0, behind_s=behind_s)) is bool(words)


def test_a_slot_below_the_floor_is_not_believed() -> None:
    floor = Sighting(SLOT, NOW - 10_000)
    assert "slot 300000000 was seen before" in doubt(seen(floor=floor), SLOT - 1, 0)


@pytest.mark.parametrize(
    ("later_s", "slots_on", "stands"),
    [(1, 0, False), (2, 0, True), (2, 1, False), (30, 14, True), (30, 15, False)],
)
def test_a_ledger_moves_by_a_slot_in_two_seconds_at_least(
    later_s: float, slots_on: int, stands: bool
) -> None:
    assert ("does not advance" in doubt(seen((SLOT, 0)), SLOT + slots_on, later_s)) is stands


def test_a_ledger_that_was_halted_for_an_hour_need_not_catch_up_first() -> None:
    assert doubt(seen((SLOT, 0)), SLOT + 30, 3600) == ""


def test_frequent_readings_show_motion_too() -> None:
    made = seen(*((SLOT, tenth / 10) for tenth in range(20)))
    assert "does not advance" in doubt(made, SLOT, 2.0)


def test_a_ledger_that_stood_in_the_last_run_and_stands_still_is_not_believed() -> None:
    """Without a Clock too: the floor of the last run is the first of the two readings."""
    last_run = seen((SLOT, 0))
    made = seen(floor=last_run.floor)
    assert "does not advance" in doubt(made, SLOT, 60, behind_s=None)


def test_without_a_clock_a_first_reading_has_to_be_repeated() -> None:
    made = seen()
    assert made.needs_another_reading(NOW, after(0)) == 0
    assert made.needs_another_reading(None, after(0)) == MOTION_S
    made.believe(SLOT, None, after(0))
    assert made.needs_another_reading(None, after(0.5)) == pytest.approx(1.5)
    assert made.needs_another_reading(None, after(2)) == 0


def test_one_absurd_slot_does_not_rule_out_every_later_answer() -> None:
    made = seen((SLOT, 0), (2**60, 5))
    assert made.least_slot <= SLOT + SLACK_SLOTS + 5 / FASTEST_S
    assert not Credibility(60.0).is_absurd(2**60, after(0))
    assert seen((SLOT, 0)).is_absurd(2**60, after(5))
    assert not seen((SLOT, 0)).is_absurd(SLOT + 200_000, after(5))
    assert not seen((SLOT, 0)).is_absurd(SLOT + 5_000_000, after(2e6))


def test_an_absurd_slot_of_a_write_is_no_floor() -> None:
    made = seen((SLOT, 0))
    made.must_reach(2**60)
    assert made.least_slot < SLOT
    made.must_reach(SLOT + 3)
    assert made.least_slot == SLOT + 3


def test_where_every_rpc_moves_and_differs_alike_this_machines_clock_is_named() -> None:
    made = seen()
    for attempt in range(2):
        for rpc, behind_s in (("a", 120.0), ("b", 121.0)):
            assert doubt(made, SLOT + attempt, attempt, behind_s=behind_s, rpc=rpc)
    assert "this machine's clock may be wrong" in made.verdict_on_clock()


@pytest.mark.parametrize(("moves", "other_s"), [(0, 120.0), (1, 600.0), (1, None)])
def test_where_one_stands_or_they_differ_it_is_not(moves: int, other_s: float | None) -> None:
    made = seen()
    for attempt in range(2):
        doubt(made, SLOT + attempt, attempt, behind_s=120.0, rpc="a")
        doubt(made, SLOT + attempt * moves, attempt, behind_s=other_s, rpc="b")
    assert made.verdict_on_clock() == ""


@pytest.mark.parametrize(
    ("rate", "believed"), [(0.4, 0.4), (0.1, 0.1), (2.0, 2.0), (0.09, None), (60.0, None), (None, None)]
)
def test_a_slot_time_has_bounds(rate: float | None, believed: float | None) -> None:
    assert slot_time(rate) == believed


sightings = st.builds(Sighting, slots, times, st.none() | times)


@given(sightings, sightings)
def test_a_floor_never_falls_and_never_rises_beyond_what_was_seen(known: Sighting, seen: Sighting) -> None:
    floor = raised(known, seen)
    elapsed_s = max(0.0, seen.at - known.at)
    if seen.ledger_at is not None and known.ledger_at is not None:
        elapsed_s = max(elapsed_s, seen.ledger_at - known.ledger_at)
    assert known.slot <= floor.slot <= max(known.slot, seen.slot)
    assert floor.slot - known.slot <= SLACK_SLOTS + elapsed_s / FASTEST_S
    assert floor.at <= seen.at


@given(st.floats(-4e9, 4e9, allow_nan=False))
def test_motion_is_asked_for_after_two_seconds_and_within_bounds(elapsed_s: float) -> None:
    due = slots_due(elapsed_s)
    assert 0 <= due <= 30
    assert (due == 0) is (elapsed_s < MOTION_S)


def test_a_ledger_that_does_not_advance_is_not_believed_because_the_clock_was_set_back() -> None:
    made = seen((SLOT, 0))
    why = made.doubt("a", SLOT, NOW, after(90, set_back_s=90))
    assert why == "it does not advance: slot 300000000, and 300000000 was seen 90 s before"


def test_a_floor_of_an_earlier_run_asks_for_no_motion_after_the_clock_was_set_back() -> None:
    made = seen(floor=Sighting(SLOT, NOW))
    assert made.doubt("a", SLOT, NOW - 90, after(0, set_back_s=90)) is None


def test_where_an_rpc_is_at_an_older_slot_the_clock_that_agrees_with_it_is_not_blamed() -> None:
    made = seen((SLOT, 0))
    for attempt in range(2):
        assert "was seen before" in doubt(made, SLOT - 100 + attempt, attempt, behind_s=40.0)
    assert made.verdict_on_clock() == ""


@pytest.mark.parametrize("set_back_s", [0.0, 60.0, 119.0, 120.0])
def test_a_ledger_that_stands_still_is_believed_by_one_run_at_most_after_the_clock_was_set_back(
    set_back_s: float,
) -> None:
    """Runs are two minutes apart. The ledger stopped, and the clock was set back, between the first two."""
    stopped = (SLOT + 150, NOW + 60)
    second = seen(floor=seen((SLOT, 0)).floor)
    assert second.doubt("a", *stopped, after(120, set_back_s=set_back_s)) is None
    second.believe(*stopped, after(120, set_back_s=set_back_s))
    third = seen(floor=second.floor)
    why = third.doubt("a", *stopped, after(240, set_back_s=set_back_s))
    assert why == "it does not advance: slot 300000150, and 300000134 was seen 120 s before"


@given(
    st.lists(st.tuples(st.floats(0.5, 30), st.floats(0.15, 1.9)), max_size=20), st.integers(0, SLACK_SLOTS)
)
def test_an_honest_ledger_is_always_believed(steps: list[tuple[float, float]], lag: int) -> None:
    """At any rate within the bounds, read at any moments, from nodes that are some slots behind one another."""
    made, at, slot = seen(), 0.0, float(SLOT)
    for wait_s, slot_s in steps:
        at += wait_s
        slot += wait_s / slot_s
        assert doubt(made, int(slot), at) == ""
        made.believe(int(slot), NOW + at, after(at))
        # Another node of the same pool, at once: not so new, and still above the floor.
        assert made.least_slot <= int(slot) - min(lag, SLACK_SLOTS)
