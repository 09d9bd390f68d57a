"""What is remembered of a user after each observation."""

from typing import Any

import pytest
from core_builders import key, make_device, make_user
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dzbgp.decision.memory import TRANSITIONS_KEPT, account_of, flaps, remember
from dzbgp.models.ledger import BgpStatus
from dzbgp.models.memory import UserMemory
from dzbgp.models.session import Neighbor, Observation, Observed

KEEP_S = 3600.0
ESTABLISHED, NOT_ESTABLISHED, ABSENT, UNKNOWN = Observed


def seen(observed: Observed, uptime_s: int = 10_000, device: int = 1) -> Observation:
    neighbor = None
    if observed in {ESTABLISHED, NOT_ESTABLISHED}:
        is_up = observed is ESTABLISHED
        neighbor = Neighbor("169.254.0.1", "vrf1", is_up, True, uptime_s if is_up else -1)
    return Observation(make_user(), make_device(device), "ams-1", observed, neighbor=neighbor)


def memory(**changes: Any) -> UserMemory:
    values: dict[str, Any] = {
        "device": make_device().pubkey,
        "seen_at": 1000.0,
        "up": True,
        "last_up_at": 1000.0,
        "reported_slot": 0,
        "account": account_of(make_user()),
    }
    return UserMemory(**(values | changes))


DOWN_BEFORE = memory(up=False, last_up_at=900.0, down_since=950.0)
Row = tuple[UserMemory | None, Observation, UserMemory]
TABLE: dict[str, Row] = {
    "first seen up": (
        None,
        seen(ESTABLISHED),
        memory(seen_at=1060.0, last_up_at=1060.0, first_seen_at=1060.0),
    ),
    "first seen down": (
        None,
        seen(NOT_ESTABLISHED),
        memory(seen_at=1060.0, up=False, last_up_at=None, down_since=1060.0, first_seen_at=1060.0),
    ),
    "first seen absent": (
        None,
        seen(ABSENT),
        memory(seen_at=1060.0, up=False, last_up_at=None, down_since=1060.0, first_seen_at=1060.0),
    ),
    "first seen unknown": (
        None,
        seen(UNKNOWN),
        memory(seen_at=1060.0, up=False, last_up_at=None, first_seen_at=1060.0),
    ),
    "unknown so far, now up": (
        memory(up=False, last_up_at=None, first_seen_at=1000.0),
        seen(ESTABLISHED, 10),
        memory(seen_at=1060.0, last_up_at=1060.0, first_seen_at=1000.0),
    ),
    "unknown so far, now down": (
        memory(up=False, last_up_at=None, first_seen_at=1000.0),
        seen(NOT_ESTABLISHED),
        memory(seen_at=1060.0, up=False, last_up_at=None, down_since=1060.0, first_seen_at=1000.0),
    ),
    "up, still up": (memory(), seen(ESTABLISHED), memory(seen_at=1060.0, last_up_at=1060.0)),
    "up, now down": (
        memory(),
        seen(NOT_ESTABLISHED),
        memory(seen_at=1060.0, up=False, down_since=1060.0, transitions=(1060.0,)),
    ),
    "up, now absent": (
        memory(),
        seen(ABSENT),
        memory(seen_at=1060.0, up=False, down_since=1060.0, transitions=(1060.0,)),
    ),
    "down, still down": (DOWN_BEFORE, seen(NOT_ESTABLISHED), replace(DOWN_BEFORE, seen_at=1060.0)),
    "down, now up": (
        DOWN_BEFORE,
        seen(ESTABLISHED, 5),
        memory(seen_at=1060.0, last_up_at=1060.0, transitions=(1060.0,)),
    ),
    "up, bounced": (
        memory(),
        seen(ESTABLISHED, 20),
        memory(seen_at=1060.0, last_up_at=1060.0, transitions=(1039.999, 1040.0)),
    ),
    "up since just before the last look": (
        memory(),
        seen(ESTABLISHED, 59),
        memory(seen_at=1060.0, last_up_at=1060.0),
    ),
    "up, uptime not told": (memory(), seen(ESTABLISHED, -1), memory(seen_at=1060.0, last_up_at=1060.0)),
    "unknown teaches nothing": (memory(), seen(UNKNOWN), memory()),
    "unknown ends a row of held passes": (
        memory(held_passes=2, held_since=1.0, held_at=2.0),
        seen(UNKNOWN),
        memory(),
    ),
    "up ends a row of held passes": (
        replace(DOWN_BEFORE, held_passes=2, held_since=1.0, held_at=2.0),
        seen(ESTABLISHED),
        memory(seen_at=1060.0, last_up_at=1060.0, transitions=(1060.0,)),
    ),
    "down goes on with a row of held passes": (
        replace(DOWN_BEFORE, held_passes=2),
        seen(NOT_ESTABLISHED),
        replace(DOWN_BEFORE, held_passes=2, seen_at=1060.0),
    ),
    "another device, seen down": (
        memory(device=key(99), transitions=(1.0,), written_slot=5),
        seen(NOT_ESTABLISHED),
        memory(seen_at=1060.0, up=False, last_up_at=None, down_since=1060.0, first_seen_at=1060.0),
    ),
    "the account was created again": (
        memory(reported_slot=7, transitions=(1.0,), written_slot=5, first_seen_at=1.0),
        seen(ESTABLISHED),
        memory(seen_at=1060.0, last_up_at=1060.0, first_seen_at=1060.0),
    ),
    "the account was created again before its first report": (
        memory(account="another", transitions=(1.0,), first_seen_at=1.0),
        seen(ESTABLISHED),
        memory(seen_at=1060.0, last_up_at=1060.0, first_seen_at=1060.0),
    ),
    "old transitions are forgotten": (
        memory(transitions=(1060.0 - KEEP_S, 1061.0 - KEEP_S)),
        seen(ESTABLISHED),
        memory(seen_at=1060.0, last_up_at=1060.0, transitions=(1061.0 - KEEP_S,)),
    ),
    "our writes are remembered": (
        memory(written_at=1.0, written_slot=2, written_status=BgpStatus.UP),
        seen(ESTABLISHED),
        memory(
            seen_at=1060.0, last_up_at=1060.0, written_at=1.0, written_slot=2, written_status=BgpStatus.UP
        ),
    ),
}


def test_transitions_from_after_a_clock_that_was_set_back_do_not_count_as_recent() -> None:
    flapping = memory(transitions=(900.0, 990.0, 1_500.0))
    assert flaps(flapping, 1_000.0, 3_600.0) == 2
    assert flaps(flapping, 2_000.0, 3_600.0) == 3


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE.keys())
def test_memory_follows_from_what_was_and_what_is_seen(row: Row) -> None:
    before, observation, after = row
    assert remember(before, observation, 1060.0, KEEP_S) == after


@pytest.mark.parametrize(
    ("before", "observation", "after"),
    [
        (None, seen(ESTABLISHED), {"last_up_at": 1060.0, "first_seen_at": 1060.0, "reported_slot": None}),
        (memory(account="another"), seen(ESTABLISHED), {"seen_at": 1000.0, "account": "another"}),
        (memory(reported_slot=7), seen(ESTABLISHED), {"seen_at": 1000.0, "reported_slot": 7}),
        (memory(device=key(9)), seen(ESTABLISHED), {"seen_at": 1000.0, "device": key(9)}),
        (memory(), seen(ESTABLISHED), {"last_up_at": 1060.0}),
    ],
    ids=["first seen", "another account", "not reported yet", "elsewhere", "as before"],
)
def test_of_a_ledger_that_is_not_believed_nothing_is_remembered_but_what_the_device_said(
    before: UserMemory | None, observation: Observation, after: dict[str, Any]
) -> None:
    values = {"seen_at": 1060.0, "account": before.account if before else None} | after
    assert remember(before, observation, 1060.0, KEEP_S, is_believed=False) == memory(**values)


def test_a_session_that_comes_up_while_a_pass_asks_around_is_one_transition_not_three() -> None:
    # The pass begins at 1060, the session comes up at 1063, the device is asked at 1065.
    first = remember(DOWN_BEFORE, seen(ESTABLISHED, 2), 1060.0, KEEP_S, 1065.0)
    second = remember(first, seen(ESTABLISHED, 57), 1120.0, KEEP_S, 1121.0)
    assert second is not None
    assert second.transitions == (1060.0,)


def test_a_bounce_is_counted_once_however_long_a_pass_takes_to_ask_around() -> None:
    first = remember(memory(), seen(ESTABLISHED, 20), 1060.0, KEEP_S, 1090.0)
    second = remember(first, seen(ESTABLISHED, 50), 1120.0, KEEP_S, 1121.0)
    assert second is not None
    assert second.transitions == (1039.999, 1040.0)


def test_flaps_are_the_transitions_within_the_window() -> None:
    of = memory(transitions=(100.0, 200.0, 300.0))
    assert [flaps(of, 310.0, window) for window in (10.0, 11.0, 111.0, 1000.0)] == [0, 1, 2, 3]
    assert flaps(None, 310.0, 1000.0) == 0


@given(
    st.lists(
        st.tuples(st.sampled_from(list(Observed)), st.integers(-1, 200), st.floats(0.5, 200)), max_size=300
    )
)
def test_memory_stays_bounded_and_in_order(history: list[tuple[Observed, int, float]]) -> None:
    now, of, last_up = 1000.0, None, None
    for observed, uptime_s, wait_s in history:
        now += wait_s
        of = remember(of, seen(observed, uptime_s), now, KEEP_S)
        last_up = now if observed is ESTABLISHED else last_up
        assert of.last_up_at == last_up
        assert (of.down_since is None) == (of.up or not of.is_observed)
        assert len(of.transitions) <= TRANSITIONS_KEPT
        assert all(at <= now for at in of.transitions)
