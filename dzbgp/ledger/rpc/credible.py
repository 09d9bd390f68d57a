"""Whether an RPC is believed: its ledger moves, is not behind, and agrees with this machine's clock.

Pure rules, and a small record of what was seen. Nothing here reads a clock or asks an RPC.
"""

from dataclasses import dataclass, field, replace

from dzbgp.models.ledger import Sighting
from dzbgp.models.moment import Moment

MOTION_S = 2.0
"""Two reads this far apart show whether a ledger moves: by a slot in this time at least."""
MOTION_WINDOW_S = 60.0
"""A ledger that was halted in between need not make up for more than this."""
FASTEST_S = 0.1
SLOWEST_S = 2.0
"""Seconds a slot. A rate outside of these bounds is not believed."""
SLACK_SLOTS = 16
"""The nodes behind one URL may differ by this much."""
ABSURD_SLOTS = 1_000_000
"""No ledger is this far beyond what the elapsed time allows."""
_ALIKE_S = 10.0


def slot_time(seconds_per_slot: float | None) -> float | None:
    """Return a cluster's slot time in seconds; None if it is unknown or outside the bounds."""
    if seconds_per_slot is None or not FASTEST_S <= seconds_per_slot <= SLOWEST_S:
        return None
    return seconds_per_slot


def raised(floor: Sighting | None, seen: Sighting) -> Sighting:
    """Return the floor after a slot was seen.

    It rises by no more than the elapsed time allows, so one absurd slot does not rule out every later answer. Of the
    two clocks the one by which more time passed counts: by this machine's, once it was set back, the floor would stay
    so far below what was seen that a ledger which does not advance seems to.
    """
    if floor is None:
        return seen
    if seen.slot <= floor.slot:
        return replace(floor, at=min(floor.at, seen.at))
    elapsed_s = max(0.0, seen.at - floor.at)
    if seen.ledger_at is not None and floor.ledger_at is not None:
        elapsed_s = max(elapsed_s, seen.ledger_at - floor.ledger_at)
    most = floor.slot + SLACK_SLOTS + int(elapsed_s / FASTEST_S)
    return replace(seen, slot=min(seen.slot, most))


def slots_due(elapsed_s: float) -> int:
    """Return how many slots a ledger must have moved on in these seconds; 0 if they are too few to tell."""
    return int(min(elapsed_s, MOTION_WINDOW_S) / MOTION_S) if elapsed_s >= MOTION_S else 0


@dataclass(frozen=True, slots=True)
class _Reading:
    """A slot, and when it was read."""

    slot: int
    at: Moment


@dataclass(slots=True)
class _RpcRecord:
    """What was seen of one RPC: the first and the newest slot, and how far its time is off, in seconds."""

    first_slot: int
    slot: int
    behind_s: float | None = None


@dataclass(slots=True)
class Credibility:
    """Decides which readings of the Clock sysvar to believe: its time may differ from ours by `max_lag_s`."""

    max_lag_s: float = 60.0
    floor: Sighting | None = None
    """The highest slot that any answer is known to have reached. No read may be older."""
    _last: _Reading | None = None
    """The reading that motion is measured from: it is renewed when it is MOTION_S old."""
    _rpcs: dict[str, _RpcRecord] = field(default_factory=dict)

    @property
    def least_slot(self) -> int:
        """Return the slot that every answer must have reached."""
        return self.floor.slot if self.floor else 0

    def is_absurd(self, slot: int, now: Moment) -> bool:
        """Return whether no ledger can have reached `slot` since the last credible reading."""
        last = self._last
        return last is not None and slot > last.slot + ABSURD_SLOTS + max(0.0, self._age_s(now)) / FASTEST_S

    def restore(self, floor: Sighting | None) -> None:
        """Start from the floor of earlier runs."""
        if floor is not None and (self.floor is None or floor.slot > self.floor.slot):
            self.floor, self._last = floor, _Reading(floor.slot, Moment(floor.at))

    def forget(self) -> None:
        """Forget what was seen: it may be of another ledger."""
        self.floor = self._last = None
        self._rpcs.clear()

    def must_reach(self, slot: int) -> None:
        """Let no later answer be older than `slot`, in which one of our own writes landed."""
        last = self._last
        if slot > self.least_slot and not (last and slot > last.slot + ABSURD_SLOTS):
            self.floor = replace(self.floor, slot=slot) if self.floor else Sighting(slot, 0.0)

    def doubt(self, where: str, slot: int, ledger_at: float | None, now: Moment) -> str | None:
        """Return why a reading is not believed, None if it is. `ledger_at`: the Clock's Unix time, if there is one."""
        record = self._rpcs.setdefault(where, _RpcRecord(slot, slot))
        record.slot, record.behind_s = slot, None if ledger_at is None else now.unix - ledger_at
        if slot < self.least_slot:
            return f"it is at slot {slot}, but slot {self.least_slot} was seen before"
        age_s = self._age_s(now)
        if self._last and slot < self._last.slot + slots_due(age_s):
            return f"it does not advance: slot {slot}, and {self._last.slot} was seen {age_s:.0f} s before"
        if record.behind_s is not None and abs(record.behind_s) > self.max_lag_s:
            side = "behind" if record.behind_s > 0 else "ahead of"
            return f"its time is {abs(record.behind_s):.0f} s {side} this machine's clock"
        return None

    def needs_another_reading(self, ledger_at: float | None, now: Moment) -> float:
        """Return after how many seconds a reading must be repeated to show motion; 0 if it need not.

        Only where there is no Clock to read: then only the slots show that a ledger does not advance.
        """
        return 0.0 if ledger_at is not None else max(0.0, MOTION_S - max(0.0, self._age_s(now)))

    def believe(self, slot: int, ledger_at: float | None, now: Moment) -> None:
        """Take in a credible reading."""
        self.floor = raised(self.floor, Sighting(slot - SLACK_SLOTS, now.unix, ledger_at))
        if self._last is None or not 0 <= self._age_s(now) < MOTION_S:
            self._last = _Reading(slot, now)

    def _age_s(self, now: Moment) -> float:
        """Return how old the reading is that motion is measured from: 0 without one, less than 0 if it is to come."""
        return self._last.at.seconds_until(now) if self._last else 0.0

    def verdict_on_clock(self) -> str:
        """Return a sentence about this machine's clock if every RPC moves and differs too much from it, and alike."""
        off = [record.behind_s for record in self._rpcs.values() if record.behind_s is not None]
        moves = all(record.slot > record.first_slot for record in self._rpcs.values())
        if len(off) < len(self._rpcs) or not off or not moves or max(off) - min(off) > _ALIKE_S:
            return ""
        if min(map(abs, off)) <= self.max_lag_s:
            return ""
        return "All RPCs advance and differ by the same time: this machine's clock may be wrong (see timedatectl)."
