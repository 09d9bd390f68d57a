"""The rules of the decision, row by row, and what must hold whatever the row."""

from dataclasses import replace
from typing import Any

import pytest
from core_builders import make_device, make_user
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from dzbgp.decision.policy import Clock, decide
from dzbgp.decision.rules import Rules
from dzbgp.models.decision import Action, Decision
from dzbgp.models.ledger import BgpStatus
from dzbgp.models.moment import Moment
from dzbgp.models.session import Look, Observation, Observed

SIX_HOURS = 6 * 3600
SLOT = 10_000_000
MOMENT = Moment(0.0)
CLOCK = Clock(SLOT, 0.5)
RULES = Rules(SIX_HOURS)
INTERVAL = 43_200
"""The refresh interval in slots of CLOCK."""

NEVER, UP, DOWN = BgpStatus.UNKNOWN, BgpStatus.UP, BgpStatus.DOWN
ODD = BgpStatus(9)
ESTABLISHED, NOT_ESTABLISHED, ABSENT, UNKNOWN = Observed
FRESH, DUE, STALE, AHEAD, ZERO = SLOT - 100, SLOT - INTERVAL, SLOT - 5 * INTERVAL, SLOT + 500, 0


def observation(observed: Observed, onchain: BgpStatus = NEVER, reported_at: int = 0) -> Observation:
    user = make_user(bgp_status=onchain, last_bgp_reported_at=reported_at)
    texts: dict[str, Any] = {
        ESTABLISHED: {},
        NOT_ESTABLISHED: {"why": "the session is not Established"},
        ABSENT: {"why": "the device has no neighbor in 169.254.0.0/31"},
        UNKNOWN: {"why": "ams-1 does not show vrf1, the user's VRF", "reason": "no-vrf"},
    }[observed]
    return Observation(user, make_device(), "ams-1", observed, "vrf1", "169.254.0.1", **texts)


SUBMIT, SKIP = Action.SUBMIT, Action.SKIP
Row = tuple[BgpStatus, Observed, int, Action, BgpStatus | None, str]
TABLE: dict[str, Row] = {
    # Rule 1: absent is news only while the chain says Up.
    "absent, never reported": (NEVER, ABSENT, ZERO, SKIP, None, "absent"),
    "absent, unknown after a report": (NEVER, ABSENT, FRESH, SKIP, None, "absent"),
    "absent, Down": (DOWN, ABSENT, FRESH, SKIP, None, "absent"),
    "absent, Down and stale": (DOWN, ABSENT, STALE, SKIP, None, "absent"),
    "absent, of a status not known": (ODD, ABSENT, FRESH, SKIP, None, "absent"),
    "absent, Up": (UP, ABSENT, FRESH, SUBMIT, DOWN, "changed"),
    "absent, Up and stale": (UP, ABSENT, STALE, SUBMIT, DOWN, "changed"),
    # Rules 2 and 3: what is seen is written when it differs, is the first report, or is due again.
    "up, never reported": (NEVER, ESTABLISHED, ZERO, SUBMIT, UP, "first-report"),
    "down, never reported": (NEVER, NOT_ESTABLISHED, ZERO, SUBMIT, DOWN, "first-report"),
    "up, unknown after a report": (NEVER, ESTABLISHED, FRESH, SUBMIT, UP, "changed"),
    "down, unknown after a report": (NEVER, NOT_ESTABLISHED, FRESH, SUBMIT, DOWN, "changed"),
    "up, Down": (DOWN, ESTABLISHED, FRESH, SUBMIT, UP, "changed"),
    "up, Down and stale": (DOWN, ESTABLISHED, STALE, SUBMIT, UP, "changed"),
    "down, Up": (UP, NOT_ESTABLISHED, FRESH, SUBMIT, DOWN, "changed"),
    "down, Up and stale": (UP, NOT_ESTABLISHED, STALE, SUBMIT, DOWN, "changed"),
    "up, of a status not known": (ODD, ESTABLISHED, FRESH, SUBMIT, UP, "changed"),
    "down, of a status not known": (ODD, NOT_ESTABLISHED, FRESH, SUBMIT, DOWN, "changed"),
    "up, Up": (UP, ESTABLISHED, FRESH, SKIP, UP, "unchanged"),
    "down, Down": (DOWN, NOT_ESTABLISHED, FRESH, SKIP, DOWN, "unchanged"),
    "up, Up, one slot before it is due": (UP, ESTABLISHED, DUE + 1, SKIP, UP, "unchanged"),
    "up, Up, just due": (UP, ESTABLISHED, DUE, SUBMIT, UP, "refresh"),
    "up, Up, overdue": (UP, ESTABLISHED, STALE, SUBMIT, UP, "refresh"),
    "down, Down, one slot before it is due": (DOWN, NOT_ESTABLISHED, DUE + 1, SKIP, DOWN, "unchanged"),
    "down, Down, just due": (DOWN, NOT_ESTABLISHED, DUE, SUBMIT, DOWN, "refresh"),
    "down, Down, overdue": (DOWN, NOT_ESTABLISHED, STALE, SUBMIT, DOWN, "refresh"),
    "up, Up, reported at no slot": (UP, ESTABLISHED, ZERO, SUBMIT, UP, "refresh"),
    # The report is newer than the program data: the node that was asked is behind.
    "up, Up, reported ahead": (UP, ESTABLISHED, AHEAD, SKIP, UP, "unchanged"),
    "down, Down, reported ahead": (DOWN, NOT_ESTABLISHED, AHEAD, SKIP, DOWN, "unchanged"),
    "down, Up, reported ahead": (UP, NOT_ESTABLISHED, AHEAD, SUBMIT, DOWN, "changed"),
    # Nothing is known, nothing is written.
    **{
        f"unknown, {onchain.label} at {reported_at}": (onchain, UNKNOWN, reported_at, SKIP, None, "no-vrf")
        for onchain in (NEVER, UP, DOWN, ODD)
        for reported_at in (ZERO, FRESH, STALE, AHEAD)
    },
}


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE.keys())
def test_a_user_is_decided_by_chain_observation_and_age(row: Row) -> None:
    onchain, observed, reported_at, action, status, reason = row
    decision = decide(observation(observed, onchain, reported_at), CLOCK, RULES)
    assert (decision.action, decision.status, decision.reason) == (action, status, reason)
    assert decision.rtt_ns == 0
    assert decision.detail[0].isupper()
    assert decision.detail.endswith(".")


def test_the_table_has_every_pair_of_a_chains_status_and_an_observation() -> None:
    assert {(row[0], row[1]) for row in TABLE.values()} == {
        (onchain, observed) for onchain in (NEVER, UP, DOWN, ODD) for observed in Observed
    }


@pytest.mark.parametrize(
    ("seen", "detail"),
    [
        (observation(ESTABLISHED), "The session is Established; never reported before."),
        (observation(NOT_ESTABLISHED, UP, FRESH), "The session is not Established."),
        (observation(ABSENT, UP, FRESH), "The device has no neighbor in 169.254.0.0/31."),
        (
            observation(ABSENT),
            "Nothing to report: the device has no neighbor in 169.254.0.0/31.",
        ),
        (observation(ESTABLISHED, UP, FRESH), "The session is Established; reported 50 s ago."),
        (observation(ESTABLISHED, UP, DUE), "The session is Established; last reported 6.0 h ago."),
        (observation(ESTABLISHED, UP, DUE + 39_600), "The session is Established; reported 30 min ago."),
        (observation(ESTABLISHED, UP, ZERO), "The session is Established; last reported 58 d ago."),
        (observation(UNKNOWN, UP), "Unknown state: ams-1 does not show vrf1, the user's VRF."),
    ],
)
def test_a_decision_says_why_in_one_sentence(seen: Observation, detail: str) -> None:
    assert decide(seen, CLOCK, RULES).detail == detail


@pytest.mark.parametrize(
    ("seconds_per_slot", "reason"),
    [(0.3, "unchanged"), (0.4, "unchanged"), (0.5, "refresh"), (1.0, "refresh")],
)
def test_slots_become_time_at_the_clusters_own_rate(seconds_per_slot: float, reason: str) -> None:
    seen = observation(ESTABLISHED, UP, SLOT - INTERVAL)
    assert decide(seen, Clock(SLOT, seconds_per_slot), RULES).reason == reason


def test_a_refresh_interval_of_zero_writes_every_time() -> None:
    assert decide(observation(ESTABLISHED, UP, SLOT), CLOCK, Rules(0)).reason == "refresh"


@pytest.mark.parametrize(("slot", "age_s"), [(SLOT, 0), (SLOT - 10, 5), (SLOT + 10, 0), (0, SLOT / 2)])
def test_an_age_is_never_negative(slot: int, age_s: float) -> None:
    assert CLOCK.age_s(slot) == age_s


statuses = st.integers(0, 255).map(BgpStatus) | st.sampled_from([NEVER, UP, DOWN])
slots = st.integers(0, 2**64 - 1) | st.integers(SLOT - 2 * INTERVAL, SLOT + 10)
observations = st.builds(observation, st.sampled_from(list(Observed)), statuses, slots)
clocks = st.builds(Clock, slots, st.floats(0.05, 5))
rules = st.builds(Rules, st.floats(1, 10 * SIX_HOURS))


@given(observations, clocks, rules)
def test_nothing_is_ever_written_about_what_is_not_known(
    seen: Observation, clock: Clock, rule: Rules
) -> None:
    decision = decide(structs.replace(seen, observed=UNKNOWN, why="x", reason="no-vrf"), clock, rule)
    assert (decision.action, decision.status, decision.reason) == (SKIP, None, "no-vrf")


@given(observations, clocks, rules)
def test_what_is_written_is_what_was_seen(seen: Observation, clock: Clock, rule: Rules) -> None:
    decision = decide(seen, clock, rule)
    assert decision.action is not Action.HOLD
    if decision.action is SUBMIT:
        assert decision.status is (UP if seen.observed is ESTABLISHED else DOWN)
        assert decision.reason in {"changed", "first-report", "refresh"}
    assert decision.reason
    assert decision.detail.endswith(".")


def after(decision: Decision, slot: int) -> Observation:
    """The same session on a chain on which the decision was carried out at `slot`."""
    seen = decision.observation
    if decision.action is not SUBMIT:
        return seen
    user = structs.replace(seen.user, bgp_status=decision.status or NEVER, last_bgp_reported_at=slot)
    return structs.replace(seen, user=user)


@given(observations, clocks, rules, st.integers(0, 5))
def test_a_second_pass_after_the_write_writes_nothing(
    seen: Observation, clock: Clock, rule: Rules, landed: int
) -> None:
    decision = decide(seen, clock, rule)
    later = after(decision, clock.slot + landed)
    assert decide(later, clock, rule).action is SKIP
    if decision.action is SUBMIT:
        assert decide(later, replace(clock, slot=clock.slot + landed), rule).action is SKIP


@given(st.sampled_from([(ESTABLISHED, UP), (NOT_ESTABLISHED, DOWN)]), slots, clocks, rules)
def test_a_refresh_comes_at_the_interval_and_not_before(
    same: tuple[Observed, BgpStatus], reported_at: int, clock: Clock, rule: Rules
) -> None:
    decision = decide(observation(*same, reported_at), clock, rule)
    age_s = (clock.slot - reported_at) * clock.seconds_per_slot
    due = age_s >= rule.refresh_interval_s
    assert (decision.action, decision.reason) == ((SUBMIT, "refresh") if due else (SKIP, "unchanged"))


@given(observations, st.integers(1, 10_000), rules)
def test_a_node_that_is_behind_the_report_never_refreshes(
    seen: Observation, behind: int, rule: Rules
) -> None:
    clock = Clock(max(0, seen.user.last_bgp_reported_at - behind), 0.4)
    assert decide(seen, clock, rule).reason != "refresh"


@pytest.mark.parametrize("look", [None, Look(SLOT - 100, MOMENT), Look(SLOT - 101, MOMENT)])
def test_over_a_report_that_is_younger_than_what_was_seen_nothing_is_written(look: Look | None) -> None:
    seen = observation(ESTABLISHED, DOWN, FRESH)
    decision = decide(seen, CLOCK, Rules(), look=look)
    if look == Look(SLOT - 101, MOMENT):
        assert (decision.action, decision.reason) == (SKIP, "newer-report")
        assert decision.detail.endswith("Not written: another writer reported it after the device was read.")
    else:
        assert (decision.action, decision.reason) == (SUBMIT, "changed")


def test_a_report_from_beyond_all_that_was_read_is_of_another_ledger_and_blocks_nothing() -> None:
    look = Look(SLOT - 5, MOMENT)
    assert decide(observation(ESTABLISHED, DOWN, AHEAD), CLOCK, Rules(), look=look).reason == "changed"
    assert decide(observation(ESTABLISHED, DOWN, SLOT), CLOCK, Rules(), look=look).reason == "newer-report"
    late = replace(CLOCK, read_slot=AHEAD)
    assert decide(observation(ESTABLISHED, DOWN, AHEAD), late, Rules(), look=look).reason == "newer-report"
