"""The state file as an open SQLite database, which a corrupt one is moved out of the way of.

What cannot be read or written is a problem to be reported (`problems`), no exception.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dzbgp.errors import UsageError
from dzbgp.state.schema import READ_FLIGHTS, READ_USERS, connect, flight_user, memory_of

log = logging.getLogger(__name__)


class Database:
    """One state file. May be used from any thread. Every change is one transaction."""

    def __init__(
        self, path: Path, clock: Callable[[], float], *, read_only: bool, is_required: bool = False
    ) -> None:
        """Open the file or make it; `read_only` opens nothing where none is. Raises UsageError for any other file.

        `is_required`: the command is about what the file says, so each problem is a UsageError, now and later, and
        a corrupt file stays where it is.
        """
        self.path = path
        self.read_only = read_only
        self._is_required = is_required
        self.problems: list[str] = []
        self.connection: sqlite3.Connection | None = None
        self._clock = clock
        self._lock = threading.Lock()
        if not _is_database(path):
            raise UsageError(
                f"--state {path}: it is not a state file; expected a file of dzbgp, or a new one"
            )
        try:
            if not read_only or (path.exists() and path.stat().st_size > 0):
                self.connection = connect(path, read_only=read_only)
                self._read_all()
        except (sqlite3.DatabaseError, ValueError, TypeError) as error:
            self.close()
            if isinstance(error, sqlite3.OperationalError) or read_only or is_required:
                self._problem("could not be opened", error)
            else:
                self._start_afresh(error)
        except OSError as error:
            self._problem("could not be opened", error)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self.connection is not None:
                self.connection.close()
                self.connection = None

    def read(self, query: str, *values: Any) -> list[Any]:
        """Return the rows of a query; none, and a problem, if the file cannot be read."""
        return self.found(query, *values) or []

    def found(self, query: str, *values: Any) -> list[Any] | None:
        """Return the rows of a query; None, and a problem, if the file cannot be read."""
        with self._lock:
            if self.connection is None:
                return None
            try:
                return self.connection.execute(query, values).fetchall()
            except sqlite3.Error as error:
                self._problem("could not be read", error)
                return None

    def write(self, change: Callable[[sqlite3.Connection], object]) -> bool:
        """Change the file, in one transaction. Return whether that went well."""
        with self._lock:
            if self.connection is None:
                return False
            try:
                with self.connection:
                    self.connection.execute("BEGIN IMMEDIATE")
                    change(self.connection)
            except sqlite3.Error as error:
                self._problem("could not be written", error)
                return False
            return True

    def version(self) -> int:
        """Return a number that changes when another connection has changed the file."""
        return next((int(version) for (version,) in self.read("PRAGMA data_version")), 0)

    def _start_afresh(self, why: Exception) -> None:
        aside = self.path.with_name(f"{self.path.name}.corrupt-{int(self._clock())}")
        log.warning(
            "state: %s is corrupt (%s); moved to %s, starting with an empty one", self.path, why, aside.name
        )
        try:
            # The file itself last: killed in between, a stale -wal must not be played into a new file.
            for suffix in ("-wal", "-shm", ""):
                file = self.path.with_name(self.path.name + suffix)
                if file.exists():
                    file.replace(aside.with_name(aside.name + suffix))
            self.connection = connect(self.path, read_only=False)
        except (OSError, sqlite3.DatabaseError) as error:
            self._problem("is corrupt and could not be replaced", error)
        else:
            self.problems.append(
                f"The state file was corrupt: it was moved to {aside}, and a new one was started."
            )

    def _read_all(self) -> None:
        """Read what later runs rely on. Raises ValueError, TypeError or sqlite3.Error where it is corrupt.

        SQLite's own check knows pages and trees, not what is written in them.
        """
        if self.connection is not None:
            for row in self.connection.execute(READ_USERS):
                memory_of(row)
            for row in self.connection.execute(READ_FLIGHTS):
                flight_user(row)

    def _problem(self, what: str, error: Exception) -> None:
        if self._is_required:
            raise UsageError(
                f"--state {self.path}: it {what} ({error}); expected a state file of a pass, and a user who may use it"
            ) from None
        lost = (
            "this dry run continues without it"
            if self.read_only
            else "a write that cannot be recorded is not sent"
        )
        sentence = f"State file {self.path} {what} ({error}): {lost}."
        if sentence not in self.problems:
            log.warning("%s", sentence)
            self.problems.append(sentence)


def _is_database(path: Path) -> bool:
    """Return whether a file is SQLite's, empty or missing; one that cannot be read is left to SQLite."""
    try:
        if not path.is_file():
            return True
        with path.open("rb") as file:
            return file.read(16) in {b"", b"SQLite format 3\0"}
    except OSError:
        return True
