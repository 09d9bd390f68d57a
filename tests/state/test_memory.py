"""What a pass recalls of earlier ones: flights, other writers, flaps, and what a new process still knows."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from small_world import DOWN, LOSE, NEVER, PROGRAM, UP, Passes, SmallWorld

from dzbgp.models.decision import Decisions
from dzbgp.models.in_flight import Fate, InFlight
from dzbgp.models.ledger import BgpStatus
from dzbgp.models.report import Report
from dzbgp.state.records import transitions, writes
from dzbgp.state.store import Store


def opened(file: Path, world: SmallWorld) -> Store:
    return Store.open(file / "state", PROGRAM, clock=lambda: world.now)


def foreign(report: Report) -> list[str]:
    return [note for note in report.notes if note.startswith("Another writer")]


# In flight, from one run to the next


def test_a_write_that_was_left_in_flight_is_let_be_until_its_fate_is_known(tmp_path: Path) -> None:
    world = SmallWorld(1, 2)
    world.goes_down(world.user(0).pubkey)
    with opened(tmp_path, world) as history:
        Passes(world, history).run(write_mode=LOSE)
    with opened(tmp_path, world) as history:
        passes = Passes(world, history)
        assert [one.reason for one in passes.run().decisions] == ["in-flight", "unchanged"]
        world.land("signature-1")
        assert [one.reason for one in passes.run().decisions] == ["unchanged", "unchanged"]
    with opened(tmp_path, world) as history:
        assert history.in_flight() == []
        memory = history.users()[world.user(0).pubkey]
        assert (memory.written_status, memory.written_slot) == (DOWN, world.user(0).last_bgp_reported_at)


def test_a_write_that_expired_is_made_again_by_a_later_run(tmp_path: Path) -> None:
    world = SmallWorld(1, 1)
    world.goes_down()
    with opened(tmp_path, world) as history:
        Passes(world, history).run(write_mode=LOSE)
    world.wait(59)
    with opened(tmp_path, world) as history:
        assert Passes(world, history).reason() == "in-flight"
    world.wait(1)
    with opened(tmp_path, world) as history:
        assert Passes(world, history).reason() == "changed"
        assert history.in_flight() == []
    assert world.user().bgp_status is DOWN


def test_a_late_landing_never_overwrites_a_newer_truth(tmp_path: Path) -> None:
    world = SmallWorld(1, 1)
    world.goes_down()
    with opened(tmp_path, world) as history:
        passes = Passes(world, history)
        passes.run(write_mode=LOSE)
        world.goes_up()
        # Onchain it is Up still, as it should be; but a Down is under way.
        assert passes.reason() == "unchanged"
        world.land("signature-1")
        assert passes.reason() == "changed"
    assert world.user().bgp_status is UP


def test_a_dry_run_knows_what_is_in_flight_and_settles_nothing(tmp_path: Path) -> None:
    world = SmallWorld(1, 1)
    world.goes_down()
    with opened(tmp_path, world) as history:
        Passes(world, history).run(write_mode=LOSE)
    with Store.open(tmp_path / "state", PROGRAM, read_only=True, clock=lambda: world.now) as history:
        assert Passes(world, history, dry_run=True).reason() == "in-flight"
        world.wait(100)
        assert Passes(world, history, dry_run=True).reason() == "changed"
        assert len(history.in_flight()) == 1


def test_a_landing_is_remembered_of_users_that_this_pass_does_not_ask_for(tmp_path: Path) -> None:
    world = SmallWorld(2, 1)
    world.goes_down(world.user(0).pubkey)
    with opened(tmp_path, world) as history:
        Passes(world, history).run(write_mode=LOSE)
        world.land("signature-1")
    with opened(tmp_path, world) as history:
        Passes(world, history).run(hosts=[world.device(1).pubkey])
    with opened(tmp_path, world) as history:
        assert history.users()[world.user(0).pubkey].written_slot == world.user(0).last_bgp_reported_at
        assert foreign(Passes(world, history).run()) == []


# Another writer


def test_another_writer_is_noticed_and_named() -> None:
    world = SmallWorld(2, 3, DOWN)
    world.goes_up()
    passes = Passes(world)
    assert foreign(passes.run()) == []
    world.wait(30)
    for number in (0, 1):
        world.reported_by_another(world.user(number).pubkey, UP)
    (note,) = foreign(passes.run())
    publisher = world.device().metrics_publisher_pk
    assert note == (
        f"Another writer reports on {world.device().code}: 2 users reported by it since our last "
        f"write or pass, with the key of {publisher} (an agent on the device?)."
    )


def test_another_writer_is_noticed_by_a_new_process(tmp_path: Path) -> None:
    world = SmallWorld(1, 1, DOWN)
    world.goes_up()
    with opened(tmp_path, world) as history:
        Passes(world, history).run()
    world.wait(30)
    world.reported_by_another(world.user().pubkey, UP)
    with opened(tmp_path, world) as history:
        assert len(foreign(Passes(world, history).run())) == 1


@pytest.mark.parametrize("ends", ["lands", "lands and is settled later", "expires"])
def test_our_own_writes_are_nobody_elses_however_they_end(tmp_path: Path, ends: str) -> None:
    world = SmallWorld(1, 1, DOWN)
    world.goes_up()
    with opened(tmp_path, world) as history:
        passes = Passes(world, history)
        passes.run()
        world.wait(30)
        world.goes_down()
        passes.run(write_mode=LOSE)
        if ends.startswith("lands"):
            world.land("signature-2")
        if ends != "lands":
            world.wait(100)
        for _ in range(3):
            assert foreign(passes.run()) == []
            passes.restart()


def test_a_write_that_was_confirmed_as_its_run_was_killed_is_our_own(tmp_path: Path) -> None:
    world = SmallWorld(1, 1, DOWN)
    world.goes_up()
    with opened(tmp_path, world) as history:
        passes = Passes(world, history)
        passes.run()
        world.wait(30)
        world.goes_down()
        # Killed after the confirmation was noted, before the pass took it in.
        passes.memory.keep_written = lambda *_: None  # type: ignore[method-assign]
        passes.run()
    with opened(tmp_path, world) as history:
        assert foreign(Passes(world, history).run()) == []


def test_another_writer_is_noticed_by_who_never_wrote_once_it_reports_between_two_passes() -> None:
    world = SmallWorld(1, 1)
    passes = Passes(world)
    assert foreign(passes.run()) == []
    world.wait(30)
    world.reported_by_another(world.user().pubkey, UP)
    assert len(foreign(passes.run())) == 1
    assert foreign(passes.run()) == []


def test_a_user_whose_write_is_under_way_in_this_process_is_nobody_elses() -> None:
    world = SmallWorld(1, 1, DOWN)
    world.goes_up()
    passes = Passes(world)
    passes.run()
    world.wait(30)
    world.reported_by_another(world.user().pubkey, UP)
    passes.memory.submitting = frozenset(world.users)
    assert foreign(passes.run()) == []


# Flaps


def test_flaps_are_counted_over_processes_and_surfaced_in_the_report(tmp_path: Path) -> None:
    world = SmallWorld(1, 2)
    report = None
    for number in range(5):
        (world.goes_down if number % 2 else world.goes_up)(world.user(0).pubkey)
        with opened(tmp_path, world) as history:
            report = Passes(world, history).run()
        world.wait(60)
    assert report is not None
    assert report.transitions[world.user(0).pubkey] == 4
    assert world.user(1).pubkey not in report.transitions
    (note,) = [note for note in report.notes if note.startswith("Flapping")]
    assert f"{world.user(0).pubkey} (4)" in note
    assert "It flaps: 4 transitions in 60 min." in report.decisions[0].detail


def test_a_bounce_between_two_passes_is_two_transitions() -> None:
    world = SmallWorld(1, 1)
    passes = Passes(world)
    passes.run()
    world.wait(40)
    world.goes_up()
    world.wait(20)
    assert passes.run().transitions[world.user().pubkey] == 2


def test_flaps_are_forgotten_after_the_window() -> None:
    world = SmallWorld(1, 1)
    passes = Passes(world, flap_window_s=600)
    passes.run()
    world.goes_down()
    assert passes.run().transitions[world.user().pubkey] == 1
    world.wait(600)
    assert passes.run().transitions == {}


def test_a_flapping_user_is_written_at_most_once_a_cooldown() -> None:
    world = SmallWorld(1, 1)
    passes = Passes(world, flap_limit=2, flap_window_s=3600, cooldown_s=900)
    passes.run()
    written_at = []
    for number in range(120):
        world.wait(60)
        (world.goes_up if number % 2 else world.goes_down)()
        passes.run()
        if world.writes:
            written_at.append(world.now)
    gaps = [b - a for a, b in pairwise(written_at)]
    assert len(written_at) <= 12
    assert all(gap >= 900 for gap in gaps[2:])


def test_the_most_restless_users_are_named_and_the_others_counted() -> None:
    world = SmallWorld(1, 8)
    passes = Passes(world)
    passes.run()
    for change in (world.goes_down, world.goes_up):
        change()
        report = passes.run()
    (note,) = [note for note in report.notes if note.startswith("Flapping")]
    assert note.count("(2)") == 5
    assert note.endswith(" and 3 more.")


# Moving and leaving


def test_a_user_that_moved_to_another_device_gets_its_second_look_there() -> None:
    world = SmallWorld(2, 1)
    passes = Passes(world, down_grace_period_s=600, confirm_down_s=5)
    passes.run()
    world.change(world.user(0).pubkey, device_pk=world.device(1).pubkey)
    world.goes_down(world.user(0).pubkey)
    assert passes.reason() == "changed"
    assert passes.slept == [5]


def test_users_of_devices_that_were_not_asked_for_are_not_forgotten() -> None:
    world = SmallWorld(2, 1)
    passes = Passes(world)
    passes.run()
    passes.run(hosts=[world.device(1).pubkey])
    assert set(passes.memory.users) == set(world.users)


def test_a_user_that_is_missing_on_a_ledger_that_is_not_believed_is_not_forgotten(tmp_path: Path) -> None:
    world = SmallWorld(1, 2)
    with opened(tmp_path, world) as history:
        passes = Passes(world, history, down_grace_period_s=600.0)
        passes.run()
        world.wait(60)
        passes.run(doubt="every RPC is behind", not_shown=[world.user(0).pubkey])
        world.wait(60)
        world.goes_away(world.user(0).pubkey)
        assert passes.reason() == "grace"


def test_a_user_that_a_ledger_that_is_not_believed_shows_as_never_reported_is_no_new_user(
    tmp_path: Path,
) -> None:
    world = SmallWorld(1, 1)
    with opened(tmp_path, world) as history:
        passes = Passes(world, history, down_grace_period_s=600.0)
        passes.run()
        key = world.user(0).pubkey
        reported_at = world.user(0).last_bgp_reported_at
        assert reported_at > 0
        world.wait(60)
        world.goes_away(key)
        world.change(key, last_bgp_reported_at=0)
        passes.run(doubt="every RPC is behind")
        world.change(key, last_bgp_reported_at=reported_at)
        world.wait(60)
        assert passes.reason() == "grace"


def test_what_was_seen_is_kept_before_anything_is_sent(tmp_path: Path) -> None:
    world = SmallWorld(1, 1, NEVER)
    world.goes_up()
    with opened(tmp_path, world) as history:
        passes = Passes(world, history)
        kept = []
        write = type(world.ledger).write

        def spied(*args: object, **named: object) -> object:
            kept.append(set(history.users()))
            return write(*args, **named)  # type: ignore[arg-type]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(world.ledger), "write", spied)
            passes.run()
    assert kept == [set(world.users)]


# Two runs, each for devices of its own, on one state file


def test_the_writes_of_another_run_for_its_own_devices_are_nobody_elses(tmp_path: Path) -> None:
    world = SmallWorld(2, 1)
    ours, theirs = ([device.pubkey] for device in world.devices.values())
    with opened(tmp_path, world) as history:
        Passes(world, history).run()
    with opened(tmp_path, world) as history:
        watch = Passes(world, history)
        assert foreign(watch.run(shard=ours)) == []
        world.wait(60)
        world.goes_down(world.user(1).pubkey)
        with opened(tmp_path, world) as other:
            assert foreign(Passes(world, other).run(shard=theirs)) == []
        assert foreign(watch.run(shard=ours)) == []


def test_a_run_that_settles_anothers_write_leaves_what_the_other_has_seen_since(tmp_path: Path) -> None:
    world = SmallWorld(2, 1)
    ours, theirs = (device.pubkey for device in world.devices.values())
    with opened(tmp_path, world) as history:
        Passes(world, history).run(hosts=[theirs])
    with opened(tmp_path, world) as history:
        watch = Passes(world, history)
        watch.run(hosts=[ours])
        world.wait(7 * 3600)
        with opened(tmp_path, world) as other:
            Passes(world, other).run(hosts=[theirs], write_mode=LOSE)
        world.land("signature-1")
        watch.run(hosts=[ours])
    world.wait(60)
    world.goes_away(world.user(1).pubkey)
    with opened(tmp_path, world) as other:
        passes = Passes(world, other, down_grace_period_s=600.0)
        (decision,) = passes.run(hosts=[theirs]).decisions
    assert decision.reason == "grace"


def test_a_run_that_settles_anothers_write_leaves_what_the_other_has_noted_of_it(tmp_path: Path) -> None:
    world = SmallWorld(2, 1)
    ours, theirs = (device.pubkey for device in world.devices.values())
    world.goes_down(world.user(1).pubkey)
    with opened(tmp_path, world) as history:
        watch = Passes(world, history)
        watch.run(hosts=[ours])
        with opened(tmp_path, world) as other:
            passes = Passes(world, other, max_down_min=1, max_down=0.0, force=True)
            passes.run(hosts=[theirs], lands_as=Fate.CONFIRMED)
            before = other.users()[world.user(1).pubkey]
            world.wait(30)
            watch.run(hosts=[ours])
            assert other.in_flight() == []
            assert other.users()[world.user(1).pubkey] == before
    assert (before.written_status, before.written_acknowledged) == (DOWN, True)


def test_a_down_that_was_confirmed_as_its_run_was_killed_counts_for_the_guard(tmp_path: Path) -> None:
    world = SmallWorld(1, 10)
    gone = [world.user(number).pubkey for number in range(4)]
    world.goes_down(*gone[:3])
    with opened(tmp_path, world) as history:
        passes = Passes(world, history, max_down=0.3, max_down_min=3)
        # Killed after the confirmation was noted, before the pass took it in.
        passes.memory.keep_written = lambda *_: None  # type: ignore[method-assign]
        passes.run(lands_as=Fate.CONFIRMED)
    assert world.user(0).bgp_status is DOWN
    world.wait(60)
    world.goes_down(gone[3])
    with opened(tmp_path, world) as history:
        assert Passes(world, history, max_down=0.3, max_down_min=3).reason(3) == "guard"


def test_a_bounce_is_down_and_up_in_the_history(tmp_path: Path) -> None:
    world = SmallWorld(1, 1)
    with opened(tmp_path, world) as history:
        passes = Passes(world, history)
        passes.run()
        world.wait(600)
        world.goes_up()
        world.wait(60)
        passes.run()
        assert [one.is_up for one in transitions(history)] == [False, True]


def test_a_down_that_another_run_settled_first_still_counts_for_the_guard_after_its_run_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = SmallWorld(2, 1)
    ours, theirs = (device.pubkey for device in world.devices.values())
    world.goes_down(world.user(1).pubkey)
    with opened(tmp_path, world) as history, opened(tmp_path, world) as other:
        watch = Passes(world, history)
        watch.run(hosts=[ours])
        ended = other.ended

        def ended_later(signature: str, fate: Fate) -> None:
            watch.run(hosts=[ours])
            ended(signature, fate)

        monkeypatch.setattr(other, "ended", ended_later)
        passes = Passes(world, other)
        # Killed after the confirmation was noted, before the pass took it in.
        passes.memory.keep_written = lambda *_: None  # type: ignore[method-assign]
        passes.run(hosts=[theirs], lands_as=Fate.CONFIRMED)
        known = other.users()[world.user(1).pubkey]
        (write,) = writes(other)
    assert (known.written_status, known.written_acknowledged) == (DOWN, False)
    assert known.written_slot == world.slot
    assert write.fate is Fate.FINALIZED


def test_the_result_of_a_write_changes_nothing_that_the_run_which_took_its_device_has_seen(
    tmp_path: Path,
) -> None:
    world = SmallWorld(2, 1)
    ours, theirs = (device.pubkey for device in world.devices.values())
    user = world.user(1).pubkey
    with opened(tmp_path, world) as history:
        watch = Passes(world, history)
        watch.run(hosts=[ours, theirs])
        world.wait(7 * 3600)
        taken_in = watch.memory.keep_written
        waiting: list[tuple[Any, ...]] = []
        # As in a watch, whose writes are made beside its passes.
        watch.memory.keep_written = lambda *result: waiting.append(result)  # type: ignore[method-assign]
        watch.run(hosts=[ours, theirs], lands_as=Fate.CONFIRMED)
        world.wait(60)
        watch.run(hosts=[ours])
        with opened(tmp_path, world) as other:
            world.wait(60)
            world.goes_down(user)
            passes = Passes(world, other, down_grace_period_s=600.0)
            assert passes.run(hosts=[theirs]).decisions[0].reason == "grace"
            before = other.users()[user]
            assert before.down_since is not None
            for result in waiting:
                taken_in(*result)
            after = other.users()[user]
    assert after == replace(before, written_at=after.written_at)


def test_a_write_that_ends_while_a_pass_runs_is_our_own_also_after_the_watch_is_killed(
    tmp_path: Path,
) -> None:
    world = SmallWorld(1, 1)
    user = world.user().pubkey
    with opened(tmp_path, world) as history:
        watch = Passes(world, history)
        watch.run()
        world.wait(60)
        history.sent(InFlight("signature-1", 0, {user: UP}))
        watch.memory.submitting = frozenset({user})

        keep = watch.memory.keep

        def keep_later(decisions: Decisions) -> None:
            world.change(user, last_bgp_reported_at=world.slot)
            history.ended("signature-1", Fate.FINALIZED)
            keep(decisions)

        watch.memory.keep = keep_later  # type: ignore[method-assign]
        watch.run()
    world.wait(60)
    with opened(tmp_path, world) as history:
        assert foreign(Passes(world, history).run()) == []


@pytest.mark.parametrize("status", [UP, DOWN])
def test_another_writer_is_noticed_after_a_run_that_was_killed_as_its_write_had_landed(
    tmp_path: Path, status: BgpStatus
) -> None:
    world = SmallWorld(1, 1)
    with opened(tmp_path, world) as history:
        Passes(world, history).run()
        world.wait(7 * 3600)
        passes = Passes(world, history)
        # Killed after the fate was noted, before the pass took it in.
        passes.memory.keep_written = lambda *_: None  # type: ignore[method-assign]
        assert passes.run().submissions
    with opened(tmp_path, world) as history:
        world.wait(60)
        assert foreign(Passes(world, history).run()) == []
        world.wait(60)
        world.reported_by_another(world.user().pubkey, status)
        assert len(foreign(Passes(world, history).run())) == 1


def test_a_write_that_is_in_flight_when_the_clock_is_set_back_was_sent_nobody_knows_when(
    tmp_path: Path,
) -> None:
    world = SmallWorld(1, 1)
    world.goes_down()
    with opened(tmp_path, world) as history:
        passes = Passes(world, history)
        passes.run(write_mode=LOSE)
        world.now -= 3600
        assert "an earlier write may still land (signature-1)" in passes.decision().detail


def test_a_write_took_until_it_landed_not_until_a_later_pass_finds_it_finalized(tmp_path: Path) -> None:
    world = SmallWorld(1, 1)
    world.goes_down()
    with opened(tmp_path, world) as history:
        passes = Passes(world, history)
        passes.run(lands_as=Fate.CONFIRMED)
        landed_at = world.now
        world.wait(600)
        passes.run()
        (write,) = writes(history)
    assert (write.fate, write.ended_at) == (Fate.FINALIZED, landed_at)
