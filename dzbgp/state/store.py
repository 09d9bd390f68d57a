"""What must outlive a run, in one SQLite file for each ledger.

The chain stays the memory: a run that cannot read the file is correct. But no transaction is sent that could not be
noted before. Every change is one transaction: killed at any point, a run leaves the file as it was before or after it.
"""

import json
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Self

from solders.pubkey import Pubkey

from dzbgp.errors import JournalError, StateLockedError, UsageError
from dzbgp.models.in_flight import Fate, InFlight
from dzbgp.models.ledger import BgpStatus, Sighting
from dzbgp.models.memory import UserMemory
from dzbgp.models.session import DeviceReading
from dzbgp.state.database import Database
from dzbgp.state.ledgers import last_used
from dzbgp.state.lock import DeviceLocks
from dzbgp.state.place import file_of_later, files_of_later
from dzbgp.state.schema import (
    KEEP_USER,
    KEEP_WRITE,
    OPEN_FLIGHTS,
    READ_FLIGHTS,
    READ_USERS,
    REPLACE_USER,
    flight_user,
    memory_of,
    row_of,
    transitions_of,
    write_row_of,
)

log = logging.getLogger(__name__)

_FLOOR = "SELECT key, value FROM meta WHERE key GLOB 'floor_*'"
_RELEASE = (
    "INSERT OR REPLACE INTO releases VALUES "
    "(?1, max(?2, coalesce((SELECT held_since FROM users WHERE user = ?1), 0)))"
)
_END_FLIGHT = (
    f"UPDATE flights SET ended_at = CASE WHEN outcome = '{Fate.CONFIRMED}' AND ?1 = '{Fate.FINALIZED}' "  # noqa: S608
    "THEN ended_at ELSE ?2 END, outcome = ?1 WHERE signature = ?3"
)
"""A transaction that was confirmed has landed then, however much later a pass finds it finalized."""
PASSES_KEPT = 10_000
KEPT_S = 30 * 86_400.0
"""How long writes and transitions are kept."""


class Store:
    """The state of one ledger's users. Made by `open`; may be used from any thread; a context manager."""

    def __init__(
        self, database: Database, clock: Callable[[], float], locks: DeviceLocks | None = None
    ) -> None:
        self.database = database
        self._clock = clock
        self._locks = locks
        self._devices: frozenset[Pubkey] | None = None
        """The devices that this run holds; None before it asked for any."""
        self._unread: set[str] = set()
        """The queries that decisions rest on and that could not be read when they were last tried."""
        self._giving_back = threading.Lock()
        """Held while devices are given back, and while a transaction is noted: another run must find it then."""
        self._read_version = database.version()

    @classmethod
    def open(
        cls,
        path: Path,
        program_id: Pubkey,
        genesis_hash: str | None = None,
        *,
        read_only: bool = False,
        is_required: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> Self:
        """Open the state file at `path`, or make it. `clock` gives Unix seconds.

        A file of another genesis hash is another ledger's: one beside it is used then, and without a genesis hash the
        one that was used last. `read_only` (a dry run) changes
        nothing, and begins again without a file. Raises UsageError for a file of another program or application;
        whatever else goes wrong is in `problems`, or if the file `is_required` a UsageError too.
        """
        if read_only:
            return cls._of_ledger(path, program_id, genesis_hash, clock, None, is_required=is_required)
        locks = DeviceLocks(path)
        try:
            with locks.opening():
                return cls._of_ledger(path, program_id, genesis_hash, clock, locks, is_required=is_required)
        except BaseException:
            locks.close()
            raise

    @classmethod
    def _of_ledger(
        cls,
        path: Path,
        program_id: Pubkey,
        genesis_hash: str | None,
        clock: Callable[[], float],
        locks: DeviceLocks | None,
        *,
        is_required: bool,
    ) -> Self:
        opened = partial(Database, clock=clock, read_only=locks is None, is_required=is_required)
        if genesis_hash is None:
            path = last_used(path)
        store = cls(opened(path), clock, locks)
        owner = store.genesis_hash
        if owner is not None and genesis_hash is not None and owner != genesis_hash:
            store.database.close()
            other = file_of_later(path, genesis_hash)
            if not other.exists():
                log.warning(
                    "state: %s belongs to the ledger with genesis hash %s; this ledger uses %s",
                    path,
                    owner,
                    other,
                )
            store = cls(opened(other), clock, locks)
        store._claim(program_id, genesis_hash)
        if genesis_hash is not None and files_of_later(path):
            store._was_used()
        return store

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, and give back the devices."""
        self.database.close()
        if self._locks is not None:
            self._locks.close()

    @property
    def problems(self) -> list[str]:
        """What went wrong with the file, as sentences for a report."""
        return self.database.problems

    def floor(self) -> Sighting | None:
        """Return the highest slot that this ledger was seen in."""
        return _floor_of(self.database.read(_FLOOR))

    def raise_floor(self, seen: Sighting) -> None:
        """Note that the ledger was seen; in a lower slot than before changes nothing."""
        facts = {
            "floor_slot": str(seen.slot),
            "floor_at": repr(seen.at),
            "floor_ledger_at": repr(seen.ledger_at),
        }

        def note(database: sqlite3.Connection) -> None:
            known = _floor_of(database.execute(_FLOOR))
            # The same slot, seen at an earlier time: the clock was set back meanwhile.
            if known is None or (seen.slot, -seen.at) > (known.slot, -known.at):
                database.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", facts.items())

        self.database.write(note)

    def _forget_floor(self) -> None:
        self.database.write(lambda database: database.execute("DELETE FROM meta WHERE key GLOB 'floor_*'"))

    def hold(self, devices: Mapping[Pubkey, str]) -> bool:
        """Keep other runs away from these devices (the codes by their keys), and from no others.

        Return whether what was read of this file may be out of date: another run changed it before it gave one of them
        back. Raises StateLockedError, which names a device that another run holds, and that run.
        """
        if self._locks is None:
            return False
        with self._giving_back:
            known = self._devices or frozenset()
            self._devices = known & devices.keys()
        fresh = devices.keys() - known
        taken = self._locks.hold([bytes(key) for key in devices])
        if taken is not None:
            key = Pubkey.from_bytes(taken)
            raise StateLockedError(
                f"--state {self.database.path}: another run writes for {devices[key]}{self._holder(key)}; "
                "nothing was written"
            )
        self._devices = frozenset(devices)
        is_stale = (bool(fresh) or self._locks.was_removed) and self._is_outdated()
        self._name_holder(fresh)
        return is_stale

    def _is_outdated(self) -> bool:
        return self.database.version() != self._read_version

    def users(self) -> dict[Pubkey, UserMemory]:
        """Return what is remembered of every user."""
        self._read_version = self.database.version()
        if self._locks is not None:
            self._locks.was_removed = False
        rows = self._known(READ_USERS)
        return {Pubkey.from_string(row[0]): memory_of(row) for row in rows}

    @property
    def is_unread(self) -> bool:
        """Whether the users could not be read: then nothing that is known of them is written, and nothing is sent."""
        return READ_USERS in self._unread

    def _known(self, query: str) -> list[Any]:
        """Return the rows of a query that decisions rest on. A file that is not open has none."""
        rows = self.database.found(query)
        if rows is None and self.database.connection is not None:
            self._unread.add(query)
        else:
            self._unread.discard(query)
        return rows or []

    def in_flight(self) -> list[InFlight]:
        """Return the transactions whose fate is not known for good: a fork can undo what is only confirmed."""
        sent: dict[str, InFlight] = {}
        users: dict[str, dict[Pubkey, BgpStatus]] = {}
        for row in self._known(READ_FLIGHTS):
            one, user, status = flight_user(row)
            sent[one.signature] = one
            users.setdefault(one.signature, {})[user] = status
        return [replace(one, users=users[signature]) for signature, one in sent.items()]

    def keep_users(self, memories: Mapping[Pubkey, UserMemory]) -> None:
        """Write what is remembered of these users; a write of theirs that was noted meanwhile stays noted."""
        if self.is_unread:
            return
        self.database.write(lambda database: _keep(database, memories, KEEP_USER))

    def keep_written(self, memories: Mapping[Pubkey, UserMemory]) -> None:
        """Note the last writes of these users, and change nothing else that is known of them.

        Their devices may have been given back since, and another run may have looked at them.
        """
        if self.is_unread:
            return
        rows = [write_row_of(user, memory) for user, memory in memories.items()]
        self.database.write(lambda database: database.executemany(KEEP_WRITE, rows))

    def forget_users(self, users: Iterable[Pubkey]) -> None:
        """Forget users that left the ledger or are no longer activated.

        What was sent for them is kept until its fate is known: they may only be missing in what a node behind says.
        """
        keys = [(str(user),) for user in users]
        if keys:
            self.database.write(
                lambda database: database.executemany("DELETE FROM users WHERE user = ?", keys)
            )

    def sent(self, in_flight: InFlight) -> None:
        """Note a transaction that is about to be sent: from here on it may land.

        Raises JournalError if it must not be sent: it could not be noted, or another run holds a device or may hold it,
        or held it after the lock file was removed, or something that was sent for one of its users may still land.
        """
        if self._unread:
            raise JournalError(
                f"--state {self.database.path}: what earlier passes noted could not be read, and the same write may be "
                "in flight; see the notes for the cause, or use --state none"
            )
        taken = self._locks.mend() if self._locks is not None else None
        if taken is not None:
            key = Pubkey.from_bytes(taken)
            raise JournalError(
                f"--state {self.database.path}: its lock file was removed, and another run writes for device {key}"
                f"{self._holder(key)} meanwhile"
            )
        if self._locks is not None and self._locks.was_removed and self._is_outdated():
            raise JournalError(
                f"--state {self.database.path}: its lock file was removed, and another run wrote meanwhile"
            )
        signature = in_flight.signature

        def note(database: sqlite3.Connection) -> None:
            for user in in_flight.users:
                for (earlier,) in database.execute(OPEN_FLIGHTS, (str(user), signature)):
                    raise JournalError(
                        f"--state {self.database.path}: an earlier write of user {user} may still land ({earlier})"
                    )
            database.execute(
                "INSERT OR REPLACE INTO flights (signature, last_valid_block_height, since_slot, sent_at) "
                "VALUES (?, ?, ?, ?)",
                (signature, in_flight.last_valid_block_height, in_flight.since_slot, self._clock()),
            )
            database.executemany(
                "INSERT OR REPLACE INTO flight_users VALUES (?, ?, ?)",
                [(signature, str(user), int(status)) for user, status in in_flight.users.items()],
            )

        with self._giving_back:
            self._check_held(in_flight.users)
            if not self.database.write(note):
                raise JournalError(
                    f"--state {self.database.path}: the write could not be recorded, and without a record it might be "
                    "sent twice; see the notes for the cause, or use --state none"
                )

    def _check_held(self, users: Iterable[Pubkey]) -> None:
        """Raise JournalError for a user of a device that was given back, as after a reload of the inventory."""
        if self._devices is None:
            return
        for user in users:
            for (device,) in self.database.read("SELECT device FROM users WHERE user = ?", str(user)):
                if Pubkey.from_string(device) not in self._devices:
                    raise JournalError(
                        f"--state {self.database.path}: this run no longer asks device {device} of user {user}, and "
                        "another run may write for it"
                    )

    def ended(self, signature: str, fate: Fate) -> None:
        """Note the fate of a transaction.

        If it landed, it also becomes the last write of its users, in a slot that is not known until `keep_users` tells
        it: after a run that was killed in between, the write must not look like another writer's. A Down after a Down
        of ours turned nobody Down, so it counts as acknowledged. What another run that shares this file has noted of
        the transaction before stays.
        """
        now = self._clock()

        def note(database: sqlite3.Connection) -> None:
            query = "SELECT outcome FROM flights WHERE signature = ?"
            known = {outcome for (outcome,) in database.execute(query, (signature,))}
            if Fate.FINALIZED in known:
                return
            database.execute(_END_FLIGHT, (fate.value, now, signature))
            if fate.has_landed and Fate.CONFIRMED not in known:
                written = database.execute(
                    "SELECT status, user FROM flight_users WHERE signature = ?", (signature,)
                ).fetchall()
                database.executemany(
                    "UPDATE users SET written_at = ?1, written_slot = NULL, "
                    "written_acknowledged = (?2 = ?4 AND written_status IS ?4), written_status = ?2 WHERE user = ?3",
                    [(now, status, user, int(BgpStatus.DOWN)) for status, user in written],
                )

        self.database.write(note)

    def settled(
        self,
        in_flight: InFlight,
        fate: Fate,
        change: Callable[[Mapping[Pubkey, UserMemory]], Mapping[Pubkey, UserMemory]],
    ) -> None:
        """Note the fate of a transaction that an earlier run sent, or another one that shares this file.

        `change` is given what the file remembers of the transaction's users, and returns what to write. What this run
        remembers of another run's users may be old.
        """
        now = self._clock()

        def note(database: sqlite3.Connection) -> None:
            database.execute(_END_FLIGHT, (fate.value, now, in_flight.signature))
            rows = [
                row
                for user in in_flight.users
                for row in database.execute(f"{READ_USERS} WHERE user = ?", (str(user),))
            ]
            changed = change({Pubkey.from_string(row[0]): memory_of(row) for row in rows})
            _keep(database, changed, REPLACE_USER)

        self.database.write(note)

    def releases(self) -> dict[Pubkey, float]:
        """Return the users that `dzbgp release` lets through the guard, and when it did, in Unix seconds."""
        rows = self.database.read("SELECT user, released_at FROM releases")
        return {Pubkey.from_string(user): float(at) for user, at in rows}

    def release(self, users: Iterable[Pubkey]) -> bool:
        """Let what the guard holds of these users through at the next pass. Return whether that was noted.

        A user that has been held since later than now, because the clock was set back, is released too.
        """
        rows = [(str(user), self._clock()) for user in users]
        return self.database.write(lambda database: database.executemany(_RELEASE, rows))

    def end_run(
        self,
        started_at: float,
        duration_s: float,
        totals: Mapping[str, Any],
        exit_code: int | None = None,
        devices: Iterable[DeviceReading] = (),
        error: str | None = None,
    ) -> None:
        """Note a pass with its totals, its exit code and the names of its devices; drop what is too old to matter.

        `error`: why it came to no report.
        """
        before = self._clock() - KEPT_S
        names = [(str(one.device.pubkey), one.device.code, one.host) for one in devices if one.device]

        def note(database: sqlite3.Connection) -> None:
            database.execute(
                "INSERT INTO runs (started_at, duration_s, totals, exit_code, error) VALUES (?, ?, ?, ?, ?)",
                (started_at, duration_s, json.dumps(totals), exit_code, error),
            )
            database.executemany(
                "INSERT INTO devices VALUES (?, ?, ?) ON CONFLICT (device) DO UPDATE SET code = excluded.code, "
                "host = excluded.host WHERE code != excluded.code OR host != excluded.host",
                names,
            )
            # A release ends when its user is not held any more.
            database.execute(
                "DELETE FROM releases WHERE user NOT IN (SELECT user FROM users WHERE held_since <= released_at)"
            )
            database.execute("DELETE FROM runs WHERE id <= (SELECT max(id) FROM runs) - ?", (PASSES_KEPT,))
            # One whose fate is not known is kept: it may still land.
            database.execute("DELETE FROM flights WHERE ended_at < ?", (before,))
            database.execute("DELETE FROM transitions WHERE at < ?", (before,))

        self.database.write(note)

    @property
    def genesis_hash(self) -> str | None:
        """The genesis hash of the ledger that the file is of; None as long as no RPC has said it."""
        return self._meta("genesis_hash")

    def _claim(self, program_id: Pubkey, genesis_hash: str | None) -> None:
        owner = self._meta("program_id")
        if owner is not None and owner != str(program_id):
            self.close()
            raise UsageError(
                f"--state {self.database.path}: it belongs to program {owner}; expected that of {program_id}"
            )
        if not self.database.read_only:
            if genesis_hash is not None and self.genesis_hash is None:
                # What it was used for may be another ledger, which did not tell its name.
                self._forget_floor()
            facts = {"program_id": str(program_id), "created_at": repr(self._clock())}
            facts |= {} if genesis_hash is None else {"genesis_hash": genesis_hash}
            self._set_meta(**{key: value for key, value in facts.items() if self._meta(key) is None})

    def _was_used(self) -> None:
        """Note it: where the ledger is not known, the file that was used last is taken."""
        if not self.database.read_only:
            self._set_meta(used_at=repr(self._clock()))

    def _meta(self, key: str) -> str | None:
        return next(
            (str(value) for (value,) in self.database.read("SELECT value FROM meta WHERE key = ?", key)), None
        )

    def _set_meta(self, **facts: str) -> None:
        if facts:
            self.database.write(
                lambda database: database.executemany(
                    "INSERT OR REPLACE INTO meta VALUES (?, ?)", list(facts.items())
                )
            )

    def _name_holder(self, devices: Iterable[Pubkey]) -> None:
        rows = [(str(key), os.getpid(), self._clock()) for key in devices]
        self.database.write(
            lambda database: database.executemany("INSERT OR REPLACE INTO holders VALUES (?, ?, ?)", rows)
        )

    def _holder(self, device: Pubkey) -> str:
        for pid, since in self.database.read("SELECT pid, since FROM holders WHERE device = ?", str(device)):
            return f": pid {pid}, since {datetime.fromtimestamp(since, UTC).isoformat(timespec='seconds')}"
        return ""


def _keep(database: sqlite3.Connection, memories: Mapping[Pubkey, UserMemory], statement: str) -> None:
    """Write what is remembered of these users, within a transaction."""
    database.executemany(statement, [row_of(user, memory) for user, memory in memories.items()])
    database.executemany(
        "INSERT OR IGNORE INTO transitions VALUES (?, ?, ?, ?)",
        [row for user, memory in memories.items() for row in transitions_of(user, memory)],
    )


def _floor_of(rows: Iterable[tuple[str, str]]) -> Sighting | None:
    facts = dict(rows)
    if not {"floor_slot", "floor_at"} <= facts.keys():
        return None
    ledger_at = facts.get("floor_ledger_at", "None")
    return Sighting(
        int(facts["floor_slot"]), float(facts["floor_at"]), None if ledger_at == "None" else float(ledger_at)
    )
