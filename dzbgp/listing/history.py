"""`dzbgp history`: passes, transitions and writes from a state file. Neither the ledger nor a device is read."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic

from solders.pubkey import Pubkey

from dzbgp.console.layout import BAD, DIM, GOOD, LOUD
from dzbgp.console.words import duration, iso, may_mean, moment, name_or_key
from dzbgp.errors import ExitCode, UsageError
from dzbgp.listing.model import NOTHING, Field, R, Styled
from dzbgp.listing.query import HistoryQuery, Record
from dzbgp.models.in_flight import Fate
from dzbgp.models.ledger import BgpStatus
from dzbgp.state.records import KnownDevice, PassRecord, SentWrite, Transition, devices, passes
from dzbgp.state.records import transitions as read_transitions
from dzbgp.state.records import writes as read_writes
from dzbgp.state.store import Store


@dataclass(frozen=True, slots=True)
class History(Generic[R]):
    """The rows of one command. Times are Unix seconds."""

    noun: str
    """What the rows are, in the plural: the key of a JSON document."""
    state: Path
    now: float
    since_s: float
    fields: tuple[Field[R], ...]
    rows: tuple[R, ...]


@dataclass(frozen=True, slots=True)
class SessionChange:
    """A transition, with the names of its device."""

    change: Transition
    device: KnownDevice | None

    @property
    def code(self) -> str:
        """The device's code, or its key if it has none."""
        return (self.device.code if self.device else "") or str(self.change.device)


@dataclass(frozen=True, slots=True)
class Flapper:
    """A user with the number of its transitions, and the last one."""

    transitions: int
    last: SessionChange


def list_history(store: Store, query: HistoryQuery, record: Record | None) -> History[Any]:
    """Return what `query` asks for; without `record` passes, or transitions where an option is about these.

    Raises UsageError.
    """
    is_of_sessions = bool(query.user or query.device or query.flapping)
    record = record or (Record.TRANSITIONS if is_of_sessions else Record.PASSES)
    _check(query, record)
    now = time.time()

    def history(noun: str, fields: tuple[Field[Any], ...], rows: Sequence[Any]) -> History[Any]:
        return History(noun, store.database.path, now, query.since_s, fields, tuple(rows))

    if record is Record.PASSES:
        return history("passes", PASS_FIELDS, passes(store, now - query.since_s))
    if record is Record.WRITES:
        sent = read_writes(store, now - query.since_s)
        return history("writes", WRITE_FIELDS, _of_user(store, sent, query.user, lambda one: one.user))
    known = devices(store)
    changes = [
        SessionChange(one, known.get(one.device)) for one in read_transitions(store, now - query.since_s)
    ]
    changes = _of_device(changes, query.device, known)
    changes = _of_user(store, changes, query.user, lambda one: one.change.user)
    if not query.flapping:
        return history("transitions", TRANSITION_FIELDS, changes)
    counts = Counter(one.change.user for one in changes)
    last = {one.change.user: one for one in changes}
    rows = [Flapper(count, last[user]) for user, count in counts.most_common() if count > 1]
    return history("flapping", FLAPPER_FIELDS, rows)


def _check(query: HistoryQuery, record: Record) -> None:
    wrong = {
        "--user": query.user and record is Record.PASSES,
        "--device": query.device and record is not Record.TRANSITIONS,
        "--flapping": query.flapping and record is not Record.TRANSITIONS,
    }
    for option, is_wrong in wrong.items():
        if is_wrong:
            raise UsageError(
                f"{option}: cannot be combined with {record}: expected `dzbgp history transitions`"
            )


def _of_user(store: Store, rows: Sequence[R], start: str | None, user: Callable[[R], Pubkey]) -> list[R]:
    """Return the rows of the one user whose key `start` may mean. Raises UsageError."""
    if not start:
        return list(rows)
    found = [row for row in rows if may_mean(start, str(user(row)))]
    users = {user(row) for row in found}
    if len(users) > 1:
        raise UsageError(f"--user {start}: {len(users)} users match: expected more characters of the key")
    if not users and not any(may_mean(start, str(key)) for key in _users(store)):
        raise UsageError(
            f"--user: no pass of this state file has seen a user {start!r}: expected a user's key or its first "
            "characters"
        )
    return found


def _users(store: Store) -> set[Pubkey]:
    """Return every user that is or was on a device of the passes."""
    return (
        set(store.users())
        | {one.user for one in read_transitions(store)}
        | {one.user for one in read_writes(store)}
    )


def _of_device(
    rows: list[SessionChange], name: str | None, known: Mapping[Pubkey, KnownDevice]
) -> list[SessionChange]:
    if not name:
        return rows
    wanted = find_device(name, known, "--device")
    return [row for row in rows if row.change.device == wanted]


def find_device(name: str, known: Mapping[Pubkey, KnownDevice], option: str) -> Pubkey:
    """Return the device of a host, a code or a key. Raises UsageError."""
    for key, device in known.items():
        if name in {device.host, str(key)} or name.casefold() == device.code.casefold():
            return key
    raise UsageError(
        f"{option}: no pass of this state file has asked a host called {name!r}: expected the host, the code or the "
        "key of a device"
    )


def result_word(exit_code: int | None) -> str:
    """Return an exit code in a word; an empty text where it is not known."""
    return "" if exit_code is None else ExitCode(exit_code).name.lower().replace("_", "-")


def when(seconds: float) -> datetime:
    """Return Unix seconds as a time in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def _time(name: str, title: str, seconds: Callable[[R], float]) -> Field[R]:
    return Field(
        name,
        lambda row: iso(when(seconds(row))),
        title,
        lambda row: (moment(when(seconds(row))).removesuffix(" UTC"), ""),
    )


def _total(name: str, title: str, style: str = "", rank: int = 0) -> Field[PassRecord]:
    def text(row: PassRecord) -> Styled:
        number = row.totals.get(name)
        return (NOTHING if number is None else f"{number:,}"), style if number else DIM

    return Field(name, lambda row: row.totals.get(name), title, text, rank=rank, right=True)


def _result(row: PassRecord) -> Styled:
    word = result_word(row.exit_code) or NOTHING
    return word, {"ok": GOOD, "held": LOUD}.get(word, BAD)


def _status(status: BgpStatus) -> Styled:
    return status.label, {BgpStatus.UP: GOOD, BgpStatus.DOWN: BAD}.get(status, DIM)


def _key(name: str, title: str, key: Callable[[R], Pubkey]) -> Field[R]:
    return Field(name, lambda row: str(key(row)), title, short=lambda row: name_or_key(str(key(row))))


PASS_FIELDS: tuple[Field[PassRecord], ...] = (
    _time("started_at", "Started (UTC)", lambda row: row.started_at),
    Field(
        "duration_s",
        lambda row: round(row.duration_s, 3),
        "Took",
        lambda row: (f"{row.duration_s:.1f} s", ""),
        rank=4,
        right=True,
    ),
    Field("exit_code", lambda row: row.exit_code, "Exit", right=True),
    Field("result", lambda row: result_word(row.exit_code) or None, "Result", _result),
    _total("devices", "Devices", rank=3),
    _total("devices_failed", "Failed", BAD, rank=8),
    _total("users", "Users", rank=2),
    _total("up", "Up", rank=6),
    _total("down", "Down", rank=7),
    _total("unknown", "Unknown", rank=5),
    _total("to_submit", ""),
    _total("changes", ""),
    _total("refreshes", ""),
    _total("submitted", "Written", GOOD, rank=9),
    _total("failed", "Lost", BAD, rank=9),
    _total("held", "Held", LOUD, rank=9),
    Field("error", lambda row: row.error, "", lambda row: (row.error or NOTHING, "")),
)
TRANSITION_FIELDS: tuple[Field[SessionChange], ...] = (
    _time("at", "Seen (UTC)", lambda row: row.change.at),
    Field(
        "state",
        lambda row: "up" if row.change.is_up else "down",
        "To",
        lambda row: ("up", GOOD) if row.change.is_up else ("down", BAD),
    ),
    _key("user", "User", lambda row: row.change.user),
    Field("device", lambda row: row.code, "Device", lambda row: (name_or_key(row.code), ""), rank=2),
    Field("host", lambda row: row.device.host if row.device else None, "Host", rank=1),
    Field("device_pk", lambda row: str(row.change.device)),
)
FLAPPER_FIELDS: tuple[Field[Flapper], ...] = (
    _key("user", "User", lambda row: row.last.change.user),
    Field(
        "device", lambda row: row.last.code, "Device", lambda row: (name_or_key(row.last.code), ""), rank=2
    ),
    Field("host", lambda row: row.last.device.host if row.last.device else None, "Host", rank=1),
    Field("transitions", lambda row: row.transitions, "Transitions", right=True),
    _time("last_at", "Last (UTC)", lambda row: row.last.change.at),
    Field(
        "state",
        lambda row: "up" if row.last.change.is_up else "down",
        "Now",
        lambda row: ("up", GOOD) if row.last.change.is_up else ("down", BAD),
    ),
    Field("device_pk", lambda row: str(row.last.change.device)),
)


def _fate(row: SentWrite) -> Styled:
    return row.fate.value, GOOD if row.fate.has_landed else DIM if row.fate is Fate.PENDING else BAD


def _took_s(row: SentWrite) -> float | None:
    """Return how long a write took; None while that is not known, or if the clock was set back meanwhile."""
    took_s = -1.0 if row.ended_at is None else row.ended_at - row.sent_at
    return took_s if took_s >= 0 else None


WRITE_FIELDS: tuple[Field[SentWrite], ...] = (
    _time("sent_at", "Sent (UTC)", lambda row: row.sent_at),
    Field("status", lambda row: row.status.label, "Status", lambda row: _status(row.status)),
    Field("result", lambda row: row.fate.value, "Result", _fate),
    Field(
        "took_s",
        lambda row: None if (took_s := _took_s(row)) is None else round(took_s, 3),
        "Took",
        lambda row: (NOTHING if (took_s := _took_s(row)) is None else duration(took_s), ""),
        rank=2,
        right=True,
    ),
    _key("user", "User", lambda row: row.user),
    Field(
        "signature",
        lambda row: row.signature,
        "Signature",
        short=lambda row: name_or_key(row.signature),
        rank=1,
    ),
)
