"""Which refreshes are added early to transactions that are sent anyway."""

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_world import DOWN, LOSE, NEVER, PROGRAM, UP, Passes, SmallWorld

from dzbgp.state.store import Store

NEARLY_S = 0.9 * 21_600
ROOM = 19
"""As many writes of one device fit a transaction."""


def world_with(due: int, nearly: int, *, age_s: float = NEARLY_S) -> SmallWorld:
    """One device with users about whom there is news, and others whose refresh is near."""
    world = SmallWorld(1, due, DOWN)
    world.goes_up()
    for _ in range(nearly):
        world.add_user(world.device(), UP, age_s=age_s)
    return world


def test_refreshes_that_are_near_ride_in_a_transaction_that_has_room() -> None:
    world = world_with(1, 3)
    reasons = [one.reason for one in Passes(world).run().decisions]
    assert reasons == ["changed", "refresh", "refresh", "refresh"]
    assert world.transactions == 1


def test_a_rider_brings_its_rtt_and_says_why_it_rides() -> None:
    world = world_with(1, 1)
    decision = Passes(world).decision(1)
    assert decision.rtt_ns == world.rtts[world.user(1).pubkey]
    assert world.user(1).bgp_rtt_ns == decision.rtt_ns
    assert decision.detail.endswith("last reported 5.4 h ago. Refreshed early: a transaction has room.")


def test_a_rider_that_is_down_has_no_rtt() -> None:
    world = world_with(1, 0)
    world.add_user(world.device(), DOWN, age_s=NEARLY_S)
    decision = Passes(world).decision(1)
    assert (decision.reason, decision.status, decision.rtt_ns) == ("refresh", DOWN, 0)


def test_nobody_rides_before_four_fifths_of_the_interval() -> None:
    world = world_with(1, 3, age_s=0.79 * 21_600)
    Passes(world).run()
    assert len(world.writes) == 1


def test_no_transaction_is_made_for_refreshed_alone() -> None:
    world = world_with(0, 3)
    assert [one.reason for one in Passes(world).run().decisions] == ["unchanged"] * 3
    assert world.transactions == 0


def test_only_as_many_ride_as_fit_without_one_transaction_more() -> None:
    world = world_with(2, 40)
    Passes(world).run()
    assert len(world.writes) == ROOM
    assert world.transactions == 1
    world = world_with(ROOM, 5)
    Passes(world).run()
    assert len(world.writes) == ROOM
    assert world.transactions == 1


def test_the_oldest_reports_ride_first() -> None:
    world = world_with(ROOM - 2, 0)
    ages_h = [5.0, 5.9, 5.5, 5.8, 5.1]
    for age_h in ages_h:
        world.add_user(world.device(), UP, age_s=age_h * 3600)
    Passes(world).run()
    refreshed = [write.user for write in world.writes[ROOM - 2 :]]
    assert refreshed == [world.user(ROOM - 2 + ages_h.index(age_h)).pubkey for age_h in (5.9, 5.8)]


def test_what_is_unknown_absent_or_within_grace_does_not_ride() -> None:
    world = world_with(1, 3)
    passes = Passes(world, down_grace_period_s=600, refresh_interval_s=1e9)
    passes.run()
    passes.rules(refresh_interval_s=21_600)
    world.change(world.user(0).pubkey, bgp_status=DOWN)
    world.goes_down(world.user(1).pubkey)
    world.goes_away(world.user(2).pubkey)
    reasons = [one.reason for one in passes.run().decisions]
    assert reasons == ["changed", "grace", "grace", "refresh"]


def test_who_is_in_flight_does_not_ride(tmp_path: Path) -> None:
    world = world_with(0, 1)
    with Store.open(tmp_path / "state", PROGRAM, clock=lambda: world.now) as history:
        passes = Passes(world, history)
        world.goes_down()
        passes.run(write_mode=LOSE)  # a Down that may still land
        world.goes_up()
        world.add_user(world.device(), NEVER)
        world.goes_up()
        passes.run()
        assert [write.user for write in world.writes] == [world.user(1).pubkey]


def test_who_may_not_ride_takes_nobodys_seat() -> None:
    world = world_with(ROOM - 1, 0)
    oldest = world.add_user(world.device(), UP, age_s=21_500)
    world.add_user(world.device(), UP, age_s=NEARLY_S)
    passes = Passes(world)
    passes.memory.submitting = frozenset([oldest.pubkey])
    assert [one.reason for one in passes.run().decisions][-2:] == ["unchanged", "refresh"]
    assert len(world.writes) == ROOM


def test_who_is_damped_does_not_ride() -> None:
    world = world_with(1, 1)
    passes = Passes(world, flap_limit=1, flap_window_s=1e6, cooldown_s=50_000)
    passes.run(rtts={}, write_mode="fail")
    for _ in range(2):
        world.wait(10)
        world.goes_down(world.user(1).pubkey)
        passes.run(write_mode="fail")
        world.goes_up(world.user(1).pubkey)
        passes.run(write_mode="fail")
    assert [one.reason for one in passes.run().decisions] == ["changed", "unchanged"]


def test_refreshed_stay_behind_when_what_they_would_ride_with_is_not_written_after_all() -> None:
    world = world_with(0, 3)
    world.add_user(world.device(), UP)
    world.goes_down(world.user(3).pubkey)
    passes = Passes(world, confirm_down_s=5)
    world.between_looks = lambda: world.goes_up(world.user(3).pubkey)
    assert [one.reason for one in passes.run().decisions] == ["unchanged"] * 4
    assert world.transactions == 0


def test_refreshed_stay_behind_when_the_guard_holds_what_they_would_ride_with() -> None:
    world = world_with(0, 2)
    world.add_user(world.device(), UP)
    world.goes_down(world.user(2).pubkey)
    passes = Passes(world, max_down_min=1)
    assert [one.reason for one in passes.run().decisions] == ["unchanged", "unchanged", "guard"]
    assert world.transactions == 0


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 8)), min_size=1, max_size=5),
)
def test_riding_never_costs_a_transaction_more(devices: list[tuple[int, int]]) -> None:
    worlds = [SmallWorld(len(devices), 0) for _ in range(2)]
    for world, rides in zip(worlds, (True, False), strict=True):
        for number, (due, nearly) in enumerate(devices):
            for _ in range(due):
                world.add_user(world.device(number), NEVER)
            for _ in range(nearly if rides else 0):
                world.add_user(world.device(number), UP, age_s=NEARLY_S)
        Passes(world).run()
    assert worlds[0].transactions == worlds[1].transactions
    assert len(worlds[0].writes) >= len(worlds[1].writes)
