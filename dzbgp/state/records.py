"""What a state file tells of the past: passes, transitions of sessions, writes. Times are Unix seconds."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from solders.pubkey import Pubkey

from dzbgp.models.in_flight import Fate
from dzbgp.models.ledger import BgpStatus
from dzbgp.state.store import Store


@dataclass(frozen=True, slots=True)
class PassRecord:
    """A pass that came to a report."""

    started_at: float
    duration_s: float
    exit_code: int | None
    """None: it was run before that was noted."""
    totals: Mapping[str, Any]
    """The numbers of the JSON report's `summary`."""


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
        "SELECT started_at, duration_s, exit_code, totals FROM runs WHERE started_at > ? ORDER BY id", since
    )
    return [PassRecord(row[0], row[1], row[2], json.loads(row[3])) for row in rows]


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
