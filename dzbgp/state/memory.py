"""What is known of users when a pass begins, and what it leaves behind for the next one."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from msgspec.structs import replace
from solders.pubkey import Pubkey

from dzbgp.console.words import duration
from dzbgp.decision.guard import Past
from dzbgp.decision.memory import flaps, remember
from dzbgp.decision.policy import Clock
from dzbgp.decision.rules import Rules
from dzbgp.errors import ExitCode, reason_of
from dzbgp.ledger.errors import WriteInterruptedError
from dzbgp.ledger.session import LedgerSession
from dzbgp.models.decision import Decision, Decisions
from dzbgp.models.exit import exit_code_of
from dzbgp.models.in_flight import Fate, InFlight, Settled
from dzbgp.models.ledger import BgpStatus, Device, ProgramData, Sighting, User, UserStatus
from dzbgp.models.memory import UserMemory
from dzbgp.models.report import Report
from dzbgp.models.session import Observation
from dzbgp.models.submission import Outcome, Submission
from dzbgp.state.store import Store

_OWN_WRITE_UNSEEN_S = 300.0
KEEP_TRANSITIONS_S = 48 * 3600.0
"""At least: long enough for a day's picture of a user, whatever the flap window."""
NEW_USER_S = 60.0
"""A tunnel is given out again at once: for so long the session of a new user may be its predecessor's."""


@dataclass(frozen=True, slots=True)
class OtherWriters:
    """Who else reports, by device."""

    since_write: Mapping[Pubkey, int] = field(default_factory=dict)
    """How many users were reported since our own last write, or since the last pass."""
    since_pass: frozenset[Pubkey] = frozenset()
    """The devices with a user that was reported since the last pass."""


class Memory:
    """What is known from earlier passes: of this process, and with a store of earlier ones.

    `dry_run`: nothing is changed in the store. Used by one thread at a time.
    """

    def __init__(self, history: Store | None, *, dry_run: bool) -> None:
        self.history = history
        self.users = history.users() if history else {}
        self.is_kept = history is not None
        """Whether it outlives the process."""
        self.in_flight: Mapping[Pubkey, InFlight] = {}
        """The transactions of earlier runs that may still land, by user."""
        self.submitting: frozenset[Pubkey] = frozenset()
        """Users whose write is under way in this process."""
        self.begun: Callable[[], Collection[Pubkey]] = frozenset
        """Returns the users whose write was begun in this process since the pass began."""
        self.take_back: Callable[[], None] = lambda: None
        """Takes back all writes that were decided before and are not signed: they rest on what is out of date."""
        self.unexplained: frozenset[tuple[Pubkey, int]] = frozenset()
        """Neighbors, by device and address, that no user explained when the ledger was read after they were seen."""
        self.dry_run = dry_run

    def hold(self, devices: Iterable[Device]) -> bool:
        """Keep other runs away from these devices.

        Return whether what is remembered was out of date, and was read again. Raises StateLockedError if another run
        writes for one of them.
        """
        if self.history is None or self.dry_run:
            return False
        is_stale = self.history.hold({device.pubkey: device.code for device in devices})
        if is_stale:
            # Before the store takes this run to be up to date: until then it lets nothing be sent.
            self.take_back()
            self.users = self.history.users()
        return is_stale

    def settle_in_flight(self, ledger: LedgerSession, now: float) -> None:
        """Ask the ledger for the fates of writes that were left in flight. Raises a LedgerError.

        To be called before the program data is fetched: what has landed by now must be in it.
        """
        if self.history is not None and self.history.is_unread:
            self.users = self.history.users()
        noted = self.history.in_flight() if self.history else []
        # What this process still follows is in flight; nobody else needs to ask for it.
        followed = [one for one in noted if one.users.keys() & self.submitting]
        sent = [one for one in noted if not one.users.keys() & self.submitting]
        pending = {user: one for one in followed for user in one.users}
        for one, settled in zip(sent, ledger.fates(sent), strict=True):
            if settled.fate is Fate.PENDING:
                pending.update(dict.fromkeys(one.users, one))
                continue
            landed = partial(_landed, sent=one, settled=settled, now=now)
            self.users.update(landed(self.users))
            if self.history is not None and not self.dry_run:
                self.history.settled(one, settled.fate, landed)
        self.in_flight = pending

    def note_landed(self, sent: InFlight, settled: Settled, now: float) -> None:
        """Remember a write of this process whose fate was learned after its time limit: it is nobody else's."""
        self.users.update(_landed(self.users, sent, settled, now))

    def in_flight_why(self, user: User, now: float) -> str:
        """Return why a write of ours may not be in the account as it was read; empty if all of them are."""
        memory, sent = self.users.get(user.pubkey), self.in_flight.get(user.pubkey)
        if sent is not None:
            # Sent in the future: the clock was set back.
            when = f", sent {duration(now - sent.sent_at)} ago" if now >= sent.sent_at else ""
            return f"an earlier write may still land{when} ({sent.signature})"
        if user.pubkey in self.submitting:
            return "an earlier write of this process may still land"
        # An answer from before our own last write (a node behind, or the cache), or from after a fork that undid it: it
        # may land again. Slots of a ledger that began again since (a local one) must not block for good. The clock may
        # have been set back since the write.
        if (
            memory is not None
            and memory.written_slot is not None
            and memory.written_at is not None
            and memory.written_slot > user.last_bgp_reported_at
            and abs(now - memory.written_at) < _OWN_WRITE_UNSEEN_S
        ):
            return f"our last write landed in slot {memory.written_slot}, and the account does not show it"
        return ""

    def after(
        self, observation: Observation, now: float, rules: Rules, seen_at: float, *, is_believed: bool
    ) -> UserMemory:
        """Return what is remembered of a user after an observation of a pass that began at `now`.

        `is_believed`: whether the ledger that showed the user is.
        """
        keep_s = max(KEEP_TRANSITIONS_S, rules.flap_window_s)
        before = self.users.get(observation.user.pubkey)
        return remember(before, observation, now, keep_s, seen_at, is_believed=is_believed)

    def is_older_than(self, age_s: float, now: float) -> bool:
        """Return whether the first user was seen that long ago, or before the clock was set back."""
        return any(
            memory.first_seen_at is None or not 0 <= now - memory.first_seen_at < age_s
            for memory in self.users.values()
        )

    def past(
        self,
        now: float,
        part_of: Callable[[Collection[Pubkey]], Collection[Pubkey]] = lambda devices: devices,
    ) -> Past:
        """Return what the guard has to know: a Down that may still land weighs as if it had.

        `part_of`: which devices belong to the part of the fleet that the guard sees. Other shards may share the state
        file.
        """
        landing = {
            key: replace(
                memory,
                written_at=now,
                written_slot=None,
                written_status=BgpStatus.DOWN,
                written_acknowledged=_is_acknowledged(memory, BgpStatus.DOWN),
            )
            for key, sent in self.in_flight.items()
            if sent.users[key] is BgpStatus.DOWN and (memory := self.users.get(key)) is not None
        }
        released = self.history.releases() if self.history else {}
        memories = self.users | landing if landing else self.users
        devices = {one.device for one in memories.values()}
        part = part_of(devices)
        if len(part) < len(devices):
            memories = {key: one for key, one in memories.items() if one.device in part}
        return Past(memories, self.is_kept, released, self.dry_run)

    def forget_departed(self, data: ProgramData) -> None:
        """Forget users who left the ledger or are no longer activated.

        What is in flight stays so until its fate is known: a user may only be missing on a node that lags. Of devices
        whose users were not asked for nothing is known.
        """
        gone = [key for key in self.users if self._has_departed(key, data)]
        for key in gone:
            del self.users[key]
        if self.history is not None and not self.dry_run:
            self.history.forget_users(gone)

    def _has_departed(self, key: Pubkey, data: ProgramData) -> bool:
        user, memory = data.users.get(key), self.users.get(key)
        if user is not None:
            return user.status is not UserStatus.ACTIVATED
        return data.scope is None or (memory is not None and memory.device in data.scope)

    def other_writers(self, users: Iterable[User]) -> OtherWriters:
        """Return where another writer reported: another holder of the key of the device's publisher.

        To be asked before this pass is remembered and before it writes.
        """
        counts: Counter[Pubkey] = Counter()
        fresh = set()
        ours = self.in_flight.keys() | self.submitting | set(self.begun())
        for user in users:
            memory = self.users.get(user.pubkey)
            if memory is None or user.pubkey in ours:
                continue
            if memory.is_slot_unknown and user.bgp_status is memory.written_status:
                continue  # our own
            reported, written = user.last_bgp_reported_at, memory.written_slot
            is_fresh = memory.reported_slot is not None and reported > max(memory.reported_slot, written or 0)
            if is_fresh:
                fresh.add(user.device_pk)
            if is_fresh or (written is not None and reported > written):
                counts[user.device_pk] += 1
        return OtherWriters(counts, frozenset(fresh))

    def keep(self, decisions: Decisions) -> None:
        """Remember what these decisions rest on.

        Saved before anything is sent: a run that is killed while it sends has not forgotten what it saw.
        """
        seen = {user: one.memory for user, one in decisions.items() if one.memory is not None}
        self.users.update(seen)
        if self.history is not None and not self.dry_run:
            self.history.keep_users(seen)

    def keep_written(
        self, decisions: Iterable[Decision], submissions: Mapping[Pubkey, Submission], now: float
    ) -> None:
        """Note what was written, when and in which slot."""
        changed = {}
        for decision in decisions:
            submission, memory = submissions.get(decision.user), self.users.get(decision.user)
            if submission is None or memory is None or submission.slot is None:
                continue
            if submission.outcome not in {Outcome.CONFIRMED, Outcome.FINALIZED}:
                continue
            changed[decision.user] = self.users[decision.user] = replace(
                memory,
                written_at=now,
                written_slot=submission.slot,
                written_status=decision.status,
                written_acknowledged=decision.is_acknowledged,
                reported_slot=submission.slot,
            )
        if self.history is not None and not self.dry_run:
            self.history.keep_written(changed)

    def end(self, report: Report, totals: Mapping[str, int], floor: Sighting | None) -> None:
        """Note a pass, and the highest slot that the ledger is known to have reached, which no later run goes below."""
        if self.history is not None and not self.dry_run:
            if floor is not None:
                self.history.raise_floor(floor)
            self.history.end_run(
                report.started_at.timestamp(),
                report.duration_s,
                totals,
                int(exit_code_of(report)),
                report.devices,
            )

    def fail(
        self, error: BaseException, started_at: float, duration_s: float, *, is_begun: bool = False
    ) -> None:
        """Note a pass that came to no report; `started_at` is in Unix seconds. `is_begun`: it may have written."""
        if self.history is not None and not self.dry_run:
            is_begun |= isinstance(error, WriteInterruptedError)
            code = ExitCode.PARTIAL if is_begun else ExitCode.COULD_NOT_RUN
            self.history.end_run(started_at, duration_s, {}, int(code), error=reason_of(error))

    def notes(self, users: Collection[Pubkey], clock: Clock, rules: Rules) -> list[str]:
        """Return which of the users flap, and what is wrong with the store."""
        problems = self.history.problems if self.history else []
        return [*_flap_notes(self.users, users, clock, rules), *problems]


def _is_acknowledged(memory: UserMemory, status: BgpStatus) -> bool:
    """Whether a write of an earlier run counts for nothing in the guard: a Down after a Down turns nobody Down."""
    if memory.is_slot_unknown:
        return memory.written_acknowledged
    return status is BgpStatus.DOWN and memory.written_status is BgpStatus.DOWN


def _landed(
    users: Mapping[Pubkey, UserMemory], sent: InFlight, settled: Settled, now: float
) -> dict[Pubkey, UserMemory]:
    """Return the memories of users whose write landed after its run had ended: it is our own, not another writer's."""
    return {
        key: replace(
            memory,
            written_at=now,
            written_slot=slot,
            reported_slot=slot,
            written_status=sent.users[key],
            written_acknowledged=_is_acknowledged(memory, sent.users[key]),
        )
        for key, slot in settled.landed.items()
        if (memory := users.get(key)) is not None and (memory.written_slot or 0) < slot
    }


def _flap_notes(
    memories: Mapping[Pubkey, UserMemory], users: Collection[Pubkey], clock: Clock, rules: Rules
) -> list[str]:
    counts = {
        user: count
        for user in users
        if (count := flaps(memories.get(user), clock.now, rules.flap_window_s)) > 1
    }
    worst = sorted(((count, str(key)) for key, count in counts.items()), reverse=True)
    if not worst:
        return []
    named = ", ".join(f"{key} ({count})" for count, key in worst[:5])
    more = f" and {len(worst) - 5} more" if len(worst) > 5 else ""  # noqa: PLR2004 - as many as are named
    return [f"Flapping, with the transitions of the last {rules.flap_window_s / 60:.0f} min: {named}{more}."]
