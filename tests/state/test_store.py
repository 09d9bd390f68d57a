"""The state file: what it keeps, and what it survives."""

import contextlib
import errno
import os
import random
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from core_builders import key, make_device
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import fields, replace
from nobody import as_nobody, open_directory
from small_world import DOWN, FAIL, LOSE, PROGRAM, UP, Passes, SmallWorld
from solders.pubkey import Pubkey

from dzbgp.errors import JournalError, StateLockedError, UsageError
from dzbgp.models.in_flight import Fate, InFlight
from dzbgp.models.ledger import BgpStatus, Sighting
from dzbgp.models.memory import UserMemory
from dzbgp.models.session import DeviceReading, DeviceResult
from dzbgp.models.submission import Outcome
from dzbgp.state import database as database_module
from dzbgp.state import store as module
from dzbgp.state.past import open_past
from dzbgp.state.records import devices, passes, transitions, writes
from dzbgp.state.schema import MIGRATIONS, READ_FLIGHTS, READ_USERS
from dzbgp.state.store import Store

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
    account=st.none() | st.text(st.characters(codec="ascii")),
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
    account="1 500 169.254.0.0/31",
)


def opened(file: Path, *, read_only: bool = False) -> Store:
    return Store.open(file, PROGRAM, clock=lambda: 1_000_000.0, read_only=read_only)


def filled(file: Path, users: int = 500) -> dict[Pubkey, UserMemory]:
    """Make a closed state file of many pages, and return its content."""
    kept = {key(number): replace(FULL, seen_at=float(number)) for number in range(users)}
    with opened(file) as store:
        store.keep_users(kept)
        store.sent(InFlight("flight", 10, {key(1): UP}))
        store.end_run(1.0, 2.0, {"users": users})
    return kept


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(keys, memories, max_size=5))
def test_every_field_of_a_memory_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, kept: dict[Pubkey, UserMemory]
) -> None:
    file = tmp_path_factory.mktemp("store") / "state"
    with opened(file) as store:
        store.keep_users(kept)
        assert store.users() == kept
    with opened(file) as store:
        assert store.users() == kept
        assert store.problems == []


def test_the_example_has_no_field_left_at_its_default() -> None:
    assert all(getattr(FULL, one.name) != one.default for one in fields(UserMemory))


def test_a_missing_file_starts_fresh_in_a_directory_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "a" / "b" / "state.sqlite"
    with opened(file) as store:
        assert (store.users(), store.in_flight(), passes(store), store.problems) == ({}, [], [], [])
    assert file.stat().st_mode & 0o777 == 0o600


def test_an_empty_file_starts_fresh(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with opened(tmp_path / "state", read_only=True) as store:
        assert (store.users(), store.problems) == ({}, [])
    with opened(tmp_path / "state") as store:
        store.keep_users({key(1): FULL})
        assert (store.users(), store.problems) == ({key(1): FULL}, [])


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
    with opened(tmp_path / "state") as store:
        assert store.users() == kept
        assert store.problems == []
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
        with opened(tmp_path / "state") as store:
            assert len(store.problems) == 1
    with opened(tmp_path / "state") as store:
        assert (store.users(), store.problems) == (kept, [])


def test_a_file_of_a_future_version_is_left_alone_and_told(tmp_path: Path) -> None:
    filled(tmp_path / "state")
    database = sqlite3.connect(tmp_path / "state")
    database.execute("PRAGMA user_version = 99")
    database.close()
    before = (tmp_path / "state").read_bytes()
    with opened(tmp_path / "state") as store:
        store.keep_users({key(1): FULL})
        assert store.users() == {}
        assert re.search("its schema is version 99, this dzbgp knows [0-9]: a newer", store.problems[0])
    assert (tmp_path / "state").read_bytes() == before


def test_a_file_of_another_program_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    filled(tmp_path / "state")
    for read_only in (False, True):
        with pytest.raises(
            UsageError, match=f"it belongs to program {PROGRAM}; expected that of {key(8)}"
        ) as caught:
            Store.open(tmp_path / "state", key(8), read_only=read_only)
        assert caught.value.exit_code == 2
    with opened(tmp_path / "state") as store:
        assert len(store.users()) == 500


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
    with opened(tmp_path / "state") as store:
        store.sent(InFlight("one", 10, {key(1): UP, key(2): DOWN}, 7))
        store.sent(InFlight("two", 11, {key(3): DOWN}, 8))
    with opened(tmp_path / "state") as store:
        assert store.in_flight() == [
            InFlight("one", 10, {key(1): UP, key(2): DOWN}, 7, 1_000_000.0),
            InFlight("two", 11, {key(3): DOWN}, 8, 1_000_000.0),
        ]
        store.ended("one", Fate.CONFIRMED)
        assert len(store.in_flight()) == 2, "a fork can undo it"
        store.ended("one", Fate.FINALIZED)
        assert [one.signature for one in store.in_flight()] == ["two"]


def test_forgetting_a_user_keeps_what_was_sent_for_it_until_its_fate_is_known(tmp_path: Path) -> None:
    with opened(tmp_path / "state") as store:
        store.keep_users({key(1): FULL, key(2): FULL})
        store.sent(InFlight("one", 10, {key(1): UP, key(2): DOWN}))
        store.forget_users([key(1), key(9)])
        assert set(store.users()) == {key(2)}
        assert [one.users for one in store.in_flight()] == [{key(1): UP, key(2): DOWN}]
        store.ended("one", Fate.EXPIRED)
        assert store.in_flight() == []


@pytest.mark.parametrize("fate", [Fate.CONFIRMED, Fate.FINALIZED])
def test_a_write_that_landed_is_ours_even_when_the_run_is_killed_before_it_says_more(
    tmp_path: Path, fate: Fate
) -> None:
    with opened(tmp_path / "state") as store:
        store.keep_users({key(1): FULL, key(2): FULL})
        store.sent(InFlight("one", 10, {key(1): UP}))
        store.ended("one", fate)
        wanted = replace(
            FULL, written_at=1_000_000.0, written_slot=None, written_status=UP, written_acknowledged=False
        )
        assert store.users() == {key(1): wanted, key(2): FULL}


@pytest.mark.parametrize("fate", [Fate.REJECTED, Fate.EXPIRED, Fate.REFUSED])
def test_a_write_that_never_landed_changes_nothing_that_is_known_of_its_user(
    tmp_path: Path, fate: Fate
) -> None:
    with opened(tmp_path / "state") as store:
        store.keep_users({key(1): FULL})
        store.sent(InFlight("one", 10, {key(1): UP}))
        store.ended("one", fate)
        assert store.users() == {key(1): FULL}


def test_passes_and_what_has_ended_are_kept_bounded_and_what_is_in_flight_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PASSES_KEPT", 5)
    now = 0.0
    with Store.open(tmp_path / "state", PROGRAM, clock=lambda: now) as store:
        for number in range(20):
            now = number * 5 * 86_400.0
            store.keep_users({key(number): replace(FULL, transitions=(now,))})
            store.sent(InFlight(f"landed-{number}", 1, {key(number): UP}))
            store.ended(f"landed-{number}", Fate.FINALIZED)
            store.sent(InFlight(f"never told-{number}", 1, {key(number): UP}))
            store.end_run(now, 1.0, {"number": number}, 3)
        assert [(one.totals["number"], one.exit_code) for one in passes(store)] == [
            (number, 3) for number in range(15, 20)
        ]
        assert len(store.in_flight()) == 20
        assert len(transitions(store)) == 7
        assert sum(one.fate is Fate.FINALIZED for one in writes(store)) == 7


def test_a_file_of_an_older_version_is_read_as_it_is_and_not_changed(tmp_path: Path) -> None:
    file = tmp_path / "state"
    database = sqlite3.connect(file, isolation_level=None)
    database.executescript(MIGRATIONS[0] + "PRAGMA user_version = 1;")
    database.close()
    before = file.read_bytes()
    with opened(file, read_only=True) as store:
        assert (store.users(), store.releases(), passes(store), store.problems) == ({}, {}, [], [])
    assert file.read_bytes() == before


def test_a_pass_is_kept_with_its_error_and_the_names_of_its_devices(tmp_path: Path) -> None:
    with opened(tmp_path / "state") as store:
        readings = [DeviceReading(f"host{number}", DeviceResult.OK, make_device(number)) for number in (1, 2)]
        store.end_run(1.0, 2.0, {"users": 1}, 3, readings)
        store.end_run(5.0, 2.0, {}, 1, error="RPC x: no answer")
        renamed = DeviceReading("other", DeviceResult.OK, make_device(1))
        store.end_run(6.0, 2.0, {}, 0, [renamed])
        known = {key: (one.code, one.host) for key, one in devices(store).items()}
        assert known == {
            make_device(1).pubkey: (make_device(1).code, "other"),
            make_device(2).pubkey: (make_device(2).code, "host2"),
        }
        assert [(one.exit_code, one.error) for one in passes(store)] == [
            (3, None),
            (1, "RPC x: no answer"),
            (0, None),
        ]


def test_threads_may_share_it(tmp_path: Path) -> None:
    with opened(tmp_path / "state") as store:

        def work(start: int) -> None:
            for number in range(start, start + 25):
                store.keep_users({key(number): FULL})
                store.sent(InFlight(str(number), 1, {key(number): UP}))

        threads = [threading.Thread(target=work, args=(start,)) for start in (100, 200, 300, 400)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(store.users()), len(store.in_flight()), store.problems) == (100, 100, [])


# Corrupt files


def cut(share: float) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        content = file.read_bytes()
        file.write_bytes(content[: int(len(content) * share)])

    return damage


def overwrite(start: float, end: float) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        content = bytearray(file.read_bytes())
        # Without its header it would look like another program's file.
        a, b = max(16, int(len(content) * start)), int(len(content) * end)
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


DAMAGES: dict[str, Callable[[Path], None]] = {
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
    with opened(file) as store:
        assert store.users() == {}
        assert len(store.problems) == 1
        assert "was corrupt: it was moved to" in store.problems[0]
        store.keep_users({key(1): FULL})
    assert f"{file} is corrupt" in caplog.text
    assert (tmp_path / "state.corrupt-1000000").read_bytes() == corrupt
    with opened(file) as store:
        assert (store.users(), store.problems) == ({key(1): FULL}, [])


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_dry_run_tells_of_a_corrupt_file_and_leaves_it(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    file = tmp_path / "state"
    filled(file)
    damage(file)
    corrupt = file.read_bytes()
    with opened(file, read_only=True) as store:
        assert store.users() == {}
        assert len(store.problems) == 1
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
        with opened(file) as store:
            passes = Passes(SmallWorld(1, 3), store)
            passes.run()
            assert set(store.users()) <= set(kept) | set(passes.world.users)
    except UsageError:
        # It was the name of its program, or of its tables, that was hit.
        assert file.read_bytes()[:16] == bytes(content)[:16]


KILLED = """
import os, sys
from pathlib import Path
sys.path[:0] = sys.argv[2].split(os.pathsep)
from test_store import FULL, key, opened
store = opened(Path(sys.argv[1]))
for number in range(int(sys.argv[3])):
    store.keep_users({key(number): FULL})
os._exit(9)
"""


def killed(file: Path, users: int) -> None:
    """Has a process write to the file and end without closing it."""
    here = os.pathsep.join(str(folder) for folder in Path(__file__).parents[:2])
    subprocess.run([sys.executable, "-c", KILLED, str(file), here, str(users)], check=False)
    assert file.with_name(file.name + "-wal").stat().st_size > 0


def test_what_a_killed_process_has_written_is_there(tmp_path: Path) -> None:
    killed(tmp_path / "state", 20)
    with opened(tmp_path / "state") as store:
        assert (len(store.users()), store.problems) == (20, [])


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_a_corrupt_wal_costs_the_newest_at_most(tmp_path: Path, suffix: str) -> None:
    filled(tmp_path / "state", 5)
    killed(tmp_path / "state", 20)
    overwrite(0.3, 0.9)(tmp_path / f"state{suffix}")
    with opened(tmp_path / "state") as store:
        assert 5 <= len(store.users()) <= 20
        store.keep_users({key(99): FULL})
        assert key(99) in store.users()
        assert store.problems == []


def test_the_wal_of_a_corrupt_file_is_not_played_into_the_new_one(tmp_path: Path) -> None:
    filled(tmp_path / "state")
    killed(tmp_path / "state", 5)
    overwrite(0, 1)(tmp_path / "state")
    with opened(tmp_path / "state") as store:
        assert store.users() == {}
        assert "was corrupt" in store.problems[0]
    with opened(tmp_path / "state") as store:
        assert (store.users(), store.problems) == ({}, [])


# Disks


def test_a_full_disk_is_told_and_nothing_is_sent_that_cannot_be_noted(tmp_path: Path) -> None:
    filled(tmp_path / "state", 50)
    with opened(tmp_path / "state") as store:
        assert store.database.connection is not None
        (pages,) = store.database.connection.execute("PRAGMA page_count").fetchone()
        store.database.connection.execute(f"PRAGMA max_page_count = {pages}")
        world = SmallWorld(1, 200, DOWN)
        world.goes_up()
        report = Passes(world, store).run()
        assert len(report.submissions) == 200
        failed = [one for one in report.submissions.values() if one.outcome is Outcome.FAILED]
        assert failed
        assert all("the write could not be recorded" in (one.error or "") for one in failed)
        assert all(world.users[one.user].bgp_status is DOWN for one in failed)
        told = [note for note in report.notes if "could not be written (database or disk is full)" in note]
        assert len(told) == 1
        assert store.problems == told
    with opened(tmp_path / "state") as store:
        assert store.problems == []


@pytest.mark.parametrize("path", ["/proc/dzbgp/state", "/dev/null/state", "/proc/version/state"])
def test_a_file_that_cannot_be_made_is_told_and_stops_no_reading(path: str) -> None:
    for read_only in (False, True):
        with opened(Path(path), read_only=read_only) as store:
            assert Passes(SmallWorld(1, 1), store).run().decisions
            assert read_only or "could not be opened" in store.problems[0]


def test_a_disk_that_fails_is_told_and_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(database_module, "connect", refuse)
    with opened(tmp_path / "state") as store:
        report = Passes(SmallWorld(1, 1), store).run()
    assert any("could not be opened" in note for note in report.notes)


@contextlib.contextmanager
def unreadable(store: Store, query: str) -> Iterator[None]:
    found = store.database.found
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            store.database, "found", lambda asked, *values: None if asked == query else found(asked, *values)
        )
        yield


def test_a_file_that_cannot_be_read_for_a_moment_does_not_hide_what_is_in_flight(tmp_path: Path) -> None:
    world = SmallWorld()
    world.goes_down()
    with Store.open(tmp_path / "state", PROGRAM, clock=lambda: world.now) as history:
        passes = Passes(world, history)
        passes.run(write_mode=LOSE)
        world.wait(10)
        with unreadable(history, READ_FLIGHTS):
            [failed] = passes.run().submissions.values()
        assert failed.outcome is Outcome.FAILED
        assert "what earlier passes noted could not be read" in (failed.error or "")
        assert passes.reason() == "in-flight"


def test_a_file_that_cannot_be_read_for_a_moment_keeps_what_it_knows_of_users(tmp_path: Path) -> None:
    world = SmallWorld()
    with Store.open(tmp_path / "state", PROGRAM, clock=lambda: world.now) as history:
        Passes(world, history).run()
        world.wait(60)
        world.goes_away()
        with unreadable(history, READ_USERS):
            passes = Passes(world, history, down_grace_period_s=600.0)
            [failed] = passes.run().submissions.values()
        assert "what earlier passes noted could not be read" in (failed.error or "")
        assert passes.reason() == "grace"


def test_with_a_read_only_file_nothing_is_sent(tmp_path: Path) -> None:
    filled(tmp_path / "state", 5)
    with opened(tmp_path / "state") as store:
        assert store.database.connection is not None
        store.database.connection.execute("PRAGMA query_only = ON")
        world = SmallWorld(1, 1, DOWN)
        world.goes_up()
        report = Passes(world, store).run()
        assert world.user().bgp_status is DOWN
        [failed] = report.submissions.values()
        assert "the write could not be recorded" in (failed.error or "")
        assert any(
            "could not be written (attempt to write a readonly database)" in note for note in report.notes
        )


def test_a_file_that_somebody_else_locks_is_told_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path / "state", 5)
    with opened(tmp_path / "state") as store:
        assert store.database.connection is not None
        store.database.connection.execute("PRAGMA busy_timeout = 10")
        other = sqlite3.connect(tmp_path / "state", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        store.keep_users({key(77): FULL})
        assert "database is locked" in store.problems[0]
        other.execute("ROLLBACK")
        other.close()
        store.keep_users({key(77): FULL})
        assert key(77) in store.users()


# Dry runs and secrets


def test_a_dry_run_changes_no_byte_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "state"
    world = SmallWorld(1, 20)
    with Store.open(file, PROGRAM, clock=lambda: world.now) as store:
        Passes(world, store).run()
        world.goes_down(world.user(0).pubkey)
        Passes(world, store).run(write_mode=LOSE)
    before = file.read_bytes()
    world.goes_down()
    world.users.pop(world.user(5).pubkey)
    with Store.open(file, PROGRAM, read_only=True, clock=lambda: world.now) as store:
        report = Passes(world, store, dry_run=True).run()
        assert (report.decisions[0].reason, report.decisions[1].reason) == ("in-flight", "changed")
        assert store.problems == []
    assert file.read_bytes() == before


def test_a_dry_run_makes_no_file(tmp_path: Path) -> None:
    with opened(tmp_path / "a" / "state", read_only=True) as store:
        Passes(SmallWorld(1, 1), store, dry_run=True).run()
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_reads_beside_a_run(tmp_path: Path) -> None:
    with opened(tmp_path / "state") as store:
        store.keep_users({key(1): FULL})
        with opened(tmp_path / "state", read_only=True) as reader:
            assert (reader.users(), reader.problems) == ({key(1): FULL}, [])


def test_what_a_run_did_is_in_its_line(tmp_path: Path) -> None:
    with opened(tmp_path / "state") as store:
        world = SmallWorld(1, 2, DOWN)
        world.goes_up()
        Passes(world, store).run(write_mode=FAIL)
        (run,) = passes(store)
    assert (run.totals["users"], run.totals["failed"], run.totals["transactions"]) == (2, 2, 1)
    assert run.exit_code == 3


# The ledger that it belongs to


def of_ledger(file: Path, genesis_hash: str | None, *, read_only: bool = False) -> Store:
    return Store.open(file, PROGRAM, genesis_hash, read_only=read_only, clock=lambda: 1_000_000.0)


def test_another_genesis_hash_is_another_ledger_with_a_file_of_its_own_which_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "state"
    with of_ledger(file, "GenesisA" * 5) as store:
        store.keep_users({key(1): FULL})
    for _ in range(2):
        with of_ledger(file, "GenesisB" * 5) as store:
            assert store.users().keys() <= {key(2)}
            store.keep_users({key(2): FULL})
    assert caplog.text.count("belongs to the ledger with genesis hash GenesisAGenesisA") == 1
    with of_ledger(file, "GenesisB" * 5, read_only=True) as store:
        assert store.users().keys() == {key(2)}
    with of_ledger(file, "GenesisA" * 5) as store:
        assert store.users().keys() == {key(1)}


def test_a_file_from_before_genesis_hashes_were_noted_belongs_to_the_ledger_that_comes_first(
    tmp_path: Path,
) -> None:
    with of_ledger(tmp_path / "state", None) as store:
        store.keep_users({key(1): FULL})
    with of_ledger(tmp_path / "state", "GenesisA") as store:
        assert store.users().keys() == {key(1)}
    with of_ledger(tmp_path / "state", "GenesisB") as store:
        assert store.users() == {}
    with of_ledger(tmp_path / "state", "GenesisA") as store:
        assert store.users().keys() == {key(1)}


def test_who_does_not_know_the_ledger_gets_the_file_of_the_one_that_was_used_last(tmp_path: Path) -> None:
    file, ticks = tmp_path / "state", count(2_000_000.0)

    def users_of(genesis_hash: str | None, *, read_only: bool = False) -> set[Pubkey]:
        with Store.open(file, PROGRAM, genesis_hash, read_only=read_only, clock=lambda: next(ticks)) as store:
            return set(store.users())

    for number, genesis_hash in enumerate(("GenesisA", "GenesisB", "GenesisC"), 1):
        with of_ledger(file, genesis_hash) as store:
            store.keep_users({key(number): FULL})
    for number, genesis_hash in ((2, "GenesisB"), (1, "GenesisA"), (3, "GenesisC")):
        assert users_of(genesis_hash) == {key(number)}
        # To look at another ledger's file is not to use it.
        assert users_of("GenesisA", read_only=True) == {key(1)}
        assert users_of(None, read_only=True) == users_of(None) == {key(number)}


def test_what_shows_the_past_shows_that_of_the_ledger_that_a_run_used_last(tmp_path: Path) -> None:
    file = tmp_path / "state"
    for number, genesis_hash in enumerate(("GenesisA", "GenesisB"), 1):
        with of_ledger(file, genesis_hash) as store:
            store.keep_users({key(number): FULL})
    with open_past(file, PROGRAM, read_only=True) as store:
        assert store.users().keys() == {key(2)}
    with open_past(file, PROGRAM, read_only=False) as store:
        assert store.release([key(2)])
    with of_ledger(file, "GenesisB") as store:
        assert store.releases().keys() == {key(2)}


def test_a_copy_of_a_state_file_with_a_name_like_that_of_a_later_ledger_is_not_taken_for_one(
    tmp_path: Path,
) -> None:
    file = tmp_path / "state"
    with of_ledger(file, "GenesisA") as store:
        store.keep_users({key(1): FULL})
    (tmp_path / "state.previous").write_bytes(file.read_bytes())
    (tmp_path / "state.notaBase").write_text("no database")
    (tmp_path / "state.emptyone").touch()
    with of_ledger(file, "GenesisA") as store:
        store.keep_users({key(2): FULL})
    with of_ledger(file, None) as store:
        assert store.users().keys() == {key(1), key(2)}


def test_the_floor_only_rises_and_outlives_the_run(tmp_path: Path) -> None:
    with opened(tmp_path / "state") as store:
        assert store.floor() is None
        store.raise_floor(Sighting(100, 5.5))
        store.raise_floor(Sighting(99, 6.5))
    with opened(tmp_path / "state") as store:
        assert store.floor() == Sighting(100, 5.5)
        store.raise_floor(Sighting(101, 7.25, 8.5))
    with Store.open(tmp_path / "state", PROGRAM, read_only=True) as store:
        assert store.floor() == Sighting(101, 7.25, 8.5)


def test_a_floor_that_is_seen_again_after_the_clock_was_set_back_is_of_the_earlier_time(
    tmp_path: Path,
) -> None:
    with opened(tmp_path / "state") as store:
        store.raise_floor(Sighting(100, 5.5, 8.5))
        store.raise_floor(Sighting(100, 6.5, 9.5))
        assert store.floor() == Sighting(100, 5.5, 8.5)
        store.raise_floor(Sighting(100, 4.5, 8.5))
        assert store.floor() == Sighting(100, 4.5, 8.5)


def test_a_run_that_notes_a_lower_floor_at_the_same_moment_does_not_lower_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path / "state") as first, opened(tmp_path / "state") as second:
        first.raise_floor(Sighting(100, 5.5))
        write = first.database.write

        def write_later(change: Callable[[sqlite3.Connection], object]) -> bool:
            second.raise_floor(Sighting(110, 7.5))
            return write(change)

        monkeypatch.setattr(first.database, "write", write_later)
        first.raise_floor(Sighting(105, 6.5))
        assert first.floor() == Sighting(110, 7.5)


def test_a_floor_that_was_noted_without_a_genesis_hash_is_not_that_of_the_first_ledger_that_has_one(
    tmp_path: Path,
) -> None:
    with of_ledger(tmp_path / "state", None) as store:
        store.raise_floor(Sighting(100, 5.5))
    with of_ledger(tmp_path / "state", None) as store:
        assert store.floor() == Sighting(100, 5.5)
    with of_ledger(tmp_path / "state", "GenesisA") as store:
        assert store.floor() is None
        store.raise_floor(Sighting(50, 6.5))
    with of_ledger(tmp_path / "state", None) as store:
        assert store.floor() == Sighting(50, 6.5)
    with of_ledger(tmp_path / "state", "GenesisA") as store:
        assert store.floor() == Sighting(50, 6.5)


# Runs side by side


def test_an_overlapping_run_is_refused_by_the_name_of_a_device_and_the_pid(tmp_path: Path) -> None:
    with opened(tmp_path / "state") as first, opened(tmp_path / "state") as second:
        first.hold({key(1): "ams-1", key(2): "fra-1"})
        second.hold({key(3): "nyc-1"})
        assert second._locks is not None
        second._locks._wait_s = 0
        since = "1970-01-12T13:46:40+00:00"
        with pytest.raises(
            StateLockedError,
            match=re.escape(f"another run writes for fra-1: pid {os.getpid()}, since {since}"),
        ) as caught:
            second.hold({key(2): "fra-1", key(3): "nyc-1"})
        assert caught.value.exit_code == 1
        with opened(tmp_path / "state", read_only=True) as dry:
            assert not dry.hold({key(1): "ams-1"})
        first.close()
        second.hold({key(2): "fra-1"})


def test_since_when_a_device_is_held_is_told_of_the_run_that_holds_it_not_of_an_earlier_one_with_its_pid(
    tmp_path: Path,
) -> None:
    with opened(tmp_path / "state") as first:
        first.hold({key(1): "ams-1"})
    # In a container every run has the same pid.
    with (
        Store.open(tmp_path / "state", PROGRAM, clock=lambda: 2_000_000.0) as second,
        opened(tmp_path / "state") as third,
    ):
        second.hold({key(1): "ams-1"})
        assert third._locks is not None
        third._locks._wait_s = 0
        with pytest.raises(StateLockedError, match=re.escape("since 1970-01-24T03:33:20+00:00")):
            third.hold({key(1): "ams-1"})


def test_what_another_run_wrote_before_a_device_was_held_makes_what_was_read_stale(tmp_path: Path) -> None:
    with opened(tmp_path / "state") as first, opened(tmp_path / "state") as second:
        second.users()
        assert not second.hold({key(1): "ams-1"})
        first.keep_users({key(5): FULL})
        # Of devices that are held anyway nobody else has written.
        assert not second.hold({key(1): "ams-1"})
        assert second.hold({key(1): "ams-1", key(2): "fra-1"})
        assert second.users().keys() == {key(5)}
        assert not second.hold({key(1): "ams-1", key(3): "nyc-1"})


def test_nothing_is_noted_for_sending_after_another_run_took_a_device_whose_lock_file_was_removed(
    tmp_path: Path,
) -> None:
    with opened(tmp_path / "state") as first:
        first.hold({key(1): "ams-1"})
        (tmp_path / "state.lock").unlink()
        first.sent(InFlight("held again", 10, {key(1): UP}))
        (tmp_path / "state.lock").unlink()
        with opened(tmp_path / "state") as second:
            second.hold({key(1): "ams-1"})
            with pytest.raises(JournalError, match="its lock file was removed, and another run writes"):
                first.sent(InFlight("refused", 10, {key(1): UP}))
            assert [one.signature for one in second.in_flight()] == ["held again"]


def test_nothing_more_is_noted_for_sending_after_another_run_wrote_while_the_lock_file_was_gone(
    tmp_path: Path,
) -> None:
    with opened(tmp_path / "state") as first:
        first.users()
        first.hold({key(1): "ams-1"})
        (tmp_path / "state.lock").unlink()
        with opened(tmp_path / "state") as second:
            second.hold({key(1): "ams-1"})
            second.sent(InFlight("by another", 10, {key(1): UP}))
        for _ in range(2):
            with pytest.raises(
                JournalError, match="its lock file was removed, and another run wrote meanwhile"
            ):
                first.sent(InFlight("refused", 10, {key(1): UP}))
        assert first.hold({key(1): "ams-1"}), "what was read is stale"
        first.users()
        assert not first.hold({key(1): "ams-1"})
        first.sent(InFlight("with that in mind", 10, {key(2): UP}))
        assert [one.signature for one in first.in_flight()] == ["by another", "with that in mind"]


def test_of_a_user_whose_last_transaction_has_no_fate_no_other_is_noted_for_sending(tmp_path: Path) -> None:
    with opened(tmp_path / "state") as store:
        store.sent(InFlight("first", 10, {key(1): UP, key(2): UP}))
        store.sent(InFlight("first", 10, {key(1): UP, key(2): UP}))
        why = f"an earlier write of user {key(2)} may still land (first)"
        with pytest.raises(JournalError, match=re.escape(why)):
            store.sent(InFlight("second", 10, {key(3): UP, key(2): DOWN}))
        store.ended("first", Fate.EXPIRED)
        store.sent(InFlight("third", 10, {key(3): UP, key(2): DOWN}))
        assert [one.signature for one in store.in_flight()] == ["third"]
        assert not store.problems


def test_where_nothing_can_be_locked_no_lock_file_is_said_to_be_removed(tmp_path: Path) -> None:
    (tmp_path / "state.lock").symlink_to("elsewhere")
    with opened(tmp_path / "state") as first, opened(tmp_path / "state") as second:
        first.users()
        first.hold({key(1): "ams-1"})
        second.hold({key(2): "fra-1"})
        second.sent(InFlight("by another", 10, {key(2): UP}))
        assert not first.hold({key(1): "ams-1"})
        first.sent(InFlight("ours", 10, {key(1): UP}))
        assert [one.signature for one in first.in_flight()] == ["by another", "ours"]


# Files of other programs


@pytest.mark.parametrize("content", [b"[1, 2, 3]", b"not a database" * 500, b"SQLite format 3"])
@pytest.mark.parametrize("read_only", [False, True])
def test_only_a_file_with_the_header_of_sqlite_is_ever_moved(
    tmp_path: Path, content: bytes, read_only: bool
) -> None:
    file = tmp_path / "id.json"
    file.write_bytes(content)
    with pytest.raises(UsageError, match="it is not a state file"):
        opened(file, read_only=read_only)
    assert file.read_bytes() == content
    assert {one.name for one in tmp_path.iterdir()} <= {"id.json", "id.json.lock"}


# What later commands tell of the past


def test_transitions_and_writes_are_told_for_a_user_and_a_time(tmp_path: Path) -> None:
    with opened(tmp_path / "state") as store:
        memory = replace(FULL, up=False, transitions=(10.0, 20.0))
        store.keep_users({key(5): memory, key(6): FULL})
        store.keep_users({key(5): replace(memory, up=True, transitions=(20.0, 30.0))})
        told = [(one.at, one.is_up) for one in transitions(store, user=key(5))]
        assert told == [(10.0, True), (20.0, False), (30.0, True)]
        assert [one.user for one in transitions(store, since=25.0)] == [key(5)]
        store.sent(InFlight("one", 10, {key(5): DOWN, key(6): UP}))
        store.ended("one", Fate.FINALIZED)
        store.sent(InFlight("two", 10, {key(5): UP}))
        sent = [(one.user, one.status, one.signature, one.fate) for one in writes(store)]
        assert sent == sorted(
            [
                (key(5), DOWN, "one", Fate.FINALIZED),
                (key(6), UP, "one", Fate.FINALIZED),
                (key(5), UP, "two", Fate.PENDING),
            ],
            key=lambda one: (str(one[0]), one[2]),
        )
        assert [one.signature for one in writes(store, user=key(6))] == ["one"]
        assert writes(store, since=2_000_000.0) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can write for another account")
def test_root_releases_in_the_file_of_another_account_which_can_still_write_it() -> None:
    with open_directory(0o777) as directory:
        file = directory / "state.sqlite"

        def write() -> str:
            with opened(file) as store:
                released = len(store.releases())
                store.end_run(1.0, 2.0, {}, 0)
                return f"{len(passes(store))} passes, {released} released"

        assert as_nobody(write) == "1 passes, 0 released"
        with opened(file) as store:
            assert store.release([key(1)])
            # While root has it open, as a watch that runs would see it.
            assert as_nobody(write) == "2 passes, 1 released"
        assert as_nobody(write).startswith("3 passes")
