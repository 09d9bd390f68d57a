"""The state file as SQLite has it: its schema, how it is opened, and its rows."""

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from solders.pubkey import Pubkey

from dzbgp.errors import UsageError
from dzbgp.models.in_flight import InFlight
from dzbgp.models.ledger import BgpStatus
from dzbgp.models.memory import UserMemory

T = TypeVar("T")

MIGRATIONS = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE users (
        user TEXT PRIMARY KEY,
        device TEXT NOT NULL,
        seen_at REAL NOT NULL,
        up INTEGER NOT NULL,
        last_up_at REAL,
        down_since REAL,
        transitions TEXT NOT NULL,
        held_passes INTEGER NOT NULL,
        written_at REAL,
        written_slot INTEGER,
        written_status INTEGER,
        written_acknowledged INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE flights (
        signature TEXT PRIMARY KEY,
        last_valid_block_height INTEGER NOT NULL,
        sent_at REAL NOT NULL,
        outcome TEXT,
        ended_at REAL
    ) WITHOUT ROWID;
    CREATE TABLE flight_users (
        signature TEXT NOT NULL REFERENCES flights ON DELETE CASCADE,
        user TEXT NOT NULL,
        status INTEGER NOT NULL,
        PRIMARY KEY (signature, user)
    ) WITHOUT ROWID;
    CREATE INDEX flight_users_user ON flight_users (user);
    CREATE TABLE runs (
        id INTEGER PRIMARY KEY,
        started_at REAL NOT NULL,
        duration_s REAL NOT NULL,
        totals TEXT NOT NULL
    );
    """,
    "ALTER TABLE flights ADD COLUMN since_slot INTEGER NOT NULL DEFAULT 0;",
    """
    ALTER TABLE users ADD COLUMN held_since REAL;
    ALTER TABLE users ADD COLUMN held_at REAL;
    ALTER TABLE users ADD COLUMN first_seen_at REAL;
    ALTER TABLE users ADD COLUMN reported_slot INTEGER;
    """,
    """
    ALTER TABLE runs ADD COLUMN exit_code INTEGER;
    CREATE TABLE transitions (
        user TEXT NOT NULL,
        at REAL NOT NULL,
        device TEXT NOT NULL,
        up INTEGER NOT NULL,
        PRIMARY KEY (user, at)
    ) WITHOUT ROWID;
    CREATE TABLE holders (device TEXT PRIMARY KEY, pid INTEGER NOT NULL, since REAL NOT NULL) WITHOUT ROWID;
    """,
    """
    ALTER TABLE runs ADD COLUMN error TEXT;
    CREATE TABLE devices (device TEXT PRIMARY KEY, code TEXT NOT NULL, host TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE releases (user TEXT PRIMARY KEY, released_at REAL NOT NULL) WITHOUT ROWID;
    CREATE TABLE alarms (
        fleet TEXT NOT NULL,
        key TEXT NOT NULL,
        line TEXT NOT NULL,
        since REAL NOT NULL,
        said_at REAL NOT NULL,
        PRIMARY KEY (fleet, key)
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE known_keys (
        host TEXT NOT NULL,
        kind TEXT NOT NULL,
        key TEXT NOT NULL,
        since REAL NOT NULL,
        PRIMARY KEY (host, kind)
    ) WITHOUT ROWID;
    """,
    "ALTER TABLE users ADD COLUMN account TEXT;",
)
"""The schema, one step a version: PRAGMA user_version says how many of them a file has."""

USER_COLUMNS = (
    "user, device, seen_at, up, last_up_at, down_since, transitions, held_passes, written_at, written_slot, "
    "written_status, written_acknowledged, held_since, held_at, first_seen_at, reported_slot, account"
)
READ_USERS = f"SELECT {USER_COLUMNS} FROM users"  # noqa: S608 - a constant
_COLUMNS = USER_COLUMNS.split(", ")
_OF_WRITES = frozenset({"written_at", "written_slot", "written_status", "written_acknowledged"})
_NEWER_WRITE = (
    "users.device = excluded.device AND users.first_seen_at IS excluded.first_seen_at "
    "AND users.written_at > coalesce(excluded.written_at, 0)"
)
_WRITE_USER = f"INTO users ({USER_COLUMNS}) VALUES ({', '.join('?' * len(_COLUMNS))})"
REPLACE_USER = f"INSERT OR REPLACE {_WRITE_USER}"
KEEP_USER = f"INSERT {_WRITE_USER} ON CONFLICT (user) DO UPDATE SET " + ", ".join(
    f"{name} = CASE WHEN {_NEWER_WRITE} THEN users.{name} ELSE excluded.{name} END"
    if name in _OF_WRITES
    else f"{name} = excluded.{name}"
    for name in _COLUMNS[1:]
)
"""A write that was noted since the row was read stays noted: it may have ended while a pass looked at the devices."""
KEEP_WRITE = (
    "UPDATE users SET written_at = ?3, written_slot = ?4, written_status = ?5, written_acknowledged = ?6, "
    "reported_slot = max(coalesce(reported_slot, 0), ?4) WHERE user = ?1 AND device = ?2 "
    "AND (written_at IS NULL OR written_slot <= ?4 OR (written_slot IS NULL AND written_status = ?5))"
)
"""The result of a write, unless a later one is noted. Whatever else is known of the user may be newer than what the
writer knows of it."""
READ_FLIGHTS = (
    "SELECT signature, last_valid_block_height, since_slot, sent_at, user, status "
    "FROM flights JOIN flight_users USING (signature) "
    "WHERE outcome IS NULL OR outcome = 'confirmed' ORDER BY signature"
)
OPEN_FLIGHTS = (
    "SELECT signature FROM flight_users JOIN flights USING (signature) "
    "WHERE user = ? AND signature != ? AND outcome IS NULL"
)


def connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """Open the file and, if need be, bring its schema up to date; to read an older one only, a copy in memory is.

    Raises sqlite3.DatabaseError or OSError, and UsageError for another application's file.
    """
    if not read_only:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Nobody else may read it, from its first moment on; SQLite would make it as the umask says.
        with contextlib.suppress(FileExistsError):
            os.close(
                os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            )
    uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}"
    connection = sqlite3.connect(uri, uri=True, timeout=5, isolation_level=None, check_same_thread=False)
    # Bytes that are no text are for the reader of the row to refuse.
    connection.text_factory = lambda text: text.decode(errors="replace")
    try:
        _check(path, connection)
        connection.execute("PRAGMA foreign_keys = ON")
        if not read_only:
            connection.execute("PRAGMA journal_mode = WAL")
            # A power cut may cost the newest transactions, never the file: the chain knows what landed.
            connection.execute("PRAGMA synchronous = NORMAL")
            _migrate(connection)
        elif _version(connection) < len(MIGRATIONS):
            connection = _migrated_copy(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _check(path: Path, connection: sqlite3.Connection) -> None:
    found = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != ("ok",):
        raise sqlite3.DatabaseError(str(found[0]) if found else "no answer to quick_check")
    version = _version(connection)
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if tables and (version == 0 or "flight_users" not in tables):
        raise UsageError(
            f"--state {path}: it is another application's database; expected a file of dzbgp's own"
        )


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _migrated_copy(connection: sqlite3.Connection) -> sqlite3.Connection:
    copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    copy.text_factory = connection.text_factory
    with contextlib.closing(connection):
        connection.backup(copy)
    _migrate(copy)
    copy.execute("PRAGMA query_only = ON")
    return copy


def _migrate(connection: sqlite3.Connection) -> None:
    version = _version(connection)
    if version > len(MIGRATIONS):
        raise sqlite3.OperationalError(
            f"its schema is version {version}, this dzbgp knows {len(MIGRATIONS)}: a newer one wrote it"
        )
    for number, script in enumerate(MIGRATIONS[version:], version + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {number}; COMMIT;")


def flight_user(row: tuple[Any, ...]) -> tuple[InFlight, Pubkey, BgpStatus]:
    """Return a transaction without its users, and one of these. Raises ValueError or TypeError as `memory_of`."""
    sent = InFlight(str(row[0]), int(row[1]), {}, int(row[2]), float(row[3]))
    return sent, Pubkey.from_string(row[4]), BgpStatus(row[5])


def memory_of(row: tuple[Any, ...]) -> UserMemory:
    """Return what a row of READ_USERS says. Raises ValueError or TypeError for one that was not written so."""
    Pubkey.from_string(row[0])
    return UserMemory(
        device=Pubkey.from_string(row[1]),
        seen_at=float(row[2]),
        up=bool(row[3]),
        last_up_at=_optional(float, row[4]),
        down_since=_optional(float, row[5]),
        transitions=tuple(map(float, json.loads(row[6]))),
        held_passes=int(row[7]),
        written_at=_optional(float, row[8]),
        written_slot=_optional(int, row[9]),
        written_status=None if row[10] is None else BgpStatus(row[10]),
        written_acknowledged=bool(row[11]),
        held_since=_optional(float, row[12]),
        held_at=_optional(float, row[13]),
        first_seen_at=_optional(float, row[14]),
        reported_slot=_optional(int, row[15]),
        account=_optional(str, row[16]),
    )


def transitions_of(user: Pubkey, memory: UserMemory) -> list[tuple[str, float, str, int]]:
    """Return the rows of the transitions that are remembered: each turns the state before it around."""
    last = len(memory.transitions) - 1
    return [
        (str(user), at, str(memory.device), int(memory.up == ((last - number) % 2 == 0)))
        for number, at in enumerate(memory.transitions)
    ]


def _optional(kind: Callable[[Any], T], value: Any) -> T | None:
    return None if value is None else kind(value)


def write_row_of(user: Pubkey, memory: UserMemory) -> tuple[Any, ...]:
    """Return the values of KEEP_WRITE."""
    return (
        str(user),
        str(memory.device),
        memory.written_at,
        memory.written_slot,
        None if memory.written_status is None else int(memory.written_status),
        int(memory.written_acknowledged),
    )


def row_of(user: Pubkey, memory: UserMemory) -> tuple[Any, ...]:
    """Return the values of USER_COLUMNS."""
    return (
        str(user),
        str(memory.device),
        memory.seen_at,
        int(memory.up),
        memory.last_up_at,
        memory.down_since,
        json.dumps(memory.transitions),
        memory.held_passes,
        memory.written_at,
        memory.written_slot,
        None if memory.written_status is None else int(memory.written_status),
        int(memory.written_acknowledged),
        memory.held_since,
        memory.held_at,
        memory.first_seen_at,
        memory.reported_slot,
        memory.account,
    )
