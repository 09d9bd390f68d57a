"""Rules 2 to 5 of the decision with memory and time in play, and what must hold whatever happens."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from core_builders import key, make_device, make_user
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from small_world import DOWN, FAIL, FIRST_SLOT, LAND, NEVER, PROGRAM, SECONDS_PER_SLOT, UP, Passes, SmallWorld
from solders.pubkey import Pubkey

from dzbgp.decision.policy import Clock, decide, refresh_due_s
from dzbgp.decision.rules import Rules
from dzbgp.models.decision import Action
from dzbgp.models.ledger import BgpStatus
from dzbgp.models.memory import UserMemory
from dzbgp.models.session import Observation, Observed
from dzbgp.state.store import Store

NOW = 1_000_000.0
CLOCK = Clock(FIRST_SLOT, SECONDS_PER_SLOT, NOW)
ESTABLISHED, NOT_ESTABLISHED, ABSENT, UNKNOWN = Observed
SUBMIT, SKIP = Action.SUBMIT, Action.SKIP


def seen(observed: Observed, onchain: BgpStatus, age_s: float = 60, number: int = 1) -> Observation:
    reported = 0 if onchain is NEVER else FIRST_SLOT - round(age_s / SECONDS_PER_SLOT)
    user = make_user(number, bgp_status=onchain, last_bgp_reported_at=reported)
    return Observation(user, make_device(), "ams-1", observed, why="it is not up")


def memory(up_ago_s: float | None = None, *transitions_ago_s: float, **changes: Any) -> UserMemory:
    values: dict[str, Any] = {
        "device": make_device().pubkey,
        "seen_at": NOW,
        "up": False,
        "last_up_at": None if up_ago_s is None else NOW - up_ago_s,
        "transitions": tuple(NOW - ago for ago in transitions_ago_s),
    }
    return UserMemory(**(values | changes))


GRACE = Rules(down_grace_period_s=120)
NO_GRACE = Rules()
DAMPING = Rules(flap_limit=3, flap_window_s=3600, cooldown_s=1800)
OFTEN = (10.0, 20.0, 30.0, 40.0)
Row = tuple[Rules, Observation, UserMemory | None, bool, Action, BgpStatus | None, str]
TABLE: dict[str, Row] = {
    # Rule 2: the grace period.
    "grace, no history": (GRACE, seen(NOT_ESTABLISHED, UP), None, False, SUBMIT, DOWN, "changed"),
    "grace, never seen up": (GRACE, seen(NOT_ESTABLISHED, UP), memory(), False, SUBMIT, DOWN, "changed"),
    "grace, within": (GRACE, seen(NOT_ESTABLISHED, UP), memory(60), False, SKIP, UP, "grace"),
    "grace, absent within": (GRACE, seen(ABSENT, UP), memory(60), False, SKIP, UP, "grace"),
    "grace, the last moment": (GRACE, seen(NOT_ESTABLISHED, UP), memory(119.9), False, SKIP, UP, "grace"),
    "grace, at its end": (GRACE, seen(NOT_ESTABLISHED, UP), memory(120), False, SUBMIT, DOWN, "changed"),
    "grace, after": (GRACE, seen(NOT_ESTABLISHED, UP), memory(500), False, SUBMIT, DOWN, "changed"),
    "grace of zero": (NO_GRACE, seen(NOT_ESTABLISHED, UP), memory(0), False, SUBMIT, DOWN, "changed"),
    "grace, the clock was set back": (
        GRACE,
        seen(NOT_ESTABLISHED, UP),
        memory(-9),
        False,
        SUBMIT,
        DOWN,
        "changed",
    ),
    "no grace, the clock was set back": (
        NO_GRACE,
        seen(NOT_ESTABLISHED, UP),
        memory(-9),
        False,
        SUBMIT,
        DOWN,
        "changed",
    ),
    "grace, up on another device": (
        GRACE,
        seen(NOT_ESTABLISHED, UP),
        memory(60, device=key(99)),
        False,
        SUBMIT,
        DOWN,
        "changed",
    ),
    "grace, onchain Down": (GRACE, seen(NOT_ESTABLISHED, DOWN), memory(60), False, SKIP, DOWN, "unchanged"),
    "grace, onchain Down and due": (
        GRACE,
        seen(NOT_ESTABLISHED, DOWN, 22_000),
        memory(60),
        False,
        SUBMIT,
        DOWN,
        "refresh",
    ),
    "grace, never reported": (
        GRACE,
        seen(NOT_ESTABLISHED, NEVER),
        memory(60),
        False,
        SUBMIT,
        DOWN,
        "first-report",
    ),
    "grace, refresh due": (
        GRACE,
        seen(NOT_ESTABLISHED, UP, 22_000),
        memory(60),
        False,
        SKIP,
        UP,
        "grace",
    ),
    "grace, unknown": (GRACE, seen(UNKNOWN, UP), memory(60), False, SKIP, None, "unknown"),
    # Rule 4: in flight.
    "in flight, changed": (NO_GRACE, seen(NOT_ESTABLISHED, UP), memory(), True, SKIP, DOWN, "in-flight"),
    "in flight, first report": (NO_GRACE, seen(ESTABLISHED, NEVER), None, True, SKIP, UP, "in-flight"),
    "in flight, refresh": (NO_GRACE, seen(ESTABLISHED, UP, 22_000), None, True, SKIP, UP, "in-flight"),
    "in flight, nothing to write": (NO_GRACE, seen(ESTABLISHED, UP), None, True, SKIP, UP, "unchanged"),
    "in flight, unknown": (NO_GRACE, seen(UNKNOWN, UP), None, True, SKIP, None, "unknown"),
    # Rule 5: damping.
    "flaps, damped": (
        DAMPING,
        seen(NOT_ESTABLISHED, UP, 60),
        memory(None, *OFTEN),
        False,
        SKIP,
        DOWN,
        "damped",
    ),
    "flaps up, damped": (
        DAMPING,
        seen(ESTABLISHED, DOWN, 60),
        memory(None, *OFTEN),
        False,
        SKIP,
        UP,
        "damped",
    ),
    "flaps, cooled down": (
        DAMPING,
        seen(NOT_ESTABLISHED, UP, 1800),
        memory(None, *OFTEN),
        False,
        SUBMIT,
        DOWN,
        "changed",
    ),
    "flaps, at the limit": (
        DAMPING,
        seen(NOT_ESTABLISHED, UP, 60),
        memory(None, *OFTEN[:3]),
        False,
        SUBMIT,
        DOWN,
        "changed",
    ),
    "flaps, before the window": (
        DAMPING,
        seen(NOT_ESTABLISHED, UP, 60),
        memory(None, *OFTEN[:3], 3600.0),
        False,
        SUBMIT,
        DOWN,
        "changed",
    ),
    "flaps, no limit": (
        NO_GRACE,
        seen(NOT_ESTABLISHED, UP, 60),
        memory(None, *OFTEN),
        False,
        SUBMIT,
        DOWN,
        "changed",
    ),
    "flaps, no history": (DAMPING, seen(NOT_ESTABLISHED, UP, 60), None, False, SUBMIT, DOWN, "changed"),
    "flaps, never reported": (
        DAMPING,
        seen(ESTABLISHED, NEVER),
        memory(None, *OFTEN),
        False,
        SUBMIT,
        UP,
        "first-report",
    ),
    "flaps, unchanged": (DAMPING, seen(ESTABLISHED, UP), memory(None, *OFTEN), False, SKIP, UP, "unchanged"),
    "flaps and in flight": (
        DAMPING,
        seen(NOT_ESTABLISHED, UP),
        memory(None, *OFTEN),
        True,
        SKIP,
        DOWN,
        "in-flight",
    ),
}


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE.keys())
def test_a_user_is_decided_by_memory_and_time_too(row: Row) -> None:
    rules, observation, of, in_flight, action, status, reason = row
    decision = decide(observation, CLOCK, rules, of, in_flight="it may land" if in_flight else "")
    assert (decision.action, decision.status, decision.reason) == (action, status, reason)


def test_flaps_are_told_even_when_nothing_is_damped() -> None:
    decision = decide(seen(ESTABLISHED, UP), CLOCK, NO_GRACE, memory(None, *OFTEN))
    assert "It flaps: 4 transitions in 60 min." in decision.detail
    once = decide(seen(ESTABLISHED, UP), CLOCK, NO_GRACE, memory(None, 10.0))
    assert "flaps" not in once.detail


def test_a_damped_decision_says_when_the_next_write_may_come() -> None:
    decision = decide(seen(ESTABLISHED, DOWN, 600), CLOCK, DAMPING, memory(None, *OFTEN))
    assert decision.detail.endswith(
        "Not written: it was reported 10 min ago; the next write is possible in 20 min."
    )


# Rule 3: refreshes


@given(st.binary(min_size=32, max_size=32), st.floats(0, 1), st.floats(1, 1e6))
def test_a_refresh_is_never_due_later_than_the_interval_nor_earlier_than_the_spread(
    pubkey: bytes, spread: float, interval_s: float
) -> None:
    rules = Rules(refresh_interval_s=interval_s, refresh_spread=spread)
    observation = seen(ESTABLISHED, UP)
    observation = replace(observation, user=replace(observation.user, pubkey=Pubkey(pubkey)))
    due_s = refresh_due_s(observation, rules)
    assert interval_s * (1 - spread) <= due_s <= interval_s


def test_users_that_were_reported_together_come_due_at_different_times() -> None:
    world = SmallWorld(1, 1)
    for number in range(99):
        world.add_user(world.device(), pubkey=Pubkey(bytes([number * 2]) + bytes(30) + b"\2"))
    passes = Passes(world, refresh_spread=0.25)
    world.wait(0.75 * 21_600 - 120)
    refreshed = []
    for _ in range(100):
        refreshed += [len(passes.run().submissions)]
        world.wait(60)
    assert sum(refreshed) == 100
    assert max(refreshed) <= 20  # one transaction: users that are nearly due are refreshed early
    assert sum(count > 0 for count in refreshed) >= 5


# Rule 4: own writes that are not to be seen yet


@pytest.mark.parametrize("seen_slots_ago", [20, 0], ids=["read in an older slot", "undone by a fork"])
def test_a_write_of_our_own_that_the_account_does_not_show_is_not_made_again(seen_slots_ago: int) -> None:
    world = SmallWorld(1, 1)
    passes = Passes(world)
    before = dict(world.users)
    world.goes_down()
    passes.run()
    world.wait(4)
    assert passes.reason(users=before, seen_slots_ago=seen_slots_ago) == "in-flight"
    assert world.writes == []
    assert passes.reason() == "unchanged"


@pytest.mark.parametrize("set_back_s", [20, 250])
def test_a_clock_that_was_set_back_makes_no_write_of_our_own_one_of_long_ago(set_back_s: float) -> None:
    world = SmallWorld(1, 1)
    passes = Passes(world)
    before = dict(world.users)
    world.goes_down()
    passes.run()
    world.wait(4)
    world.now -= set_back_s
    assert passes.reason(users=before) == "in-flight"
    assert world.writes == []


def test_a_ledger_that_began_anew_does_not_block_for_good() -> None:
    world = SmallWorld(1, 1)
    passes = Passes(world)
    world.goes_down()
    passes.run()
    world.goes_up()
    world.slot = 1000
    world.change(world.user().pubkey, last_bgp_reported_at=10)
    assert passes.reason() == "in-flight"
    world.wait(301)
    assert passes.reason() == "changed"


def test_who_reports_freshly_besides_us_is_not_overwritten_without_need() -> None:
    world = SmallWorld(1, 1, age_s=21_000)
    world.wait(1000)
    world.reported_by_another(world.user().pubkey, UP)
    assert Passes(world).reason() == "unchanged"


def test_what_another_reports_while_the_users_are_read_is_not_overwritten_with_what_was_seen_before() -> None:
    world = SmallWorld(1, 1, DOWN, age_s=600)
    world.goes_up()

    def another_sees_it_go_down() -> None:
        world.slot += 3
        world.reported_by_another(world.user().pubkey, DOWN)

    world.while_users_are_read = another_sees_it_go_down
    passes = Passes(world)
    assert passes.reason() == "newer-report"
    world.while_users_are_read = lambda: None
    assert passes.reason() == "changed"


# What must hold whatever happens


STEPS = st.one_of(
    st.tuples(st.just("wait"), st.sampled_from([1, 30, 61, 400, 4000])),
    st.tuples(st.just("up"), st.integers(0, 7)),
    st.tuples(st.just("down"), st.integers(0, 7)),
    st.tuples(st.just("away"), st.integers(0, 7)),
    st.tuples(st.just("device down"), st.integers(0, 1)),
    st.tuples(st.just("silent"), st.integers(0, 1)),
    st.tuples(st.just("answers"), st.integers(0, 1)),
    st.tuples(st.just("foreign"), st.integers(0, 7)),
    st.tuples(st.just("pass"), st.sampled_from([LAND, LAND, LAND, FAIL])),
    st.tuples(st.just("limited pass"), st.integers(0, 1)),
)
RULES = st.fixed_dictionaries(
    {
        "down_grace_period_s": st.sampled_from([0.0, 0.0, 60.0]),
        "max_down_min": st.sampled_from([2, 3, 1000]),
        "guard_passes": st.sampled_from([1, 2, 3]),
        "guard_spacing_s": st.sampled_from([0.0, 60.0]),
        "flap_limit": st.sampled_from([0, 2]),
        "cooldown_s": st.just(300.0),
        "refresh_interval_s": st.sampled_from([900.0, 21_600.0]),
        "refresh_spread": st.sampled_from([0.0, 0.5]),
    }
)


class Story:
    """A world that things happen to, the passes over it, and a memory of its own to check them by."""

    def __init__(self, rules: dict[str, Any], onchain: BgpStatus, *, confirm: bool) -> None:
        self.world = SmallWorld(2, 4, onchain)
        self.passes = Passes(self.world, confirm_down_s=5.0 if confirm else 0.0, **rules)

    def happens(self, what: str, value: Any) -> None:
        world = self.world
        if what == "wait":
            world.wait(value)
        elif what in {"up", "down", "away"}:
            change: Callable[[Pubkey], None] = {
                "up": world.goes_up,
                "down": world.goes_down,
                "away": world.goes_away,
            }[what]
            change(world.user(value).pubkey)
        elif what == "device down":
            world.goes_down(
                *(one for one, user in world.users.items() if user.device_pk == world.device(value).pubkey)
            )
        elif what == "silent":
            world.silent.add(world.device(value).pubkey)
        elif what == "answers":
            world.silent.discard(world.device(value).pubkey)
        elif what == "foreign":
            world.reported_by_another(world.user(value).pubkey, UP)
        elif what == "limited pass":
            self.does_a_pass(hosts=[world.device(value).pubkey])
        else:
            self.does_a_pass(write_mode=value)

    def does_a_pass(self, **how: Any) -> None:
        world = self.world
        report = self.passes.run(**how)
        decisions = {one.observation.user.pubkey: one for one in report.decisions}
        for write in world.writes:
            decision = decisions[write.user]
            observed = decision.observation.observed
            assert observed is not UNKNOWN
            assert world.user_device(write.user) not in world.silent
            if write.status is UP:
                assert observed is ESTABLISHED
            else:
                assert write.status is DOWN
                assert write.rtt_ns == 0
                assert not world.is_established(write.user)
        if how.get("write_mode", LAND) == LAND:
            held = {one for one, decision in decisions.items() if decision.action is Action.HOLD}
            self.again(held, how)

    def again(self, held: set[Pubkey], how: dict[str, Any]) -> None:
        """A second pass at once may only let through what the guard has held, and what is added to that early."""
        kept = self.passes.memory.users.copy()
        before, now, slot = dict(self.world.users), self.world.now, self.world.slot
        again = {one.user: one for one in self.passes.run(**how).decisions}
        written = [again[write.user] for write in self.world.writes]
        assert {one.user for one in written if not one.is_early} <= held
        # All devices have one publisher here: without a Down that was held nothing is refreshed early.
        assert held or not written
        self.passes.memory.users = kept
        self.world.users, self.world.now, self.world.slot = before, now, slot


ADDED_TO_WHAT_WAS_HELD: list[tuple[str, Any]] = [
    ("wait", 400),
    ("wait", 400),
    ("foreign", 0),
    ("foreign", 1),
    ("pass", LAND),
]
"""The guard holds two Downs, and the next pass lets them through: with them refreshes that are nearly due."""


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@example(
    ADDED_TO_WHAT_WAS_HELD,
    {"max_down_min": 2, "guard_passes": 2, "guard_spacing_s": 0.0, "refresh_interval_s": 900.0},
    DOWN,
    False,
)
@given(st.lists(STEPS, min_size=5, max_size=40), RULES, st.sampled_from([UP, DOWN, NEVER]), st.booleans())
def test_whatever_happens_nothing_is_written_that_was_not_seen_and_nothing_twice(
    steps: list[tuple[str, Any]], rules: dict[str, Any], onchain: BgpStatus, confirm: bool
) -> None:
    story = Story(rules, onchain, confirm=confirm)
    for what, value in steps:
        story.happens(what, value)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, min_size=5, max_size=25), RULES, st.sampled_from([UP, DOWN, NEVER]))
def test_whatever_happened_the_chain_says_the_truth_once_things_stay_as_they_are(
    steps: list[tuple[str, Any]], rules: dict[str, Any], onchain: BgpStatus
) -> None:
    story = Story(rules, onchain, confirm=False)
    for what, value in steps:
        story.happens(what, value)
    story.world.silent.clear()
    for _ in range(8):
        story.world.wait(1000)
        story.passes.run()
    for one, user in story.world.users.items():
        if story.world.is_established(one):
            assert user.bgp_status is UP
        elif one in story.world.down:
            assert user.bgp_status is DOWN
        else:
            assert user.bgp_status is not UP


# A user that is new, and whoever else writes


def test_a_new_users_first_report_waits_until_the_session_must_be_its_own() -> None:
    world = SmallWorld(1, 1)
    passes = Passes(world)
    passes.run()
    world.wait(120)
    # Its predecessor was deleted just now: the same tunnel, and a session that is still up.
    user = world.add_user(world.device(), NEVER)
    world.goes_up(user.pubkey)
    decision = passes.decision(1)
    assert (decision.action, decision.reason) == (SKIP, "new-user")
    world.wait(59)
    assert passes.reason(1) == "new-user"
    world.goes_down(user.pubkey)
    world.wait(1)
    assert passes.reason(1) == "first-report"
    assert world.users[user.pubkey].bgp_status is DOWN


@pytest.mark.parametrize("set_back_s", [20, 7200])
def test_a_clock_that_was_set_back_makes_no_new_user_an_old_one(set_back_s: float) -> None:
    world = SmallWorld(1, 1)
    passes = Passes(world)
    passes.run()
    world.wait(120)
    user = world.add_user(world.device(), NEVER)
    world.goes_up(user.pubkey)
    assert passes.reason(1) == "new-user"
    world.wait(10)
    world.now -= set_back_s
    assert passes.reason(1) == "new-user"
    world.wait(59)
    assert passes.reason(1) == "new-user"
    # It is new for no longer than if it were seen now.
    world.wait(1)
    assert passes.reason(1) == "first-report"


def test_users_of_a_new_memory_are_reported_at_once() -> None:
    world = SmallWorld(1, 2, NEVER)
    world.goes_up()
    passes = Passes(world)
    assert passes.reason() == "first-report"
    world.wait(30)
    world.add_user(world.device(), NEVER)
    assert passes.reason(2) == "first-report"


def test_an_account_that_was_made_again_under_the_same_key_is_a_new_user() -> None:
    world = SmallWorld(1, 2)
    passes = Passes(world)
    passes.run()
    world.wait(120)
    world.change(world.user(0).pubkey, bgp_status=NEVER, last_bgp_reported_at=0)
    assert passes.reason(0) == "new-user"
    world.wait(60)
    assert passes.reason(0) == "first-report"


def test_an_account_that_was_made_again_before_its_first_report_is_a_new_user(tmp_path: Path) -> None:
    world = SmallWorld(1, 2)
    user = world.add_user(world.device(), NEVER)
    world.goes_away(user.pubkey)
    with Store.open(tmp_path / "state", PROGRAM, clock=lambda: world.now) as history:
        passes = Passes(world, history)
        passes.run()
        world.wait(600)
        assert passes.reason(2) == "absent"
        # Within one interval: deleted, made again, and on the tunnel of a user that has just left.
        world.wait(30)
        left = world.users.pop(world.user(0).pubkey)
        world.change(user.pubkey, index=user.index + 1, tunnel_net=left.tunnel_net)
        world.goes_up(user.pubkey)
        passes.restart()
        assert passes.reason(1) == "new-user"
        world.wait(61)
        assert passes.reason(1) == "first-report"


def test_a_new_user_of_a_run_without_memory_is_reported() -> None:
    world = SmallWorld(1, 1, NEVER)
    world.goes_up()
    assert Passes(world).reason() == "first-report"


def other_reports_and_a_session_dies(passes: Passes) -> None:
    world = passes.world
    passes.run()
    world.wait(30)
    world.reported_by_another(world.user(0).pubkey, UP)
    world.wait(30)
    world.goes_down(world.user(1).pubkey)


def test_a_down_is_held_where_somebody_else_reports() -> None:
    world = SmallWorld(2, 2)
    passes = Passes(world)
    other_reports_and_a_session_dies(passes)
    world.goes_down(world.user(3).pubkey)
    decisions = passes.run().decisions
    assert [one.reason for one in decisions] == ["unchanged", "other-writer", "unchanged", "changed"]
    assert decisions[1].action is Action.HOLD
    assert "--take-over writes it anyway" in decisions[1].detail
    assert [write.user for write in world.writes] == [world.user(3).pubkey]


def test_taking_over_writes_the_down_and_so_does_a_pass_that_finds_nobody_else() -> None:
    passes = Passes(SmallWorld(2, 2), take_over=True)
    other_reports_and_a_session_dies(passes)
    assert passes.reason(1) == "changed"
    passes = Passes(SmallWorld(2, 2))
    other_reports_and_a_session_dies(passes)
    assert [passes.reason(1), passes.reason(1)] == ["other-writer", "changed"]


def test_our_own_reports_are_nobody_elses() -> None:
    world = SmallWorld(1, 2, DOWN)
    world.goes_up()
    passes = Passes(world)
    passes.run()
    world.wait(30)
    world.goes_down(world.user(1).pubkey)
    assert passes.reason(1) == "changed"


# The ledger's time


def test_a_host_may_have_its_identity_left_unchecked_or_checked_by_itself() -> None:
    world = SmallWorld(2, 1, DOWN)
    world.goes_up()
    world.host_identity_checks = {world.device(1).code: False}
    report = Passes(world).run(router_id="192.0.2.1")
    assert [one.reason for one in report.decisions] == ["suspect-device", "changed"]
