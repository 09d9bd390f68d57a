"""Writes onchain in a thread of its own, so that a slow ledger never delays the next pass."""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from solders.pubkey import Pubkey

from dzbgp.errors import DzbgpError
from dzbgp.ledger.program.instruction import Write
from dzbgp.ledger.session import LedgerSession, WriteResult
from dzbgp.ledger.submit.journal import Journal
from dzbgp.ledger.submit.reread import Authorize, Reread
from dzbgp.ledger.submit.signers import Signers
from dzbgp.models.decision import Decision
from dzbgp.models.ledger import BgpStatus
from dzbgp.models.submission import Outcome, Refusal, Submission
from dzbgp.run.plan import write_of
from dzbgp.state.in_flight import InFlightLog

log = logging.getLogger(__name__)

CAPACITY = 256
"""How many users may wait, as in upstream's queue. What does not fit is due again in the next pass."""

_SUPERSEDED = Refusal("superseded", "a later pass decided differently")


@dataclass(frozen=True, slots=True)
class Finished:
    """A round of writes and its result."""

    decisions: tuple[Decision, ...]
    result: WriteResult


@dataclass(frozen=True, slots=True)
class QueueState:
    """The state of the queue when a pass begins."""

    finished: tuple[Finished, ...]
    """The rounds that ended since the last time."""
    busy: frozenset[Pubkey]
    """Users whose write is being made."""


class SubmitWorker:
    """A bounded queue with the newest decision about each user, and the thread that makes the writes.

    What is queued, or not signed yet, is only valid as long as each later pass decides the same: see `keep_only`.
    """

    def __init__(
        self,
        ledger: LedgerSession,
        signers: Callable[[], Signers],
        authorize: Callable[[], Authorize],
        journal: Journal | None,
        capacity: int = CAPACITY,
    ) -> None:
        self._ledger = ledger
        self._signers = signers
        self._may_sign = authorize
        self.in_flight = InFlightLog(journal)
        self._capacity = capacity
        self._waiting: dict[Pubkey, Decision] = {}
        self._busy: dict[Pubkey, BgpStatus | None] = {}
        self._superseded: set[Pubkey] = set()
        """Busy users that must not be signed (again)."""
        self._begun: set[Pubkey] = set()
        self._finished: list[Finished] = []
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="submit", daemon=True)
        self._thread.start()

    def begin_pass(self) -> QueueState:
        """Return the queue's state, and note from here on whose writes are begun.

        What the pass reads from the ledger may be older than such a write, even if that has ended when the pass comes
        to its decisions. So `offer` refuses these users until the next pass begins.
        """
        with self._changed:
            self._begun = set(self._busy)
            finished, self._finished = self._finished, []
            return QueueState(tuple(finished), frozenset(self._busy))

    def keep_only(self, wanted: Mapping[Pubkey, BgpStatus]) -> None:
        """Take back every write that is not `wanted` any more; after a pass that failed, that is every write.

        A queued write leaves the queue. One that is being made is not signed (again); if it was sent, it may land.
        """
        with self._changed:
            for user, decision in list(self._waiting.items()):
                if wanted.get(user) is not decision.status:
                    del self._waiting[user]
            self._superseded |= {
                user for user, status in self._busy.items() if wanted.get(user) is not status
            }

    def offer(self, decisions: Iterable[Decision]) -> int:
        """Queue what was decided; of a user the newest decision. Return how many did not fit.

        A user whose write was begun since the pass began is refused: that write's fate comes first.
        """
        dropped = 0
        with self._changed:
            for decision in decisions:
                user = decision.user
                if self._stopping or user in self._busy or user in self._begun:
                    log.debug("user %s: its write has begun", user)
                elif user not in self._waiting and len(self._waiting) >= self._capacity:
                    dropped += 1
                else:
                    self._waiting[user] = decision
            self._changed.notify_all()
        return dropped

    def busy(self) -> frozenset[Pubkey]:
        """Return the users whose write is being made."""
        with self._changed:
            return frozenset(self._busy)

    def begun(self) -> frozenset[Pubkey]:
        """Return the users whose write was under way when the pass began, or was begun since."""
        with self._changed:
            return frozenset(self._begun)

    def waiting(self) -> frozenset[Pubkey]:
        """Return the users whose write has not begun."""
        with self._changed:
            return frozenset(self._waiting)

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until nothing waits and nothing is being made."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._busy, timeout_s)

    def stop(self, wait_s: float) -> bool:
        """Begin nothing more, wait up to `wait_s` for what is being made, and return whether the thread has ended."""
        with self._changed:
            self._stopping = True
            abandoned = len(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()
        if abandoned:
            log.warning("stopping: %d writes had not begun; they are due again at the next start", abandoned)
        if self._thread.is_alive():
            self._ledger.stop_writing("stopping")
            self._thread.join(wait_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopping)
                if self._stopping:
                    return
                decisions = tuple(self._waiting.values())
                self._busy = {decision.user: decision.status for decision in decisions}
                self._begun |= self._busy.keys()
                self._waiting.clear()
            result = self._write(decisions)
            with self._changed:
                self._finished.append(Finished(decisions, result))
                self._busy = {}
                self._superseded.clear()
                self._changed.notify_all()

    def _write(self, decisions: tuple[Decision, ...]) -> WriteResult:
        may_sign = self._may_sign()

        def authorize(writes: Sequence[Write], reread: Reread) -> Mapping[Pubkey, Refusal]:
            refused = may_sign(writes, reread)
            with self._changed:
                superseded = self._superseded & {write.user for write in writes}
            return {**refused, **dict.fromkeys(superseded, _SUPERSEDED)}

        try:
            return self._ledger.write(
                [write_of(decision) for decision in decisions],
                self._signers(),
                journal=self.in_flight,
                authorize=authorize,
            )
        except DzbgpError as error:
            log.error("submission: %s", error)  # noqa: TRY400 - one line
            why = str(error)
        except Exception as error:
            # An internal error must not end the thread that all later writes depend on. At the end the ledger's own
            # thread may be gone before this one: that is not an error.
            if not self._stopping:
                log.exception("submission")
            why = f"internal error ({type(error).__name__}); it may have been sent"
        return WriteResult(
            {
                one.user: Submission(one.user, Outcome.FAILED, error=why, status=one.status)
                for one in decisions
            }
        )
