"""Writes onchain in a thread of its own, so that a slow ledger never delays the next pass."""

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from solders.pubkey import Pubkey

from dzbgp.errors import DzbgpError
from dzbgp.ledger.program.instruction import Write
from dzbgp.ledger.session import LedgerSession, WriteResult
from dzbgp.ledger.submit.journal import Journal
from dzbgp.ledger.submit.signers import Signers
from dzbgp.models.decision import Decision
from dzbgp.models.report import Outcome, Submission
from dzbgp.state.in_flight import InFlightLog

log = logging.getLogger(__name__)

CAPACITY = 256
"""How many users may wait. As upstream's queue: what does not fit is due again in the next pass."""


@dataclass(frozen=True, slots=True)
class Job:
    """One user's write, the decision that it came from, and whether the guard would have held it."""

    write: Write
    decision: Decision
    acknowledged: bool


@dataclass(frozen=True, slots=True)
class Finished:
    """A round of writes, and what became of it."""

    jobs: tuple[Job, ...]
    result: WriteResult


@dataclass(frozen=True, slots=True)
class QueueState:
    """How far the worker is when a pass begins."""

    finished: tuple[Finished, ...]
    """The rounds that have ended since the last time."""
    busy: frozenset[Pubkey]
    """Users whose write is under way."""


class SubmitWorker:
    """A bounded queue of writes, the newest of each user, and the thread that carries them out."""

    def __init__(
        self,
        ledger: LedgerSession,
        signers: Callable[[], Signers],
        journal: Journal | None,
        capacity: int = CAPACITY,
    ) -> None:
        self._ledger = ledger
        self._signers = signers
        self.in_flight = InFlightLog(journal)
        self._capacity = capacity
        self._waiting: dict[Pubkey, Job] = {}
        self._busy: frozenset[Pubkey] = frozenset()
        self._begun: set[Pubkey] = set()
        self._finished: list[Finished] = []
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="submit", daemon=True)
        self._thread.start()

    def begin_pass(self) -> QueueState:
        """Says how far the worker is, and from here on notes whose writes it begins.

        What the pass reads from the ledger may be from before such a write, even if it has ended by the time the
        pass has come to a decision; so `offer` refuses these users until the next pass begins.
        """
        with self._changed:
            self._begun = set(self._busy)
            finished, self._finished = self._finished, []
            return QueueState(tuple(finished), self._busy)

    def offer(self, jobs: Iterable[Job]) -> int:
        """Puts writes in the queue; of a user that waits already the newest status counts.

        Gives how many did not fit. A user whose write has begun since the pass began is refused: its fate comes first.
        """
        dropped = 0
        with self._changed:
            for job in jobs:
                user = job.write.user
                if self._stopping or user in self._busy or user in self._begun:
                    log.debug("user %s: a write of it has begun meanwhile", user)
                elif user not in self._waiting and len(self._waiting) >= self._capacity:
                    dropped += 1
                else:
                    self._waiting[user] = job
            self._changed.notify_all()
        return dropped

    def retract(self, users: Iterable[Pubkey]) -> None:
        """Takes users out of the queue whose write is no longer due."""
        with self._changed:
            for user in users:
                self._waiting.pop(user, None)

    def busy(self) -> frozenset[Pubkey]:
        """Gives the users whose write is under way."""
        with self._changed:
            return self._busy

    def waiting(self) -> frozenset[Pubkey]:
        """Gives the users whose write has not begun."""
        with self._changed:
            return frozenset(self._waiting)

    def wait_idle(self, timeout_s: float) -> bool:
        """Waits until nothing waits and nothing is under way."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._busy, timeout_s)

    def stop(self, wait_s: float) -> bool:
        """Begins nothing more, waits up to `wait_s` for what is under way, and says whether the thread has ended."""
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
                jobs = tuple(self._waiting.values())
                self._busy = frozenset(self._waiting)
                self._begun |= self._busy
                self._waiting.clear()
            result = self._write(jobs)
            with self._changed:
                self._finished.append(Finished(jobs, result))
                self._busy = frozenset()
                self._changed.notify_all()

    def _write(self, jobs: tuple[Job, ...]) -> WriteResult:
        try:
            return self._ledger.write([job.write for job in jobs], self._signers(), journal=self.in_flight)
        except DzbgpError as error:
            log.error("submission: %s", error)  # noqa: TRY400 - one line
            why = str(error)
        except Exception as error:
            # A fault of ours must not end the thread that all later writes depend on. At the end the ledger's own
            # thread may be gone before this one, which is no fault.
            if not self._stopping:
                log.exception("submission")
            why = f"a fault of dzbgp's own ({type(error).__name__}); it may have been sent"
        return WriteResult(
            {
                job.write.user: Submission(job.write.user, Outcome.FAILED, error=why, status=job.write.status)
                for job in jobs
            }
        )
