"""Every case of the tests of DoubleZero's own submitter, in its order, on this program's own path.

The submitter runs on each device, once a minute; here a pass over a plain fleet and ledger stands for its tick.
Where it keeps something in memory between ticks, so does a `Passes`; where it is started again, so is that. What is
said here about a full queue is proven where the queue is: in test_watch.py.
"""

from pathlib import Path

import pytest
from core_builders import key
from small_world import BLOCKHASH_LIFE_S, DOWN, FAIL, LOSE, NEVER, PROGRAM, UP, Passes, SmallWorld, activated

from dzbgp.models.ledger import BgpStatus, UserStatus, UserType
from dzbgp.models.session import Observed
from dzbgp.state.store import Store

GRACE_S = 120.0
TENANT_2 = key(20_002)


def one(onchain: BgpStatus, *, up: bool, **changes: object) -> SmallWorld:
    """One device with one user."""
    world = SmallWorld(1, 1, onchain, **changes)
    if up:
        world.goes_up()
    else:
        world.goes_down()
    return world


def written(world: SmallWorld) -> list[tuple[BgpStatus, int]]:
    return [(write.status, write.rtt_ns) for write in world.writes]


# Collecting sessions


def test_collect_a_single_vrf_session_is_up() -> None:
    passes = Passes(one(NEVER, up=True))
    assert passes.decision().status is UP


def test_collect_several_vrfs_merge_into_one_view() -> None:
    world = SmallWorld(1, 1, DOWN)
    world.add_user(world.device(), DOWN, tenant_pk=TENANT_2)
    world.goes_up()
    Passes(world).run()
    assert [write.status for write in world.writes] == [UP, UP]


def test_collect_multicast_users_are_looked_for_in_the_default_vrf() -> None:
    world = SmallWorld(1, 1, DOWN, user_type=UserType.MULTICAST)
    world.goes_up()
    assert Passes(world).decision(missing_vrfs={"vrf2"}).status is UP
    world = SmallWorld(1, 1, UP, user_type=UserType.MULTICAST)
    world.goes_down()
    assert Passes(world).reason(missing_vrfs={"default"}) == "no-vrf"


def test_collect_one_vrf_failing_does_not_stop_the_others() -> None:
    world = SmallWorld(1, 1, DOWN)
    world.add_user(world.device(), UP, tenant_pk=TENANT_2)
    world.goes_up(world.user(0).pubkey)
    world.goes_down(world.user(1).pubkey)
    decisions = Passes(world).run(missing_vrfs={"vrf2"}).decisions
    assert [(one.reason, one.status) for one in decisions] == [("changed", UP), ("no-vrf", None)]


def test_collect_all_vrfs_failing_is_no_decision_at_all() -> None:
    world = SmallWorld(1, 3)
    world.goes_down()
    Passes(world).run(missing_vrfs={"default", "vrf1", "vrf2"})
    assert world.writes == []


def test_collect_a_device_that_fails_is_never_down() -> None:
    world = one(UP, up=False)
    decision = Passes(world).decision(silent={world.device().pubkey})
    assert (decision.observation.observed, decision.status) == (Observed.UNKNOWN, None)
    assert world.writes == []


# RTT


def test_rtt_is_carried_with_up() -> None:
    world = one(DOWN, up=True)
    world.rtts[world.user().pubkey] = 4_287_000
    Passes(world).run()
    assert written(world) == [(UP, 4_287_000)]


def test_rtt_is_zero_when_up_has_no_sample() -> None:
    world = one(DOWN, up=True, bgp_rtt_ns=77)
    Passes(world).run(rtts={})
    assert written(world) == [(UP, 0)]


def test_rtt_is_cleared_with_down() -> None:
    world = one(UP, up=False, bgp_rtt_ns=77)
    Passes(world).run()
    assert written(world) == [(DOWN, 0)]
    assert world.user().bgp_rtt_ns == 0


def test_a_refresh_waits_while_the_grace_period_hides_a_session_that_is_down() -> None:
    world = one(UP, up=True)
    passes = Passes(world, down_grace_period_s=GRACE_S, refresh_interval_s=60)
    passes.run()
    world.wait(60)
    world.goes_down()
    assert passes.reason() == "grace"
    assert written(world) == []


def test_rtt_change_alone_is_no_reason_to_write() -> None:
    world = one(UP, up=True, bgp_rtt_ns=1)
    world.rtts[world.user().pubkey] = 9_000_000
    assert Passes(world).reason() == "unchanged"


# The effective status


@pytest.mark.parametrize("grace_s", [0.0, GRACE_S])
def test_effective_status_is_up_when_observed_up(grace_s: float) -> None:
    assert Passes(one(DOWN, up=True), down_grace_period_s=grace_s).decision().status is UP


def test_effective_status_is_down_when_it_was_never_seen_up_even_with_a_grace_period() -> None:
    assert Passes(one(UP, up=False), down_grace_period_s=GRACE_S).decision().status is DOWN


@pytest.mark.parametrize(
    ("grace_s", "waited_s", "reason"),
    [
        (GRACE_S, 60.0, "grace"),
        (GRACE_S, 119.0, "grace"),
        (GRACE_S, 120.0, "changed"),
        (GRACE_S, 121.0, "changed"),
        (0.0, 0.0, "changed"),
        (0.0, 1.0, "changed"),
    ],
    ids=["within", "just within", "at its end", "after", "zero, at once", "zero, later"],
)
def test_effective_status_over_the_grace_period(grace_s: float, waited_s: float, reason: str) -> None:
    world = one(UP, up=True)
    passes = Passes(world, down_grace_period_s=grace_s)
    passes.run()
    world.wait(waited_s)
    world.goes_down()
    decision = passes.decision()
    assert (decision.reason, decision.status) == (reason, UP if reason == "grace" else DOWN)


# Whether to submit


@pytest.mark.parametrize(("up", "status"), [(True, UP), (False, DOWN)])
def test_submit_the_first_write(up: bool, status: BgpStatus) -> None:
    decision = Passes(one(NEVER, up=up)).decision()
    assert (decision.reason, decision.status) == ("first-report", status)


@pytest.mark.parametrize(("onchain", "up", "status"), [(UP, False, DOWN), (DOWN, True, UP)])
def test_submit_when_the_status_has_changed(onchain: BgpStatus, up: bool, status: BgpStatus) -> None:
    decision = Passes(one(onchain, up=up)).decision()
    assert (decision.reason, decision.status) == ("changed", status)


@pytest.mark.parametrize(("onchain", "up"), [(UP, True), (DOWN, False)])
def test_submit_nothing_when_unchanged(onchain: BgpStatus, up: bool) -> None:
    world = one(onchain, up=up)
    assert Passes(world).reason() == "unchanged"
    assert world.writes == []


@pytest.mark.parametrize(("onchain", "up"), [(UP, True), (DOWN, False)])
@pytest.mark.parametrize(("age_h", "reason"), [(5.9, "unchanged"), (6.0, "refresh"), (7.0, "refresh")])
def test_submit_again_at_the_refresh_interval(
    onchain: BgpStatus, up: bool, age_h: float, reason: str
) -> None:
    assert Passes(one(onchain, up=up, age_s=age_h * 3600)).reason() == reason


# Ticks


def test_tick_a_user_without_a_tunnel_is_skipped() -> None:
    for onchain in (NEVER, DOWN):
        world = one(onchain, up=True)
        world.goes_away()
        assert Passes(world).reason() == "absent"
        assert world.writes == []


def test_tick_a_user_that_was_up_and_lost_its_tunnel_is_down() -> None:
    world = one(UP, up=True)
    passes = Passes(world)
    passes.run()
    world.goes_away()
    passes.run()
    assert written(world) == [(DOWN, 0)]


def test_tick_after_a_restart_an_up_onchain_turns_down_when_the_tunnel_has_gone() -> None:
    world = one(UP, up=True)
    world.goes_away()
    assert Passes(world).decision().status is DOWN


def test_tick_after_a_restart_an_unchanged_status_is_not_written_again() -> None:
    world = one(NEVER, up=True)
    Passes(world).run()
    assert len(world.writes) == 1
    Passes(world).run()
    assert world.writes == []


def test_tick_users_of_other_devices_and_users_not_activated_are_left_alone() -> None:
    for status in UserStatus:
        if status is UserStatus.ACTIVATED:
            continue
        world = one(DOWN, up=True, status=status)
        assert Passes(world).run().decisions == ()
    world = SmallWorld(2, 1, DOWN)
    world.goes_up()
    Passes(world).run(hosts=[world.device(0).pubkey])
    assert [write.user for write in world.writes] == [world.user(0).pubkey]


# Submitting


def test_worker_a_write_that_landed_is_not_made_again() -> None:
    world = one(DOWN, up=True)
    passes = Passes(world)
    passes.run()
    assert passes.reason() == "unchanged"


def test_worker_a_write_that_failed_is_retried_by_the_next_tick() -> None:
    world = one(DOWN, up=True)
    passes = Passes(world)
    passes.run(write_mode=FAIL)
    assert world.user().bgp_status is DOWN
    assert passes.reason() == "changed"
    assert world.user().bgp_status is UP


def test_worker_when_all_retries_failed_the_known_status_stays_as_it_was() -> None:
    world = one(UP, up=False)
    passes = Passes(world)
    for _ in range(5):
        assert passes.reason(write_mode=FAIL) == "changed"
    memory = passes.memory.users[world.user().pubkey]
    assert (memory.written_status, memory.written_slot, world.user().bgp_status) == (None, None, UP)


def test_worker_a_user_in_flight_is_not_submitted_again(tmp_path: Path) -> None:
    world = one(DOWN, up=True)
    with Store.open(tmp_path / "state", PROGRAM, clock=lambda: world.now) as history:
        passes = Passes(world, history)
        passes.run(write_mode=LOSE)
        assert passes.reason() == "in-flight"
        assert world.writes == []


# Pruning


def test_prune_a_user_that_left_is_forgotten() -> None:
    world = SmallWorld(1, 2)
    passes = Passes(world)
    passes.run()
    gone = world.user(0)
    world.users.pop(gone.pubkey)
    passes.run()
    assert set(passes.memory.users) == set(world.users)


def test_prune_keeps_the_in_flight_mark_until_the_fate_of_the_write_is_known(tmp_path: Path) -> None:
    world = SmallWorld(1, 2, DOWN)
    world.goes_up()
    with Store.open(tmp_path / "state", PROGRAM, clock=lambda: world.now) as history:
        passes = Passes(world, history)
        passes.run(write_mode=LOSE)
        user = world.user(0)
        world.change(user.pubkey, **activated(user, is_active=False))
        passes.run()
        assert user.pubkey not in passes.memory.users
        world.change(user.pubkey, **activated(user, is_active=True))
        passes.restart()
        assert [one.reason for one in passes.run().decisions] == ["in-flight", "in-flight"]
        world.now += BLOCKHASH_LIFE_S + 1
        assert "in-flight" not in {one.reason for one in passes.run().decisions}


def test_prune_a_user_activated_again_starts_afresh() -> None:
    world = one(UP, up=True)
    passes = Passes(world, down_grace_period_s=GRACE_S)
    passes.run()
    world.change(world.user().pubkey, **activated(world.user(), is_active=False))
    passes.run()
    world.change(world.user().pubkey, **activated(world.user(), is_active=True))
    world.goes_down()
    assert passes.decision().status is DOWN
