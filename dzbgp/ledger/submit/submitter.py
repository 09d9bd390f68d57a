"""Writes statuses onchain: simulate, authorize, sign, send, confirm; never twice, and never an older truth.

One coroutine takes one batch from beginning to end, several at a time. Before each signature the users are read again
and `authorize` is asked which users may still be written. A second signature is made only for the rest of a batch whose
transaction was rejected. A transaction that expires is never signed again: its users need another look first. When
the fate is not known in time, the write is reported as pending, with its signature.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from solders.pubkey import Pubkey

from dzbgp.errors import JournalError
from dzbgp.ledger.errors import LedgerError
from dzbgp.ledger.program.instruction import Write
from dzbgp.ledger.rpc.client import Blockhash, RpcClient, SignatureStatus
from dzbgp.ledger.submit.blockhashes import Blockhashes
from dzbgp.ledger.submit.confirm import Confirmer, Followed
from dzbgp.ledger.submit.expiry import says, settle
from dzbgp.ledger.submit.journal import Journal, NoJournal
from dzbgp.ledger.submit.packing import MAX_COMPUTE_UNITS, Batch, TransactionBuilder
from dzbgp.ledger.submit.rejection import Rejection, read_rejection
from dzbgp.ledger.submit.reread import Authorize, Reread, Rereader, reread
from dzbgp.ledger.submit.send import first_send
from dzbgp.ledger.submit.signers import Signers
from dzbgp.models.in_flight import Fate, InFlight
from dzbgp.models.submission import Outcome, Refusal, Submission

log = logging.getLogger(__name__)

_UNITS_HEADROOM = 1.2
_UNITS_SPARE = 1_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SubmitOptions:
    """How to send. Durations in seconds."""

    commitment: str = "confirmed"
    in_flight: int = 32
    """Transactions in flight at once."""
    deadline_s: float = 180.0
    """After this nothing is signed any more, and what is in flight is reported as pending."""
    interrupt_wait_s: float = 30.0
    """How long an interrupted run still waits for what it has sent."""
    poll_s: float = 0.5
    resend_s: float = 2.0


@dataclass(slots=True)
class Submitted:
    """The result of a submission: each write is in `submissions` or in `refused`."""

    submissions: dict[Pubkey, Submission] = field(default_factory=dict)
    refused: dict[Pubkey, Refusal] = field(default_factory=dict)
    """Writes that were not signed (again): the decision was too old, or the user has changed since."""
    transactions: int = 0
    """Signatures that were made and sent."""


@dataclass(frozen=True, slots=True)
class _Ready:
    """A batch that may be signed at once."""

    batch: Batch
    compute_units: int
    blockhash: Blockhash
    seen: Reread
    """The users as they were read just now."""


class Submitter:
    """Sends the writes of one pass. Used once, within one event loop.

    `stop()` ends it early: it still waits for what was sent, and reports the rest as failed.
    """

    def __init__(
        self,
        client: RpcClient,
        signers: Signers,
        builder: TransactionBuilder,
        options: SubmitOptions,
        *,
        authorize: Authorize,
        progress: Callable[[int], None] = lambda _: None,
        journal: Journal | None = None,
    ) -> None:
        self._client = client
        self._journal = journal or NoJournal()
        self._signers = signers
        self._builder = builder
        self._options = options
        self._authorize = authorize
        self._progress = progress
        self._confirmer = Confirmer(
            client, options.commitment, poll_s=options.poll_s, resend_s=options.resend_s
        )
        self._slots = asyncio.Semaphore(options.in_flight)
        self._blockhashes = Blockhashes(client)
        self._rereader = Rereader(client)
        self._users: frozenset[Pubkey] = frozenset()
        """Those of this pass: nothing is signed for anybody else."""
        self._stopped = ""
        self._stop = asyncio.Event()
        self._ends_at = float("inf")
        self._done = Submitted()
        self._signed_at: dict[Pubkey, float] = {}

    def stop(self, why: str) -> None:
        """Sign nothing more, and wait a limited time for what was sent."""
        self._stopped = self._stopped or why
        self._stop.set()
        self._ends_at = min(self._ends_at, time.monotonic() + self._options.interrupt_wait_s)

    async def submit(self, writes: Sequence[Write]) -> Submitted:
        """Write each of `writes`, or say why not. Raises nothing that concerns a single write."""
        self._ends_at = min(self._ends_at, time.monotonic() + self._options.deadline_s)
        self._users = frozenset(write.user for write in writes)
        polling = asyncio.create_task(self._confirmer.run())
        try:
            await asyncio.gather(*(self._deliver_any(batch) for batch in self._builder.pack(writes)))
        finally:
            polling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await polling
        return self._done

    async def _deliver_any(self, batch: Batch) -> None:
        """Deliver a batch. An internal error must not cost the others their reports."""
        try:
            await self._deliver(batch)
        except Exception as error:
            log.exception("internal error")
            why = f"internal error ({type(error).__name__})"
            for write in self._unreported(batch):
                if write.user in self._signed_at:
                    self._report([write], Outcome.PENDING, None, f"{why}; it may have been sent", None)
                else:
                    self._fail([write], f"not sent: {why}")

    def _unreported(self, batch: Batch) -> list[Write]:
        done = self._done
        return [
            write
            for write in batch.writes
            if write.user not in done.submissions and write.user not in done.refused
        ]

    async def _deliver(self, batch: Batch) -> None:
        """Process one batch to its end. Writes that leave the batch earlier have been reported."""
        if batch.publisher not in self._signers:
            self._fail(batch.writes, f"not sent: there is no keypair for publisher {batch.publisher}")
            return
        async with self._slots:
            left: Batch | None = batch
            while left is not None:
                ready = None
                if not self._must_stop():
                    try:
                        ready = await self._unless_stopped(self._prepare(left))
                    except LedgerError as error:
                        self._fail(self._unreported(left), f"not sent: {error}")
                        return
                if why := self._must_stop():
                    self._fail(self._unreported(left), why)
                    return
                left = None if ready is None else await self._send(ready)

    def _must_stop(self) -> str:
        if self._stopped:
            return f"not sent: {self._stopped}"
        if time.monotonic() >= self._ends_at:
            return f"not sent: the {self._options.deadline_s:g} s for submissions are over"
        return ""

    async def _unless_stopped(self, work: Awaitable[T]) -> T | None:
        """Return the result of `work`; None when it was given up because nothing more may be sent."""
        working = asyncio.ensure_future(work)
        stopped = asyncio.ensure_future(self._stop.wait())
        left_s = max(0.0, self._ends_at - time.monotonic())
        try:
            await asyncio.wait({working, stopped}, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            return await working if working.done() else None
        finally:
            for task in (working, stopped):
                task.cancel()
            # Whatever it fails with when it is given up, nobody asks for it.
            working.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _prepare(self, batch: Batch) -> _Ready | None:
        """Return what may be signed of the batch; None when nothing is left of it.

        The users are read last, right before the signature. Those who may not be written any more leave the batch for
        that reason, also when the simulation fails because of them.
        """
        left: Batch | None = batch
        while left is not None:
            simulation = await self._client.simulate(self._builder.unsigned(left))
            newest_slot = max(self._client.read_floor, _newest_look(left))
            blockhash = await self._blockhashes.fresh(newest_slot)
            seen = await self._rereader.read([write.user for write in left.writes], newest_slot)
            refused = self._authorize(left.writes, seen)
            self._refuse(refused)
            remaining = left.without(refused.keys())
            if remaining is not None and simulation.err is None:
                units = int(simulation.units_consumed * _UNITS_HEADROOM) + _UNITS_SPARE
                return _Ready(remaining, min(MAX_COMPUTE_UNITS, units), blockhash, seen)
            if simulation.err is not None and not refused:
                rejection = read_rejection(simulation.err, simulation.logs, str(self._builder.program_id))
                remaining = self._take_out(left, rejection, signature=None)
            left = remaining
        return None

    async def _send(self, ready: _Ready) -> Batch | None:
        """Sign and send one transaction and wait for its fate. Return the writes that are left."""
        batch, blockhash, started = ready.batch, ready.blockhash, time.monotonic()
        message = self._builder.message(batch, blockhash.hash, ready.compute_units)
        transaction = self._signers.sign(message, self._builder.program_id, self._users)
        sent = InFlight(
            signature=str(transaction.signatures[0]),
            last_valid_block_height=blockhash.last_valid_block_height,
            users={write.user: write.status for write in batch.writes},
            since_slot=max(blockhash.slot, ready.seen.slot),
            sent_at=time.time(),
        )
        try:
            # Noted before it is sent: if we are killed now, the next pass knows what may still land.
            self._journal.sent(sent)
        except JournalError as error:
            self._fail(batch.writes, f"not sent: {error}")
            return None
        followed = Followed(sent, bytes(transaction), started)
        self._done.transactions += 1
        for write in batch.writes:
            self._signed_at.setdefault(write.user, started)
        refused = await first_send(self._client, followed, str(self._builder.program_id))
        if refused is not None:
            self._journal.ended(sent.signature, Fate.REFUSED)
            return self._take_out(batch, refused, signature=None)
        self._confirmer.follow(followed)
        fate, status = await self._wait(followed)
        log.info(
            "transaction signature=%s publisher=%s users=%d result=%s slot=%s seconds=%.2f",
            sent.signature,
            batch.publisher,
            len(batch.writes),
            fate.value,
            status.slot if status else "-",
            time.monotonic() - started,
        )
        return await self._conclude(batch, followed, fate, status)

    async def _wait(self, followed: Followed) -> tuple[Fate, SignatureStatus | None]:
        """Wait for the fate. The time for that may become shorter meanwhile."""
        while (left_s := self._ends_at - time.monotonic()) > 0:
            await asyncio.wait([followed.ended], timeout=min(left_s, 0.5))
            if followed.ended.done():
                return followed.ended.result()
        self._confirmer.drop(followed)
        return Fate.PENDING, followed.seen

    async def _conclude(
        self, batch: Batch, followed: Followed, fate: Fate, status: SignatureStatus | None
    ) -> Batch | None:
        signature = followed.sent.signature
        if fate.has_landed and status is not None:
            self._journal.ended(signature, fate)
            self._report(batch.writes, Outcome(fate.value), signature, None, status.slot)
            return None
        if fate is Fate.REJECTED and status is not None:
            self._journal.ended(signature, fate)
            logs = await self._logs(signature)
            rejection = read_rejection(status.err, logs, str(self._builder.program_id))
            return self._take_out(batch, rejection, signature=signature)
        if fate is Fate.EXPIRED:
            await self._after_expiry(batch, followed)
            return None
        known = f"it was last seen as {status.confirmation}" if status else "it was not seen"
        self._pending(batch, signature, f"sent, but at the end of the time limit {known}")
        return None

    async def _after_expiry(self, batch: Batch, followed: Followed) -> None:
        """Report a batch whose transaction cannot land any more, by what its accounts say."""
        signature = followed.sent.signature
        try:
            seen = await reread(self._client, list(followed.sent.users), followed.expired_by)
        except LedgerError as error:
            self._pending(
                batch,
                signature,
                f"it expired without being seen, and its accounts could not be read: {error}",
            )
            return
        settled = settle(followed.sent, seen.users)
        slots = set(settled.landed.values())
        if settled.fate is Fate.EXPIRED:
            log.warning("expired: signature=%s", signature)
            self._journal.ended(signature, Fate.EXPIRED)
            why = f"transaction {signature} expired before it landed: the device must be asked again"
            self._refuse({write.user: Refusal("expired", why) for write in batch.writes})
        elif len(slots) == 1 and all(
            write.user in settled.landed and says(now, write)
            for write in batch.writes
            if (now := seen.users.get(write.user)) is not None
        ):
            log.warning("landed unseen: signature=%s slot=%d", signature, *slots)
            # It could not land any more at a finalized slot, so what there is of it is final.
            self._journal.ended(signature, Fate.FINALIZED)
            self._report(batch.writes, Outcome.FINALIZED, signature, None, slots.pop())
        else:
            why = (
                "it expired without being seen, and another writer has reported since: its result is unknown"
            )
            self._pending(batch, signature, why)

    def _take_out(self, batch: Batch, rejection: Rejection, signature: str | None) -> Batch | None:
        """Report what was rejected, one write or all of them, and return the rest."""
        index = None if rejection.index is None else rejection.index - self._builder.overhead
        if index is None or not 0 <= index < len(batch.writes):
            self._fail(batch.writes, rejection.why, signature)
            return None
        self._fail([batch.writes[index]], rejection.why, signature)
        return batch.without({batch.writes[index].user})

    async def _logs(self, signature: str) -> tuple[str, ...]:
        """Return what the program logged. Without it the explanation is shorter, the result the same."""
        try:
            return await self._client.transaction_logs(signature)
        except LedgerError as error:
            log.debug("logs of %s: %s", signature, error)
            return ()

    def _refuse(self, refused: Mapping[Pubkey, Refusal]) -> None:
        self._done.refused.update(refused)
        self._progress(len(refused))

    def _fail(self, writes: Sequence[Write], why: str, signature: str | None = None) -> None:
        self._report(writes, Outcome.FAILED, signature, why, None)

    def _pending(self, batch: Batch, signature: str, why: str) -> None:
        self._report(batch.writes, Outcome.PENDING, signature, why, None)

    def _report(
        self,
        writes: Sequence[Write],
        outcome: Outcome,
        signature: str | None,
        error: str | None,
        slot: int | None,
    ) -> None:
        now = time.monotonic()
        for write in writes:
            signed_at = self._signed_at.get(write.user)
            self._done.submissions[write.user] = Submission(
                write.user,
                outcome,
                signature,
                error,
                slot,
                seconds=None if signed_at is None else now - signed_at,
                status=write.status,
            )
        self._progress(len(writes))


def _newest_look(batch: Batch) -> int:
    """Return the slot of the batch's newest look: a node that is behind it must not say what the users are now."""
    return max((write.look.slot for write in batch.writes if write.look), default=0)
