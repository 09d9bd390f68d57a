"""The guard against mass mistakes, through whole passes."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from small_world import DOWN, FAIL, LAND, LOSE, NEVER, PROGRAM, UP, Passes, SmallWorld, shuffled

from dzbgp.decision.rules import Limits
from dzbgp.models.decision import Action
from dzbgp.models.ledger import DeviceStatus
from dzbgp.state.records import held_users, released_users
from dzbgp.state.store import Store


def fleet(devices: int = 1, users: int = 40) -> SmallWorld:
    return SmallWorld(devices, users)


def guarded(world: SmallWorld, history: Store | None = None, **rules: Any) -> Passes:
    """Passes that count in the guard however soon they follow each other, unless a test says otherwise."""
    return Passes(world, history, **({"max_down_min": 10, "guard_spacing_s": 0.0} | rules))


def falls(world: SmallWorld, count: int, device: int = 0) -> None:
    """That many more sessions of a device go down."""
    of = world.device(device).pubkey
    up = [one for one, user in world.users.items() if user.device_pk == of and world.is_established(one)]
    world.goes_down(*up[:count])


def counts(passes: Passes, **world: Any) -> tuple[int, int]:
    """Does a pass; gives how many Downs were written and how many were held."""
    decisions = passes.run(**world).decisions
    held = sum(one.action is Action.HOLD for one in decisions)
    assert all(one.reason == "guard" for one in decisions if one.action is Action.HOLD)
    return sum(write.status is DOWN for write in passes.world.writes), held


@pytest.mark.parametrize(
    ("users", "down", "rules", "written", "held"),
    [
        (40, 12, {}, 12, 0),  # 30 %, not more
        (40, 13, {}, 0, 13),
        (40, 40, {}, 0, 40),
        (10, 9, {}, 9, 0),  # fewer than ten
        (9, 9, {}, 0, 9),  # but all of a device's
        (3, 3, {}, 0, 3),
        (2, 2, {}, 2, 0),
        (10, 10, {}, 0, 10),
        (20, 9, {}, 9, 0),
        (40, 13, {"max_down": 0.5}, 13, 0),
        (40, 21, {"max_down": 0.5}, 0, 21),
        (40, 1, {"max_down": 0.0, "max_down_min": 1}, 0, 1),
        (4, 2, {"max_down_min": 2}, 0, 2),
        (40, 40, {"max_down": 1.0}, 40, 0),
        (40, 13, {"force": True}, 13, 0),
        (40, 13, {"guard_passes": 1}, 13, 0),
        (40, 13, {"max_down_min": 14}, 13, 0),
    ],
)
def test_a_device_may_lose_a_share_of_its_users_or_a_few(
    users: int, down: int, rules: dict[str, Any], written: int, held: int
) -> None:
    world = fleet(1, users)
    falls(world, down)
    assert counts(guarded(world, **rules)) == (written, held)


def test_one_device_that_loses_a_mass_does_not_hold_the_others() -> None:
    world = fleet(4, 40)
    falls(world, 20)
    falls(world, 3, device=1)
    assert counts(guarded(world)) == (3, 20)


def test_a_mass_of_the_fleet_is_held_though_no_device_loses_one() -> None:
    world = fleet(4, 9)
    for device in range(4):
        falls(world, 4, device)
    assert counts(guarded(world)) == (0, 16)


def test_a_held_down_says_the_numbers_and_what_lets_it_through() -> None:
    world = fleet(1, 40)
    falls(world, 13)
    passes = guarded(world)
    report = passes.run()
    detail = next(one.detail for one in report.decisions if one.action is Action.HOLD)
    wanted = (
        "Held: 13 of ams-dz-001's 40 Up users would be Down: 32%, more than 30% "
        "(pass 1 of 3; --force or `dzbgp release` writes it)."
    )
    assert detail.endswith(wanted)


def test_a_dry_run_does_not_say_that_a_release_writes_what_no_run_has_held(tmp_path: Path) -> None:
    world = fleet()
    falls(world, 20)
    with Store.open(tmp_path / "state", PROGRAM) as store:
        passes = guarded(world, store, dry_run=True)
        held = next(one for one in passes.run().decisions if one.action is Action.HOLD)
    assert "--force writes it, and `dzbgp release` after a run that writes has held it" in held.detail


def test_ups_and_refreshes_are_never_held() -> None:
    world = fleet(1, 40)
    for number in range(3):
        world.change(world.user(number).pubkey, bgp_status=DOWN)
    falling = list(world.users)[20:]
    world.goes_down(*falling)
    passes = guarded(world)
    assert counts(passes) == (0, 20)
    assert [write.status for write in world.writes] == [UP] * 3


def test_a_mass_passes_when_it_was_seen_in_so_many_passes_in_a_row() -> None:
    world = fleet()
    falls(world, 20)
    passes = guarded(world)
    assert [counts(passes) for _ in range(4)] == [(0, 20), (0, 20), (20, 0), (0, 0)]


@pytest.mark.parametrize(
    ("waits", "held"),
    [
        ([30] * 5, 4),  # at 0, 60 and 120 s
        ([60] * 5, 2),
        ([59] * 5, 4),  # at 0, 118 and 236 s
        ([60.2, 59.7] * 3, 2),  # every minute, by a schedule that is not exact
        ([59.7, 60.2] * 3, 2),
        ([20, 20, 300], 3),  # two that are 5 min apart
        ([299.7], 1),
        ([299, 1], 2),
    ],
)
def test_passes_count_when_they_are_far_enough_apart(waits: list[float], held: int) -> None:
    world = fleet()
    falls(world, 20)
    passes = guarded(world, guard_spacing_s=60.0)
    found = []
    for wait_s in [*waits, 0]:
        found.append(counts(passes))
        world.wait(wait_s)
    assert found[: held + 1] == [(0, 20)] * held + [(20, 0)]


def test_a_row_of_passes_begins_anew_when_the_clock_was_set_back() -> None:
    world = fleet()
    falls(world, 20)
    passes = guarded(world, guard_spacing_s=60.0)
    counts(passes)
    world.wait(61)
    counts(passes)
    world.now -= 7200
    assert counts(passes) == (0, 20)
    world.wait(61)
    assert counts(passes) == (0, 20)
    world.wait(61)
    assert counts(passes) == (20, 0)


def test_without_a_state_file_only_force_releases_and_the_report_says_so() -> None:
    world = fleet()
    falls(world, 20)
    passes = guarded(world, kept=False)
    assert [counts(passes) for _ in range(5)] == [(0, 20)] * 5
    held = next(one for one in passes.run().decisions if one.action is Action.HOLD)
    assert held.detail.endswith("(only --force writes it, because there is no state file).")
    passes.rules(force=True)
    assert counts(passes) == (20, 0)


@pytest.mark.parametrize("is_slot_known", [True, False])
def test_old_downs_do_not_become_recent_when_the_clock_is_set_back(*, is_slot_known: bool) -> None:
    world = fleet()
    passes = guarded(world, guard_window_s=3600)
    falls(world, 9)
    counts(passes)
    if not is_slot_known:
        # As a run leaves it that is killed right after the confirmation.
        passes.memory.users = {
            user: replace(known, written_slot=None) for user, known in passes.memory.users.items()
        }
    world.wait(4000)
    world.now -= 7200
    falls(world, 9)
    assert counts(passes) == (9, 0)


def test_recent_downs_stay_recent_when_the_clock_is_set_forward() -> None:
    world = fleet()
    passes = guarded(world, guard_window_s=3600)
    falls(world, 9)
    counts(passes)
    world.wait(60)
    world.now += 7200
    falls(world, 9)
    assert counts(passes) == (0, 9)


def test_all_users_of_a_small_device_are_a_mass_though_they_are_few() -> None:
    world = fleet(4, 3)
    falls(world, 3)
    passes = guarded(world)
    (detail,) = {one.detail for one in passes.run().decisions if one.action is Action.HOLD}
    assert (
        "Held: 3 of ams-dz-001's 3 Up users would be Down (pass 1 of 3; --force or `dzbgp release` writes it)."
        in detail
    )
    assert counts(guarded(world, max_down=1.0)) == (3, 0)


def test_the_rest_of_a_small_device_is_a_mass_when_the_others_went_a_short_while_ago() -> None:
    world = fleet(4, 3)
    falls(world, 2)
    passes = guarded(world)
    assert counts(passes) == (2, 0)
    falls(world, 1)
    assert counts(passes) == (0, 1)


def test_a_device_that_lost_all_of_vrf1_and_has_its_other_peers_is_held() -> None:
    world = fleet(1, 9)
    passes = guarded(world)
    assert counts(passes, empty_vrfs={"vrf1"}) == (0, 9)


def test_a_down_in_a_vrf_that_shows_no_peer_is_held_though_it_is_one() -> None:
    world = fleet(1, 1)
    passes = guarded(world)
    (decision,) = passes.run(empty_vrfs={"vrf1"}).decisions
    assert decision.action is Action.HOLD
    assert "vrf1 of ams-dz-001 shows no peer at all; the answer may be incomplete" in decision.detail


def test_a_host_may_have_limits_of_its_own() -> None:
    world = fleet(2, 40)
    falls(world, 13)
    falls(world, 5, device=1)
    world.host_limits = {
        world.device(0).code: Limits(0.5, 10),
        world.device(1).code: Limits(0.1, 2),
    }
    assert counts(guarded(world)) == (13, 5)


def test_the_passes_in_a_row_outlive_a_process(tmp_path: Path) -> None:
    world = fleet()
    falls(world, 20)
    found = []
    for _ in range(3):
        with Store.open(tmp_path / "state", PROGRAM, clock=lambda: world.now) as history:
            found.append(counts(guarded(world, history)))
    assert found == [(0, 20), (0, 20), (20, 0)]


def test_a_session_that_comes_up_in_between_begins_its_row_anew() -> None:
    world = fleet()
    falls(world, 20)
    passes = guarded(world)
    counts(passes)
    counts(passes)
    back = [one for one in world.users if one in world.down][:5]
    world.goes_up(*back)
    counts(passes)
    world.goes_down(*back)
    assert {
        one.observation.user.pubkey for one in passes.run().decisions if one.action is Action.HOLD
    } <= set(back)


def test_a_pass_in_which_the_device_is_silent_begins_the_row_anew() -> None:
    world = fleet()
    falls(world, 20)
    passes = guarded(world)
    counts(passes)
    counts(passes)
    assert counts(passes, silent={world.device().pubkey}) == (0, 0)
    assert [counts(passes) for _ in range(3)] == [(0, 20), (0, 20), (20, 0)]


def test_what_was_held_long_enough_is_not_held_again_because_its_write_failed() -> None:
    world = fleet()
    falls(world, 20)
    passes = guarded(world)
    counts(passes)
    counts(passes)
    assert counts(passes, write_mode=FAIL) == (20, 0)
    assert counts(passes) == (20, 0)


def test_what_was_held_long_enough_is_not_held_again_because_its_write_expired(tmp_path: Path) -> None:
    world = fleet()
    falls(world, 20)
    with Store.open(tmp_path / "state", PROGRAM, clock=lambda: world.now) as history:
        passes = guarded(world, history)
        counts(passes)
        counts(passes)
        assert counts(passes, write_mode=LOSE) == (20, 0)
        assert counts(passes) == (0, 0)  # in flight
        world.wait(61)
        assert counts(passes) == (20, 0)


def test_a_release_lets_what_is_held_through_at_the_next_pass_until_it_is_written(tmp_path: Path) -> None:
    world = fleet()
    falls(world, 20)
    with Store.open(tmp_path / "state", PROGRAM, clock=lambda: world.now) as history:
        passes = guarded(world, history, guard_passes=100)
        assert counts(passes) == (0, 20)
        assert history.release(held_users(history))
        assert counts(passes, write_mode=FAIL) == (20, 0)
        assert counts(passes) == (20, 0)
        assert not held_users(history)
        counts(passes)
        assert not history.releases()


def test_a_release_is_about_what_was_held_then_only(tmp_path: Path) -> None:
    world = fleet()
    falls(world, 20)
    with Store.open(tmp_path / "state", PROGRAM, clock=lambda: world.now) as history:
        passes = guarded(world, history, guard_passes=100)
        counts(passes)
        history.release([*held_users(history)][:5])
        released = set(history.releases())
        world.wait(1)
        back = [one for one in world.users if one in released]
        world.goes_up(*back)
        counts(passes)
        world.goes_down(*back)
        assert counts(passes) == (0, 20)
        assert not history.releases()


def test_a_release_after_the_clock_was_set_back_lets_through_what_is_held(tmp_path: Path) -> None:
    world = fleet()
    falls(world, 20)
    with Store.open(tmp_path / "state", PROGRAM, clock=lambda: world.now) as history:
        passes = guarded(world, history, guard_passes=100)
        assert counts(passes) == (0, 20)
        world.now -= 3600
        assert history.release(held_users(history))
        assert len(released_users(history)) == 20
        assert counts(passes, write_mode=FAIL) == (20, 0)


def test_a_drained_device_is_exempt_and_weighs_nothing() -> None:
    world = fleet(2, 30)
    world.drain(0)
    falls(world, 30)
    assert counts(guarded(world)) == (30, 0)
    falls(world, 9, device=1)
    assert counts(guarded(world)) == (9, 0)
    # Its users that are Up make no mass of the others smaller: 13 of 40, not of 50.
    world = fleet(5, 10)
    world.drain(0)
    for device, count in enumerate((4, 3, 3, 3), 1):
        falls(world, count, device)
    assert counts(guarded(world)) == (0, 13)


def test_a_mass_in_parts_is_a_mass() -> None:
    world = fleet()
    passes = guarded(world)
    falls(world, 9)
    assert counts(passes) == (9, 0)
    world.wait(600)
    falls(world, 9)
    assert counts(passes) == (0, 9)


def test_downs_before_the_window_do_not_count() -> None:
    world = fleet()
    passes = guarded(world, guard_window_s=3600)
    falls(world, 9)
    counts(passes)
    world.wait(3600)
    falls(world, 9)
    assert counts(passes) == (9, 0)


def test_a_mass_host_by_host_is_a_mass(tmp_path: Path) -> None:
    world = fleet(3, 12)
    for device in range(3):
        falls(world, 8, device)
    found = []
    for device in range(3):
        with Store.open(tmp_path / "state", PROGRAM, clock=lambda: world.now) as history:
            found.append(counts(guarded(world, history), hosts=[world.device(device).pubkey]))
    assert found == [(8, 0), (0, 8), (0, 8)]


def test_a_device_that_falls_silent_does_not_take_its_downs_out_of_the_count() -> None:
    world = fleet(2, 20)
    passes = guarded(world)
    falls(world, 9)
    assert counts(passes) == (9, 0)
    falls(world, 9, device=1)
    assert counts(passes, silent={world.device(0).pubkey}) == (0, 9)


def test_downs_that_may_still_land_count(tmp_path: Path) -> None:
    world = fleet()
    with Store.open(tmp_path / "state", PROGRAM, clock=lambda: world.now) as history:
        passes = guarded(world, history)
        falls(world, 9)
        counts(passes, write_mode=LOSE)
        falls(world, 9)
        assert counts(passes) == (0, 9)


def test_downs_that_may_still_land_count_on_hosts_that_are_not_asked_too(tmp_path: Path) -> None:
    world = fleet(2, 20)
    falls(world, 9)
    with Store.open(tmp_path / "state", PROGRAM, clock=lambda: world.now) as history:
        counts(guarded(world, history), write_mode=LOSE)
        falls(world, 9, device=1)
        assert counts(guarded(world, history), hosts=[world.device(1).pubkey]) == (0, 9)


def test_downs_that_landed_after_their_run_count(tmp_path: Path) -> None:
    world = fleet()
    with Store.open(tmp_path / "state", PROGRAM, clock=lambda: world.now) as history:
        passes = guarded(world, history)
        falls(world, 9)
        counts(passes, write_mode=LOSE)
        world.land("signature-1")
        world.wait(100)
        falls(world, 9)
        passes.restart()
        assert counts(passes) == (0, 9)


def test_a_mass_that_was_let_through_does_not_make_the_next_single_down_a_mass() -> None:
    world = fleet()
    passes = guarded(world)
    falls(world, 20)
    assert [counts(passes) for _ in range(3)][-1] == (20, 0)
    falls(world, 2)
    assert counts(passes) == (2, 0)


def test_what_was_forced_does_not_make_the_next_single_down_a_mass() -> None:
    world = fleet()
    passes = guarded(world, force=True)
    falls(world, 20)
    assert counts(passes) == (20, 0)
    passes.rules(force=False)
    falls(world, 2)
    assert counts(passes) == (2, 0)


def test_refreshes_of_downs_do_not_make_the_next_single_down_a_mass() -> None:
    world = fleet()
    for _ in range(30):
        world.add_user(world.device(), DOWN, age_s=22_000)
    passes = guarded(world)
    assert counts(passes) == (30, 0)
    falls(world, 1)
    assert counts(passes) == (1, 0)


def test_first_reports_of_downs_do_not_make_the_next_single_down_a_mass() -> None:
    world = fleet()
    for _ in range(30):
        world.add_user(world.device(), NEVER)
    passes = guarded(world)
    assert counts(passes) == (30, 0)
    falls(world, 1)
    assert counts(passes) == (1, 0)


def test_a_refresh_does_not_take_a_recent_down_out_of_the_count() -> None:
    world = fleet()
    passes = guarded(world, refresh_interval_s=300)
    falls(world, 9)
    assert counts(passes) == (9, 0)
    world.wait(300)
    assert counts(passes)[0] == 9
    falls(world, 9)
    assert counts(passes) == (0, 9)


def test_who_came_back_is_no_part_of_a_mass() -> None:
    world = fleet()
    passes = guarded(world)
    falls(world, 9)
    counts(passes)
    world.goes_up()
    world.goes_down(*list(world.users)[-4:])
    assert counts(passes) == (4, 0)


def by_device(world: SmallWorld) -> list[int]:
    """How many users of each device are Down onchain."""
    return [
        sum(user.bgp_status is DOWN for user in world.users.values() if user.device_pk == device)
        for device in world.devices
    ]


PARTS = st.lists(
    st.tuples(
        st.integers(1, 9),  # so many more go down
        st.sampled_from([1.0, 30.0, 61.0]),  # then so much time passes
        st.sampled_from([None, 0, 1, 2]),  # and so a device, or all of them, are asked
        st.sampled_from([LAND, LAND, LOSE, FAIL]),
        st.booleans(),  # what was lost lands
        st.booleans(),  # a new process
    ),
    min_size=1,
    max_size=12,
)


@settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(PARTS, st.integers(0, 1000))
def test_the_guard_is_not_passed_by_splitting_a_mass_over_time_or_hosts(
    tmp_path_factory: pytest.TempPathFactory,
    parts: list[tuple[int, float, int | None, str, bool, bool]],
    seed: int,
) -> None:
    world = SmallWorld(3, 10)
    least, share = 4, 0.3
    falling = shuffled(world.users, seed)
    file = tmp_path_factory.mktemp("guard") / "state"
    with Store.open(file, PROGRAM, clock=lambda: world.now) as history:
        passes = Passes(world, history, max_down_min=least, max_down=share, guard_passes=1000)
        left_s = 290.0  # what is held for five minutes passes
        for count, seconds, device, mode, lands, restarts in parts:
            world.goes_down(*falling[:count])
            del falling[:count]
            hosts = None if device is None else [world.device(device).pubkey]
            passes.run(hosts=hosts, write_mode=mode)
            for signature in world.sent if lands else ():
                world.land(signature)
            if restarts:
                passes.restart()
            assert sum(by_device(world)) <= max(least - 1, share * 30)
            assert max(by_device(world)) <= max(least - 1, share * 10)
            world.wait(min(seconds, left_s))
            left_s -= min(seconds, left_s)


@pytest.mark.parametrize(
    "is_chosen", [True, False], ids=["on hosts that were chosen", "once it is in use again"]
)
def test_the_downs_of_a_drained_device_are_no_part_of_a_mass(tmp_path: Path, *, is_chosen: bool) -> None:
    world = fleet(2)
    world.drain(0)
    falls(world, 40, 0)
    with Store.open(tmp_path / "state", PROGRAM, clock=lambda: world.now) as history:
        passes = guarded(world, history)
        assert counts(passes) == (40, 0)
        world.wait(60)
        if not is_chosen:
            world.drain(0, status=DeviceStatus.ACTIVATED)
        falls(world, 1, 1)
        hosts = [world.device(1).pubkey] if is_chosen else None
        assert counts(passes, hosts=hosts) == (1, 0)


def test_the_downs_of_another_shard_are_no_part_of_a_mass(tmp_path: Path) -> None:
    world = fleet(2)
    one, other = ([device.pubkey] for device in world.devices.values())
    falls(world, 12, 0)
    with Store.open(tmp_path / "state", PROGRAM, clock=lambda: world.now) as history:
        assert counts(guarded(world, history), hosts=one, shard=one) == (12, 0)
        world.wait(60)
        falls(world, 1, 1)
        assert counts(guarded(world, history, max_down=0.2), hosts=other, shard=other) == (1, 0)
