"""What every format of a listing prints: rows, the fields of a row, and counts."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from dzbgp.decision.policy import Clock
from dzbgp.ledger.program.snapshot import Snapshot
from dzbgp.models.ledger import BgpStatus, User, UserStatus

R = TypeVar("R")

Value = str | int | float | bool | list[str] | None
"""A value of JSON and CSV."""
Styled = tuple[str, str]
"""Text for a terminal, and the name of its style."""

NOTHING = "-"


@dataclass(frozen=True, slots=True)
class Field(Generic[R]):
    """One field of a row. Without a `title` it is in JSON and CSV only."""

    name: str
    """Its name in JSON, CSV, --sort and --columns."""
    value: Callable[[R], Value]
    title: str = ""
    text: Callable[[R], Styled] | None = None
    """What a terminal shows; None: the value."""
    short: Callable[[R], str] | None = None
    """The same where space is scarce."""
    rank: int = 0
    """When it leaves the row's line on a narrow terminal: 1 leaves first, 0 stays."""
    right: bool = False
    order: Callable[[R], Any] | None = None
    """What rows are sorted by; None: the value. Rows without a value come last."""

    def shown(self, row: R) -> Styled:
        """Return the text for a terminal."""
        if self.text is not None:
            return self.text(row)
        value = self.value(row)
        return (NOTHING if value is None or value == "" else str(value)), ""

    def key(self, row: R) -> Any:
        """Return what to sort by."""
        key = self.order(row) if self.order else self.value(row)
        return key.casefold() if isinstance(key, str) else key


@dataclass(frozen=True, slots=True)
class BgpCounts:
    """Activated users by what the ledger says of their sessions. `stale` ones are in `up` or `down` too."""

    users: int = 0
    up: int = 0
    down: int = 0
    unknown: int = 0
    stale: int = 0


@dataclass(frozen=True, slots=True)
class DeviceCounts:
    """The counts of one device. `pubkey` is that of the account, which may be gone."""

    device: str
    pubkey: str
    counts: BgpCounts


@dataclass(frozen=True, slots=True)
class Source:
    """Where and when rows were read."""

    env: str
    program_id: str
    slot: int
    seconds_per_slot: float
    fetched_at: datetime
    stale_after_s: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Listing(Generic[R]):
    """The result of one command that reads the ledger."""

    noun: str
    """What a row is: `user` or `device`."""
    source: Source
    fields: tuple[Field[R], ...]
    rows: tuple[R, ...]
    total: int
    """How many there are without the filters."""
    counts: BgpCounts
    devices: tuple[DeviceCounts, ...] | None = None
    """The rows' users by device; None where each row is a device."""
    columns: tuple[str, ...] = ()
    """The fields that were asked for; none: all."""

    @property
    def chosen(self) -> tuple[Field[R], ...]:
        """The fields of tables and CSV, in the order of --columns."""
        by_name = {item.name: item for item in self.fields}
        return tuple(by_name[name] for name in self.columns) or self.fields

    @property
    def titled(self) -> tuple[tuple[str, Field[R]], ...]:
        """Titles and fields of a table. A field without a title is shown only if --columns names it."""
        return tuple((item.title or item.name, item) for item in self.chosen if item.title or self.columns)


@dataclass(frozen=True, slots=True)
class Ages:
    """Turns slots into ages with the cluster's own rate. A report older than `stale_after_s` is stale."""

    clock: Clock
    stale_after_s: float

    def since(self, slot: int) -> float | None:
        """Return the seconds since `slot`, None for a slot that never was (0)."""
        return round(self.clock.age_s(slot), 1) if slot else None

    def is_stale(self, user: User) -> bool:
        """Return whether an activated user's report is stale; a user that was never reported is not."""
        if user.status is not UserStatus.ACTIVATED or not user.last_bgp_reported_at:
            return False
        return self.clock.age_s(user.last_bgp_reported_at) > self.stale_after_s

    def count(self, users: Iterable[User]) -> BgpCounts:
        """Count the activated ones of `users`."""
        active = [user for user in users if user.status is UserStatus.ACTIVATED]
        up, down = (sum(user.bgp_status is one for user in active) for one in (BgpStatus.UP, BgpStatus.DOWN))
        stale = sum(map(self.is_stale, active))
        return BgpCounts(len(active), up, down, len(active) - up - down, stale)


def arranged(rows: Iterable[R], fields: Sequence[Field[R]], wanted: Sequence[tuple[str, bool]]) -> list[R]:
    """Sort by (field, descending), the first field first. Rows without a value come last in both directions."""
    by_name = {item.name: item for item in fields}
    found = list(rows)
    for name, descending in reversed(wanted):
        known = [row for row in found if by_name[name].key(row) is not None]
        missing = [row for row in found if by_name[name].key(row) is None]
        found = sorted(known, key=by_name[name].key, reverse=descending) + missing
    return found


def sorting(columns: Sequence[str]) -> list[tuple[str, bool]]:
    """Return (field, descending) of `NAME` and `-NAME`."""
    return [(name.removeprefix("-"), name.startswith("-")) for name in columns]


def source_of(snapshot: Snapshot, stale_after_s: float) -> Source:
    """Return where and when `snapshot` was read."""
    data = snapshot.data
    return Source(
        env=snapshot.env,
        program_id=snapshot.program_id,
        slot=data.slot,
        seconds_per_slot=data.seconds_per_slot,
        fetched_at=data.fetched_at,
        stale_after_s=stale_after_s,
        notes=data.notes,
    )


def ages_of(snapshot: Snapshot, stale_after_s: float) -> Ages:
    """Return the clock that turns the snapshot's slots into ages."""
    return Ages(Clock(snapshot.data.slot, snapshot.data.seconds_per_slot), stale_after_s)
