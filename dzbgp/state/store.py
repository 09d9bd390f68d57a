"""What must outlive a run, in one SQLite file. The chain stays the memory: a run without history is correct.

So nothing here may stop a run: a file that is corrupt is moved aside, and what can not be read or written is a
problem to be reported (`problems`), no exception. Every change is one transaction; killed at any point, a run leaves
the file as it was before or after it.
"""

import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from solders.pubkey import Pubkey

from dzbgp.errors import JournalError, UsageError
from dzbgp.models.decision import UserMemory
from dzbgp.models.in_flight import Fate, InFlight
from dzbgp.models.ledger import BgpStatus
from dzbgp.state.schema import (
    READ_FLIGHTS,
    READ_USERS,
    USER_COLUMNS,
    connect,
    flight_user,
    memory_of,
    row_of,
)

log = logging.getLogger(__name__)

RUNS_KEPT = 1000
FLIGHTS_KEPT_S = 24 * 3600.0


class History:
    """The state of one program's users. Made by `open`; may be used from any thread; a context manager."""

    def __init__(self, path: Path, connection: sqlite3.Connection | None, clock: Callable[[], float]) -> None:
        self.path = path
        self.problems: list[str] = []
        self._connection = connection
        self._clock = clock
        self._lock = threading.Lock()

    @classmethod
    def open(
        cls,
        path: Path,
        program_id: Pubkey,
        *,
        read_only: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> Self:
        """Opens the state file at `path`, or makes it; `clock` gives Unix seconds.

        `read_only` (a dry run) changes nothing, and begins anew without a file. Raises UsageError when
        the file belongs to another program; whatever else goes wrong is in `problems`.
        """
        history = cls(path, None, clock)
        try:
            if read_only and (not path.exists() or path.stat().st_size == 0):
                return history
            history._connection = connect(path, read_only=read_only)
            history._read_all()
        except (sqlite3.DatabaseError, ValueError, TypeError) as error:
            history.close()
            if isinstance(error, sqlite3.OperationalError) or read_only:
                history._problem("could not be opened", error)
                return history
            aside = path.with_name(f"{path.name}.corrupt-{int(clock())}")
            log.warning("state: %s is corrupt (%s); moved to %s, starting afresh", path, error, aside.name)
            history._start_afresh(aside)
        except OSError as error:
            history._problem("could not be opened", error)
        history._claim(program_id, read_only=read_only)
        return history

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def users(self) -> dict[Pubkey, UserMemory]:
        """Gives what is remembered of every user."""
        rows = self._read(READ_USERS)
        return {Pubkey.from_string(row[0]): memory_of(row) for row in rows}

    def in_flight(self) -> list[InFlight]:
        """Return the transactions whose fate is not known for good: a fork can undo what is only confirmed."""
        sent: dict[str, InFlight] = {}
        users: dict[str, dict[Pubkey, BgpStatus]] = {}
        for row in self._read(READ_FLIGHTS):
            one, user, status = flight_user(row)
            sent[one.signature] = one
            users.setdefault(one.signature, {})[user] = status
        return [replace(one, users=users[signature]) for signature, one in sent.items()]

    def keep_users(self, memories: Mapping[Pubkey, UserMemory]) -> None:
        """Writes what is remembered of these users."""
        rows = [row_of(user, memory) for user, memory in memories.items()]
        marks = ", ".join("?" * len(USER_COLUMNS.split(",")))
        self._write(
            lambda database: database.executemany(
                f"INSERT OR REPLACE INTO users ({USER_COLUMNS}) VALUES ({marks})",  # noqa: S608 - constants
                rows,
            )
        )

    def forget_users(self, users: Iterable[Pubkey]) -> None:
        """Forgets users that left the ledger or are no longer activated, with their marks of being in flight."""
        keys = [(str(user),) for user in users]

        def forget(database: sqlite3.Connection) -> None:
            database.executemany("DELETE FROM users WHERE user = ?", keys)
            database.executemany("DELETE FROM flight_users WHERE user = ?", keys)

        if keys:
            self._write(forget)

    def sent(self, in_flight: InFlight) -> None:
        """Note a transaction that is about to be sent: from here on it may land. Raises JournalError."""
        signature = in_flight.signature

        def note(database: sqlite3.Connection) -> None:
            database.execute(
                "INSERT OR REPLACE INTO flights (signature, last_valid_block_height, since_slot, sent_at) "
                "VALUES (?, ?, ?, ?)",
                (signature, in_flight.last_valid_block_height, in_flight.since_slot, self._clock()),
            )
            database.executemany(
                "INSERT OR REPLACE INTO flight_users VALUES (?, ?, ?)",
                [(signature, str(user), int(status)) for user, status in in_flight.users.items()],
            )

        if not self._write(note):
            raise JournalError(
                f"--state {self.path}: the write could not be noted, and what is not noted might be written twice; "
                "see the notes for the cause, or use --state none"
            )

    def ended(self, signature: str, fate: Fate) -> None:
        """Note what became of a transaction.

        If it landed, it also becomes the last write of its users, in a slot that is not known until `keep_users` tells
        it: after a run that was killed in between, the write must not look like another writer's.
        """
        now = self._clock()

        def note(database: sqlite3.Connection) -> None:
            database.execute(
                "UPDATE flights SET outcome = ?, ended_at = ? WHERE signature = ?",
                (fate.value, now, signature),
            )
            if fate.has_landed:
                written = database.execute(
                    "SELECT status, user FROM flight_users WHERE signature = ?", (signature,)
                ).fetchall()
                database.executemany(
                    "UPDATE users SET written_at = ?, written_slot = NULL, written_acknowledged = 0, "
                    "written_status = ? WHERE user = ?",
                    [(now, status, user) for status, user in written],
                )

        self._write(note)

    def end_run(self, started_at: float, duration_s: float, totals: Mapping[str, Any]) -> None:
        """Notes a run's totals, and drops what is too old to matter."""

        def note(database: sqlite3.Connection) -> None:
            database.execute(
                "INSERT INTO runs (started_at, duration_s, totals) VALUES (?, ?, ?)",
                (started_at, duration_s, json.dumps(totals)),
            )
            database.execute("DELETE FROM runs WHERE id <= (SELECT max(id) FROM runs) - ?", (RUNS_KEPT,))
            # Also one without an outcome: a ledger that began anew (a local one) never tells it.
            database.execute("DELETE FROM flights WHERE sent_at < ?", (self._clock() - FLIGHTS_KEPT_S,))

        self._write(note)

    def runs(self) -> list[dict[str, Any]]:
        """Gives the totals of the runs that are kept, oldest first."""
        rows = self._read("SELECT started_at, duration_s, totals FROM runs ORDER BY id")
        return [{"started_at": row[0], "duration_s": row[1], **json.loads(row[2])} for row in rows]

    def _claim(self, program_id: Pubkey, *, read_only: bool) -> None:
        owner = [value for (value,) in self._read("SELECT value FROM meta WHERE key = 'program_id'")]
        if not owner and not read_only:
            self._write(
                lambda database: database.execute(
                    "INSERT INTO meta VALUES ('program_id', ?)", (str(program_id),)
                )
            )
        elif owner and owner[0] != str(program_id):
            self.close()
            raise UsageError(
                f"--state {self.path}: it belongs to program {owner[0]}; expected that of {program_id}"
            )

    def _start_afresh(self, aside: Path) -> None:
        try:
            # The file itself last: killed in between, a stale -wal must not be played into a new file.
            for suffix in ("-wal", "-shm", ""):
                file = self.path.with_name(self.path.name + suffix)
                if file.exists():
                    file.replace(aside.with_name(aside.name + suffix))
            self._connection = connect(self.path, read_only=False)
        except (OSError, sqlite3.DatabaseError) as error:
            self._problem("is corrupt and could not be replaced", error)
        else:
            self.problems.append(
                f"The state file was corrupt: it was moved to {aside}, and memory begins anew."
            )

    def _read_all(self) -> None:
        """Reads what later runs rely on. Raises ValueError, TypeError or sqlite3.Error where it is corrupt.

        SQLite's own check knows pages and trees, not what is written in them.
        """
        if self._connection is not None:
            for row in self._connection.execute(READ_USERS):
                memory_of(row)
            for row in self._connection.execute(READ_FLIGHTS):
                flight_user(row)

    def _read(self, query: str) -> list[Any]:
        with self._lock:
            if self._connection is None:
                return []
            try:
                return self._connection.execute(query).fetchall()
            except sqlite3.Error as error:
                self._problem("could not be read", error)
                return []

    def _write(self, change: Callable[[sqlite3.Connection], object]) -> bool:
        with self._lock:
            if self._connection is None:
                return False
            try:
                with self._connection:
                    self._connection.execute("BEGIN IMMEDIATE")
                    change(self._connection)
            except sqlite3.Error as error:
                self._problem("could not be written", error)
                return False
            return True

    def _problem(self, what: str, error: Exception) -> None:
        sentence = f"State file {self.path} {what} ({error}): this run goes on, the next one remembers less."
        if sentence not in self.problems:
            log.warning("%s", sentence)
            self.problems.append(sentence)
