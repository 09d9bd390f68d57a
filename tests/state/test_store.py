"""The state file: what it keeps, and what it survives."""

import errno
import json
import os
import random
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest
from core_builders import key
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_world import DOWN, FAIL, LOSE, PROGRAM, UP, Passes, SmallWorld
from solders.pubkey import Pubkey

from dzbgp.errors import UsageError
from dzbgp.models.decision import UserMemory
from dzbgp.models.in_flight import Fate, InFlight
from dzbgp.models.ledger import BgpStatus
from dzbgp.models.report import Outcome
from dzbgp.state import store as module
from dzbgp.state.store import History

keys = st.binary(min_size=32, max_size=32).map(Pubkey)
times = st.floats(0, 4e9)
memories = st.builds(
    UserMemory,
    device=keys,
    seen_at=times,
    up=st.booleans(),
    last_up_at=st.none() | times,
    down_since=st.none() | times,
    transitions=st.lists(times, max_size=200).map(tuple),
    held_passes=st.integers(0, 10**6),
    written_at=st.none() | times,
    written_slot=st.none() | st.integers(0, 2**63 - 1),
    written_status=st.none() | st.integers(0, 255).map(BgpStatus),
    written_acknowledged=st.booleans(),
    held_since=st.none() | times,
    held_at=st.none() | times,
    first_seen_at=st.none() | times,
    reported_slot=st.none() | st.integers(0, 2**63 - 1),
)
FULL = UserMemory(
    key(1),
    1.5,
    True,
    1.25,
    0.5,
    (1.0, 2.0),
    2,
    written_at=3.5,
    written_slot=7,
    written_status=DOWN,
    written_acknowledged=True,
    held_since=4.5,
    held_at=5.5,
    first_seen_at=0.25,
    reported_slot=9,
)


def opened(file: Path, **how: bool) -> History:
    return History.open(file, PROGRAM, clock=lambda: 1_000_000.0, **how)


def filled(file: Path, users: int = 500) -> dict[Pubkey, UserMemory]:
    """Makes a state file of many pages, closed, and gives what is in it."""
    kept = {key(number): replace(FULL, seen_at=float(number)) for number in range(users)}
    with opened(file) as history:
        history.keep_users(kept)
        history.sent(InFlight("flight", 10, {key(1): UP}))
        history.end_run(1.0, 2.0, {"users": users})
    return kept


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(keys, memories, max_size=5))
def test_every_field_of_a_memory_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, kept: dict[Pubkey, UserMemory]
) -> None:
    file = tmp_path_factory.mktemp("history") / "state"
    with opened(file) as history:
        history.keep_users(kept)
        assert history.users() == kept
    with opened(file) as history:
        assert history.users() == kept
        assert history.problems == []


def test_the_example_has_no_field_left_at_its_default() -> None:
    assert all(getattr(FULL, one.name) != one.default for one in fields(UserMemory))


def test_a_missing_file_starts_fresh_in_a_directory_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "a" / "b" / "state.sqlite"
    with opened(file) as history:
        assert (history.users(), history.in_flight(), history.runs(), history.problems) == ({}, [], [], [])
    assert file.stat().st_mode & 0o777 == 0o600


def test_an_empty_file_starts_fresh(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with opened(tmp_path / "state", read_only=True) as history:
        assert (history.users(), history.problems) == ({}, [])
    with opened(tmp_path / "state") as history:
        history.keep_users({key(1): FULL})
        assert (history.users(), history.problems) == ({key(1): FULL}, [])


def test_the_file_is_in_wal_mode_and_says_its_version(tmp_path: Path) -> None:
    filled(tmp_path / "state")
    database = sqlite3.connect(tmp_path / "state")
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert database.execute("PRAGMA user_version").fetchone() == (len(module_migrations()),)
    database.close()


def test_a_file_of_an_older_version_is_brought_up_to_date_and_keeps_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = filled(tmp_path / "state")
    monkeypatch.setattr(
        "dzbgp.state.schema.MIGRATIONS", (*module_migrations(), "ALTER TABLE runs ADD COLUMN extra TEXT;")
    )
    with opened(tmp_path / "state") as history:
        assert history.users() == kept
        assert history.problems == []
    database = sqlite3.connect(tmp_path / "state")
    assert database.execute("PRAGMA user_version").fetchone() == (len(module_migrations()),)
    assert "extra" in {row[1] for row in database.execute("PRAGMA table_info(runs)")}
    database.close()


def module_migrations() -> tuple[str, ...]:
    from dzbgp.state.schema import MIGRATIONS  # noqa: PLC0415 - before it is replaced

    return MIGRATIONS


def test_a_migration_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = filled(tmp_path / "state")
    with monkeypatch.context() as patch:
        script = "ALTER TABLE runs ADD COLUMN extra TEXT; SELECT nonsense;"
        patch.setattr("dzbgp.state.schema.MIGRATIONS", (*module_migrations(), script))
        with opened(tmp_path / "state") as history:
            assert len(history.problems) == 1
    with opened(tmp_path / "state") as history:
        assert (history.users(), history.problems) == (kept, [])


def test_a_file_of_a_future_version_is_left_alone_and_told(tmp_path: Path) -> None:
    filled(tmp_path / "state")
    database = sqlite3.connect(tmp_path / "state")
    database.execute("PRAGMA user_version = 99")
    database.close()
    before = (tmp_path / "state").read_bytes()
    with opened(tmp_path / "state") as history:
        history.keep_users({key(1): FULL})
        assert history.users() == {}
        assert re.search("its schema is version 99, this dzbgp knows [0-9]: a newer", history.problems[0])
    assert (tmp_path / "state").read_bytes() == before


def test_a_file_of_another_program_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    filled(tmp_path / "state")
    for read_only in (False, True):
        with pytest.raises(
            UsageError, match=f"it belongs to program {PROGRAM}; expected that of {key(8)}"
        ) as caught:
            History.open(tmp_path / "state", key(8), read_only=read_only)
        assert caught.value.exit_code == 2
    with opened(tmp_path / "state") as history:
        assert len(history.users()) == 500


def test_another_applications_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    for version in (0, 1, 7):
        file = tmp_path / f"bookmarks-{version}"
        database = sqlite3.connect(file)
        database.executescript(f"CREATE TABLE bookmarks (url TEXT); PRAGMA user_version = {version};")
        database.close()
        before = file.read_bytes()
        with pytest.raises(UsageError, match="another application's database"):
            opened(file)
        assert file.read_bytes() == before


# Flights and runs


def test_a_flight_is_told_until_its_fate_is_known(tmp_path: Path) -> None:
    with opened(tmp_path / "state") as history:
        history.sent(InFlight("one", 10, {key(1): UP, key(2): DOWN}, 7))
        history.sent(InFlight("two", 11, {key(3): DOWN}, 8))
    with opened(tmp_path / "state") as history:
        assert history.in_flight() == [
            InFlight("one", 10, {key(1): UP, key(2): DOWN}, 7, 1_000_000.0),
            InFlight("two", 11, {key(3): DOWN}, 8, 1_000_000.0),
        ]
        history.ended("one", Fate.CONFIRMED)
        assert len(history.in_flight()) == 2, "a fork can undo it"
        history.ended("one", Fate.FINALIZED)
        assert [one.signature for one in history.in_flight()] == ["two"]


def test_forgetting_a_user_takes_its_mark_of_being_in_flight(tmp_path: Path) -> None:
    with opened(tmp_path / "state") as history:
        history.keep_users({key(1): FULL, key(2): FULL})
        history.sent(InFlight("one", 10, {key(1): UP, key(2): DOWN}))
        history.forget_users([key(1), key(9)])
        assert set(history.users()) == {key(2)}
        assert [one.users for one in history.in_flight()] == [{key(2): DOWN}]
        history.forget_users([key(2)])
        assert history.in_flight() == []


@pytest.mark.parametrize("fate", [Fate.CONFIRMED, Fate.FINALIZED])
def test_a_write_that_landed_is_ours_even_when_the_run_is_killed_before_it_says_more(
    tmp_path: Path, fate: Fate
) -> None:
    with opened(tmp_path / "state") as history:
        history.keep_users({key(1): FULL, key(2): FULL})
        history.sent(InFlight("one", 10, {key(1): UP}))
        history.ended("one", fate)
        wanted = replace(
            FULL, written_at=1_000_000.0, written_slot=None, written_status=UP, written_acknowledged=False
        )
        assert history.users() == {key(1): wanted, key(2): FULL}


@pytest.mark.parametrize("fate", [Fate.REJECTED, Fate.EXPIRED, Fate.REFUSED])
def test_a_write_that_never_landed_changes_nothing_that_is_known_of_its_user(
    tmp_path: Path, fate: Fate
) -> None:
    with opened(tmp_path / "state") as history:
        history.keep_users({key(1): FULL})
        history.sent(InFlight("one", 10, {key(1): UP}))
        history.ended("one", fate)
        assert history.users() == {key(1): FULL}


def test_runs_and_flights_are_kept_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RUNS_KEPT", 5)
    now = 0.0
    with History.open(tmp_path / "state", PROGRAM, clock=lambda: now) as history:
        for number in range(20):
            now = number * 10_000.0
            history.sent(InFlight(f"landed-{number}", 1, {key(number): UP}))
            history.ended(f"landed-{number}", Fate.FINALIZED)
            history.sent(InFlight(f"never told-{number}", 1, {key(number): UP}))
            history.sent(InFlight(f"forgotten-{number}", 1, {key(1000): UP}))
            history.forget_users([key(1000)])
            history.end_run(now, 1.0, {"number": number})
        assert [run["number"] for run in history.runs()] == [15, 16, 17, 18, 19]
        assert len(history.in_flight()) == 9
    database = sqlite3.connect(tmp_path / "state")
    assert database.execute("SELECT count(*) FROM flights").fetchone() == (27,)
    assert database.execute("SELECT count(*) FROM flight_users").fetchone() == (18,)
    database.close()


def test_threads_may_share_it(tmp_path: Path) -> None:
    with opened(tmp_path / "state") as history:

        def work(start: int) -> None:
            for number in range(start, start + 25):
                history.keep_users({key(number): FULL})
                history.sent(InFlight(str(number), 1, {key(number): UP}))

        threads = [threading.Thread(target=work, args=(start,)) for start in (100, 200, 300, 400)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(history.users()), len(history.in_flight()), history.problems) == (100, 100, [])


# Corrupt files


def cut(share: float) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        content = file.read_bytes()
        file.write_bytes(content[: int(len(content) * share)])

    return damage


def overwrite(start: float, end: float) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        content = bytearray(file.read_bytes())
        a, b = int(len(content) * start), int(len(content) * end)
        content[a:b] = random.Random(1).randbytes(b - a)
        file.write_bytes(content)

    return damage


def misspelt(column: str, value: str) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        database = sqlite3.connect(file)
        database.execute(
            f"UPDATE users SET {column} = {value} WHERE rowid_of = 1".replace(
                "rowid_of = 1", "held_passes = 2"
            )
        )
        database.commit()
        database.close()

    return damage


def no_database(file: Path) -> None:
    file.write_text("not a database, " * 100, encoding="utf-8")


DAMAGES: dict[str, Callable[[Path], None]] = {
    "no database": no_database,
    "cut to half": cut(0.5),
    "cut to its first bytes": cut(0.001),
    "cut by a little": cut(0.98),
    "its first page overwritten": overwrite(0, 0.02),
    "its middle overwritten": overwrite(0.4, 0.6),
    "its end overwritten": overwrite(0.8, 1),
    "a key that is none": misspelt("device", "'me'"),
    "times that are none": misspelt("seen_at", "'soon'"),
    "transitions that are none": misspelt("transitions", "'{'"),
    "transitions of another kind": misspelt("transitions", "'5'"),
    "text that is none": misspelt("transitions", "CAST(x'ff00fe' AS TEXT)"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_corrupt_file_is_moved_aside_with_a_warning_and_the_run_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None]
) -> None:
    file = tmp_path / "state"
    filled(file)
    damage(file)
    corrupt = file.read_bytes()
    with opened(file) as history:
        assert history.users() == {}
        assert len(history.problems) == 1
        assert "was corrupt: it was moved to" in history.problems[0]
        history.keep_users({key(1): FULL})
    assert f"{file} is corrupt" in caplog.text
    assert (tmp_path / "state.corrupt-1000000").read_bytes() == corrupt
    with opened(file) as history:
        assert (history.users(), history.problems) == ({key(1): FULL}, [])


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_dry_run_tells_of_a_corrupt_file_and_leaves_it(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    file = tmp_path / "state"
    filled(file)
    damage(file)
    corrupt = file.read_bytes()
    with opened(file, read_only=True) as history:
        assert history.users() == {}
        assert len(history.problems) == 1
    assert file.read_bytes() == corrupt
    assert [one.name for one in tmp_path.iterdir() if "corrupt" in one.name] == []


@pytest.mark.parametrize("seed", range(30))
def test_whatever_bytes_are_overwritten_the_run_goes_on(tmp_path: Path, seed: int) -> None:
    file, rng = tmp_path / "state", random.Random(seed)
    kept = filled(file)
    content = bytearray(file.read_bytes())
    for _ in range(rng.randint(1, 20)):
        at = rng.randrange(len(content))
        content[at : at + 8] = rng.randbytes(len(content[at : at + 8]))
    file.write_bytes(content)
    try:
        with opened(file) as history:
            passes = Passes(SmallWorld(1, 3), history)
            passes.run()
            assert set(history.users()) <= set(kept) | set(passes.world.users)
    except UsageError:
        # It was the name of its program, or of its tables, that was hit.
        assert file.read_bytes()[:16] == bytes(content)[:16]


KILLED = """
import os, sys
from pathlib import Path
sys.path[:0] = sys.argv[2].split(os.pathsep)
from test_store import FULL, key, opened
history = opened(Path(sys.argv[1]))
for number in range(int(sys.argv[3])):
    history.keep_users({key(number): FULL})
os._exit(9)
"""


def killed(file: Path, users: int) -> None:
    """Has a process write to the file and end without closing it."""
    here = os.pathsep.join(str(folder) for folder in Path(__file__).parents[:2])
    subprocess.run([sys.executable, "-c", KILLED, str(file), here, str(users)], check=False)
    assert file.with_name(file.name + "-wal").stat().st_size > 0


def test_what_a_killed_process_has_written_is_there(tmp_path: Path) -> None:
    killed(tmp_path / "state", 20)
    with opened(tmp_path / "state") as history:
        assert (len(history.users()), history.problems) == (20, [])


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_a_corrupt_wal_costs_the_newest_at_most(tmp_path: Path, suffix: str) -> None:
    filled(tmp_path / "state", 5)
    killed(tmp_path / "state", 20)
    overwrite(0.3, 0.9)(tmp_path / f"state{suffix}")
    with opened(tmp_path / "state") as history:
        assert 5 <= len(history.users()) <= 20
        history.keep_users({key(99): FULL})
        assert key(99) in history.users()
        assert history.problems == []


def test_the_wal_of_a_corrupt_file_is_not_played_into_the_new_one(tmp_path: Path) -> None:
    filled(tmp_path / "state")
    killed(tmp_path / "state", 5)
    overwrite(0, 1)(tmp_path / "state")
    with opened(tmp_path / "state") as history:
        assert history.users() == {}
        assert "was corrupt" in history.problems[0]
    with opened(tmp_path / "state") as history:
        assert (history.users(), history.problems) == ({}, [])


# Disks


def test_a_full_disk_is_told_and_nothing_is_sent_that_cannot_be_noted(tmp_path: Path) -> None:
    filled(tmp_path / "state", 50)
    with opened(tmp_path / "state") as history:
        assert history._connection is not None
        (pages,) = history._connection.execute("PRAGMA page_count").fetchone()
        history._connection.execute(f"PRAGMA max_page_count = {pages}")
        world = SmallWorld(1, 200, DOWN)
        world.goes_up()
        report = Passes(world, history).run()
        assert len(report.submissions) == 200
        failed = [one for one in report.submissions.values() if one.outcome is Outcome.FAILED]
        assert failed
        assert all("the write could not be noted" in (one.error or "") for one in failed)
        assert all(world.users[one.user].bgp_status is DOWN for one in failed)
        told = [note for note in report.notes if "could not be written (database or disk is full)" in note]
        assert len(told) == 1
        assert history.problems == told
    with opened(tmp_path / "state") as history:
        assert history.problems == []


@pytest.mark.parametrize("path", ["/proc/dzbgp/state", "/dev/null/state", "/proc/version/state"])
def test_a_file_that_can_not_be_made_is_told_and_stops_nothing(path: str) -> None:
    for read_only in (False, True):
        with opened(Path(path), read_only=read_only) as history:
            assert Passes(SmallWorld(1, 1), history).run().decisions
            assert read_only or "could not be opened" in history.problems[0]


def test_a_disk_that_fails_is_told_and_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(module, "connect", refuse)
    with opened(tmp_path / "state") as history:
        report = Passes(SmallWorld(1, 1), history).run()
    assert any("could not be opened" in note for note in report.notes)


def test_with_a_read_only_file_nothing_is_sent(tmp_path: Path) -> None:
    filled(tmp_path / "state", 5)
    with opened(tmp_path / "state") as history:
        assert history._connection is not None
        history._connection.execute("PRAGMA query_only = ON")
        world = SmallWorld(1, 1, DOWN)
        world.goes_up()
        report = Passes(world, history).run()
        assert world.user().bgp_status is DOWN
        [failed] = report.submissions.values()
        assert "the write could not be noted" in (failed.error or "")
        assert any(
            "could not be written (attempt to write a readonly database)" in note for note in report.notes
        )


def test_a_file_that_somebody_else_locks_is_told_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path / "state", 5)
    with opened(tmp_path / "state") as history:
        assert history._connection is not None
        history._connection.execute("PRAGMA busy_timeout = 10")
        other = sqlite3.connect(tmp_path / "state", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        history.keep_users({key(77): FULL})
        assert "database is locked" in history.problems[0]
        other.execute("ROLLBACK")
        other.close()
        history.keep_users({key(77): FULL})
        assert key(77) in history.users()


# Dry runs and secrets


def test_a_dry_run_changes_no_byte_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "state"
    world = SmallWorld(1, 20)
    with History.open(file, PROGRAM, clock=lambda: world.now) as history:
        Passes(world, history).run()
        world.goes_down(world.user(0).pubkey)
        Passes(world, history).run(write_mode=LOSE)
    before = file.read_bytes()
    world.goes_down()
    world.users.pop(world.user(5).pubkey)
    with History.open(file, PROGRAM, read_only=True, clock=lambda: world.now) as history:
        report = Passes(world, history, dry_run=True).run()
        assert (report.decisions[0].reason, report.decisions[1].reason) == ("in-flight", "changed")
        assert history.problems == []
    assert file.read_bytes() == before


def test_a_dry_run_makes_no_file(tmp_path: Path) -> None:
    with opened(tmp_path / "a" / "state", read_only=True) as history:
        Passes(SmallWorld(1, 1), history, dry_run=True).run()
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_reads_beside_a_run(tmp_path: Path) -> None:
    with opened(tmp_path / "state") as history:
        history.keep_users({key(1): FULL})
        with opened(tmp_path / "state", read_only=True) as reader:
            assert (reader.users(), reader.problems) == ({key(1): FULL}, [])


def test_what_a_run_did_is_in_its_line(tmp_path: Path) -> None:
    with opened(tmp_path / "state") as history:
        world = SmallWorld(1, 2, DOWN)
        world.goes_up()
        Passes(world, history).run(write_mode=FAIL)
        (run,) = history.runs()
    assert (run["users"], run["failed"], run["transactions"]) == (2, 2, 1)
    assert json.dumps(run)
