"""What a state file tells of the past: passes, transitions of sessions, writes. Times are Unix seconds."""

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from solders.pubkey import Pubkey

from dzbgp.models.in_flight import Fate
from dzbgp.models.ledger import BgpStatus
from dzbgp.models.memory import UserMemory
from dzbgp.models.problem import Alarm
from dzbgp.state.store import Store

_FORGOTTEN_S = 86_400.0


@dataclass(frozen=True, slots=True)
class PassRecord:
    """A pass."""

    started_at: float
    duration_s: float
    exit_code: int | None
    """None: it was run before that was noted."""
    totals: Mapping[str, Any]
    """The numbers of the JSON report's `summary`; empty where there was no report."""
    error: str | None = None
    """Why there was no report."""


@dataclass(frozen=True, slots=True)
class KnownDevice:
    """What a device is called on the ledger, and in the inventory."""

    code: str
    host: str


@dataclass(frozen=True, slots=True)
class Transition:
    """A session that was seen to go up or down."""

    at: float
    user: Pubkey
    device: Pubkey
    is_up: bool


@dataclass(frozen=True, slots=True)
class SentWrite:
    """The write of one user in a transaction that was sent."""

    sent_at: float
    user: Pubkey
    status: BgpStatus
    signature: str
    fate: Fate
    ended_at: float | None


def passes(store: Store, since: float = 0.0) -> list[PassRecord]:
    """Return the passes that began after `since`, oldest first."""
    rows = store.database.read(
        "SELECT started_at, duration_s, exit_code, totals, error FROM runs WHERE started_at > ? ORDER BY id",
        since,
    )
    return [PassRecord(row[0], row[1], row[2], json.loads(row[3]), row[4]) for row in rows]


def last_pass(store: Store) -> PassRecord | None:
    """Return the pass that ended last, if any is noted."""
    rows = store.database.read(
        "SELECT started_at, duration_s, exit_code, totals, error FROM runs ORDER BY id DESC LIMIT 1"
    )
    return next((PassRecord(row[0], row[1], row[2], json.loads(row[3]), row[4]) for row in rows), None)


def devices(store: Store) -> dict[Pubkey, KnownDevice]:
    """Return the devices that passes have matched, by their keys."""
    rows = store.database.read("SELECT device, code, host FROM devices")
    return {Pubkey.from_string(row[0]): KnownDevice(row[1], row[2]) for row in rows}


def transitions(store: Store, since: float = 0.0, user: Pubkey | None = None) -> list[Transition]:
    """Return the transitions after `since`, oldest first."""
    rows = store.database.read(
        "SELECT at, user, device, up FROM transitions WHERE at > ?1 AND ?2 IN (user, '') ORDER BY at, user",
        since,
        str(user or ""),
    )
    return [
        Transition(row[0], Pubkey.from_string(row[1]), Pubkey.from_string(row[2]), bool(row[3]))
        for row in rows
    ]


def writes(store: Store, since: float = 0.0, user: Pubkey | None = None) -> list[SentWrite]:
    """Return what was sent after `since`, oldest first."""
    rows = store.database.read(
        "SELECT sent_at, user, status, signature, outcome, ended_at FROM flights JOIN flight_users USING (signature) "
        "WHERE sent_at > ?1 AND ?2 IN (user, '') ORDER BY sent_at, user",
        since,
        str(user or ""),
    )
    return [
        SentWrite(
            row[0],
            Pubkey.from_string(row[1]),
            BgpStatus(row[2]),
            row[3],
            Fate.PENDING if row[4] is None else Fate(row[4]),
            row[5],
        )
        for row in rows
    ]


def held_users(store: Store) -> dict[Pubkey, Pubkey]:
    """Return the users whose Down the guard holds, with their devices; not those that were let through since."""
    return {user: memory.device for user, memory in store.users().items() if is_held(memory)}


def is_held(memory: UserMemory) -> bool:
    """Return whether the guard holds a user's Down: it was held, and not written since."""
    if memory.held_since is None:
        return False
    is_down = memory.written_status is BgpStatus.DOWN and memory.written_at is not None
    return not (is_down and (memory.written_at or 0.0) >= memory.held_since)


def released_users(store: Store) -> frozenset[Pubkey]:
    """Return the held users that `dzbgp release` has released: the next pass writes those that are still down."""
    memories, releases = store.users(), store.releases()
    return frozenset(
        user
        for user in held_users(store)
        if user in releases and (memories[user].held_since or 0.0) <= releases[user]
    )


def alarms(store: Store, fleet: str = "") -> list[Alarm]:
    """Return the problems that were said of a fleet and are not over, or of all fleets; oldest first."""
    rows = store.database.read(
        "SELECT key, line, since, said_at FROM alarms WHERE ?1 IN (fleet, '') ORDER BY since, key", fleet
    )
    return [Alarm(*row) for row in rows]


def keep_alarms(store: Store, fleet: str, found: Iterable[Alarm], now: float) -> None:
    """Replace the problems of a fleet, and forget those of fleets that no pass has asked for a long time."""
    rows = [(fleet, one.key, one.line, one.since, one.said_at) for one in found]

    def keep(database: sqlite3.Connection) -> None:
        database.execute("DELETE FROM alarms WHERE fleet = ? OR said_at < ?", (fleet, now - _FORGOTTEN_S))
        database.executemany("INSERT INTO alarms VALUES (?, ?, ?, ?, ?)", rows)

    store.database.write(keep)
