"""What a pass recalls when it begins, and what it leaves behind for the next one."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from solders.pubkey import Pubkey

from dzbgp.decision.guard import Guarded
from dzbgp.decision.history import flaps, remember
from dzbgp.decision.policy import Clock
from dzbgp.decision.rules import Rules
from dzbgp.ledger.session import LedgerSession
from dzbgp.models.decision import Action, Decision, UserMemory
from dzbgp.models.in_flight import Fate, InFlight, Settled
from dzbgp.models.ledger import BgpStatus, ProgramData, UserStatus
from dzbgp.models.report import Outcome, Report, Submission
from dzbgp.models.session import Observation
from dzbgp.state.store import History

_OWN_WRITE_UNSEEN_S = 300.0
KEEP_TRANSITIONS_S = 48 * 3600.0
"""At least: long enough for a day's picture of a user, whatever the flap window."""


class Recall:
    """What is known from earlier passes: of this process, and with a history of earlier ones.

    `dry_run`: nothing is changed in the history. Used by one thread at a time.
    """

    def __init__(self, history: History | None, *, dry_run: bool) -> None:
        self.history = history
        self.users = history.users() if history else {}
        self.in_flight: frozenset[Pubkey] = frozenset()
        """Users with a write of an earlier run that may still land."""
        self._flying: dict[Pubkey, BgpStatus] = {}
        self.submitting: frozenset[Pubkey] = frozenset()
        """Users whose write is under way in this process."""
        self._dry_run = dry_run

    def settle_flights(self, ledger: LedgerSession, now: float) -> None:
        """Asks the ledger what became of writes that were left in flight. Raises a LedgerError.

        To be called before the program data is fetched: what has landed by now must be in it.
        """
        sent = self.history.in_flight() if self.history else []
        flying: dict[Pubkey, BgpStatus] = {}
        for one, settled in zip(sent, ledger.fates(sent), strict=True):
            if settled.fate is Fate.PENDING:
                flying.update(one.users)
                continue
            self.users.update(_landed(self.users, one, settled, now))
            if self.history is not None and not self._dry_run:
                self.history.ended(one.signature, settled.fate)
                self.history.keep_users({key: self.users[key] for key in one.users if key in self.users})
        self._flying, self.in_flight = flying, frozenset(flying)

    def may_still_land(self, user: Pubkey, slot: int, now: float) -> bool:
        """Says whether a write of ours may not be in the ledger as it was read in `slot`."""
        memory = self.users.get(user)
        if user in self.in_flight or user in self.submitting:
            return True
        # An answer from before our own last write: a node behind, or the cache. Slots of a ledger that began
        # anew since (a local one) must not block for good.
        return (
            memory is not None
            and memory.written_slot is not None
            and memory.written_at is not None
            and memory.written_slot > slot
            and now - memory.written_at < _OWN_WRITE_UNSEEN_S
        )

    def weighed(self, now: float) -> Mapping[Pubkey, UserMemory]:
        """Gives the memories for the guard: a Down that may still land weighs as if it had."""
        landing = {
            key: replace(
                memory, written_at=now, written_status=BgpStatus.DOWN, written_acknowledged=_is_down(memory)
            )
            for key, status in self._flying.items()
            if status is BgpStatus.DOWN and (memory := self.users.get(key)) is not None
        }
        return self.users | landing if landing else self.users

    def forget_departed(self, data: ProgramData) -> None:
        """Forgets users who left the ledger or are no longer activated, and that they are in flight.

        Of devices whose users were not asked for nothing is known.
        """
        gone = [key for key in {*self.users, *self.in_flight} if self._has_departed(key, data)]
        for key in gone:
            self.users.pop(key, None)
        self.in_flight -= frozenset(gone)
        if self.history is not None and not self._dry_run:
            self.history.forget_users(gone)

    def _has_departed(self, key: Pubkey, data: ProgramData) -> bool:
        user, memory = data.users.get(key), self.users.get(key)
        if user is not None:
            return user.status is not UserStatus.ACTIVATED
        return data.scope is None or (memory is not None and memory.device in data.scope)

    def learn(
        self, observations: Iterable[Observation], now: float, rules: Rules, seen_at: float | None = None
    ) -> None:
        """Takes in what a pass, begun at `now`, has seen until `seen_at` (default: the same)."""
        keep_s = max(KEEP_TRANSITIONS_S, rules.flap_window_s)
        for observation in observations:
            key = observation.user.pubkey
            memory = remember(self.users.get(key), observation, now, keep_s, seen_at)
            if memory is not None:
                self.users[key] = memory

    def keep_guarded(self, guarded: Guarded, decisions: Sequence[Decision]) -> None:
        """Counts the passes in which the guard held each Down, and saves all that was learned so far.

        Saved before anything is sent: a run that is killed while it sends has not forgotten what it saw.
        """
        saved = self.history is not None and not self._dry_run
        seen = {}
        for decision in decisions:
            key = decision.observation.user.pubkey
            memory = self.users.get(key)
            if memory is not None:
                passes = _held_passes(decision, memory, guarded)
                if passes != memory.held_passes:
                    memory = replace(memory, held_passes=passes)
                self.users[key] = memory
                if saved:
                    seen[key] = memory
        if self.history is not None and saved:
            self.history.keep_users(seen)

    def keep_written(
        self,
        decisions: Iterable[Decision],
        submissions: Mapping[Pubkey, Submission],
        acknowledged: Collection[Pubkey],
        now: float,
    ) -> None:
        """Notes what was written, when and in which slot."""
        changed = {}
        for decision in decisions:
            key = decision.observation.user.pubkey
            submission, memory = submissions.get(key), self.users.get(key)
            if submission is None or memory is None or submission.slot is None:
                continue
            if submission.outcome not in {Outcome.CONFIRMED, Outcome.FINALIZED}:
                continue
            changed[key] = self.users[key] = replace(
                memory,
                written_at=now,
                written_slot=submission.slot,
                written_status=decision.status,
                written_acknowledged=key in acknowledged,
            )
        if self.history is not None and not self._dry_run:
            self.history.keep_users(changed)

    def end(self, report: Report, totals: Mapping[str, int]) -> None:
        """Notes the run."""
        if self.history is not None and not self._dry_run:
            self.history.end_run(report.started_at.timestamp(), report.duration_s, totals)

    def notes(
        self, data: ProgramData, decisions: Sequence[Decision], clock: Clock, rules: Rules
    ) -> list[str]:
        """Says which users flap, and which somebody else reports on, and what is wrong with the history."""
        problems = self.history.problems if self.history else []
        return [
            *_flap_notes(self.users, decisions, clock, rules),
            *_foreign_notes(self.users, self.in_flight | self.submitting, data, decisions),
            *problems,
        ]


def _held_passes(decision: Decision, memory: UserMemory, guarded: Guarded) -> int:
    """What was held long enough stays so until it is Down onchain: its write may fail, or be killed."""
    key, onchain = decision.observation.user.pubkey, decision.observation.user.bgp_status
    if key in guarded.held:
        return memory.held_passes + 1
    if onchain is not BgpStatus.UP or (decision.action is Action.SUBMIT and key not in guarded.acknowledged):
        return 0
    return memory.held_passes


def _is_down(memory: UserMemory) -> bool:
    """What was Down before was turned Down by an earlier write; another one counts for nothing in the guard."""
    return memory.written_status is BgpStatus.DOWN


def _landed(
    users: Mapping[Pubkey, UserMemory], sent: InFlight, settled: Settled, now: float
) -> dict[Pubkey, UserMemory]:
    """A write that landed after its run had ended is our own, not another writer's."""
    return {
        key: replace(
            memory,
            written_at=now,
            written_slot=slot,
            written_status=sent.users[key],
            written_acknowledged=sent.users[key] is BgpStatus.DOWN and _is_down(memory),
        )
        for key, slot in settled.landed.items()
        if (memory := users.get(key)) is not None and (memory.written_slot or 0) < slot
    }


def _flap_notes(
    users: Mapping[Pubkey, UserMemory], decisions: Sequence[Decision], clock: Clock, rules: Rules
) -> list[str]:
    counts = {
        decision.observation.user.pubkey: count
        for decision in decisions
        if (count := flaps(users.get(decision.observation.user.pubkey), clock.now, rules.flap_window_s)) > 1
    }
    worst = sorted(((count, str(key)) for key, count in counts.items()), reverse=True)
    if not worst:
        return []
    named = ", ".join(f"{key} ({count})" for count, key in worst[:5])
    more = f" and {len(worst) - 5} more" if len(worst) > 5 else ""  # noqa: PLR2004 - as many as are named
    return [f"Flapping, with the transitions of the last {rules.flap_window_s / 60:.0f} min: {named}{more}."]


def _foreign_notes(
    users: Mapping[Pubkey, UserMemory],
    flying: Collection[Pubkey],
    data: ProgramData,
    decisions: Sequence[Decision],
) -> list[str]:
    """Only the device's publisher can write, so another writer is another holder of that key."""
    found: dict[Pubkey, int] = defaultdict(int)
    for decision in decisions:
        user = decision.observation.user
        memory = users.get(user.pubkey)
        if user.pubkey in flying or memory is None or memory.written_slot is None:
            continue
        if user.last_bgp_reported_at > memory.written_slot:
            found[user.device_pk] += 1
    return [
        f"Another writer reports on {data.devices[device].code}: {count} users were reported since our last write "
        f"there, with the key of {data.devices[device].metrics_publisher_pk} (an agent on the device?)."
        for device, count in found.items()
    ]
