"""Writes statuses onchain: simulate, sign, send, confirm, and never write twice or wrongly.

One coroutine delivers one batch from beginning to end, some at a time. A new signature is made for a write
only when the one before is known to have failed, or has expired and the accounts prove that it has not landed;
when neither is known in time the write is reported as pending, with its signature.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from solders.pubkey import Pubkey

from dzbgp.ledger.errors import LedgerError
from dzbgp.ledger.program.instruction import Write
from dzbgp.ledger.rpc.client import Blockhash, RpcClient, SignatureStatus, Simulation
from dzbgp.ledger.submit.blockhashes import Blockhashes
from dzbgp.ledger.submit.confirm import Confirmer, Followed
from dzbgp.ledger.submit.expiry import look_back
from dzbgp.ledger.submit.journal import Journal, NoJournal
from dzbgp.ledger.submit.packing import MAX_COMPUTE_UNITS, Batch, TransactionBuilder
from dzbgp.ledger.submit.rejection import Rejection, read_rejection
from dzbgp.ledger.submit.send import first_send
from dzbgp.ledger.submit.signers import Signers
from dzbgp.models.in_flight import Fate, InFlight
from dzbgp.models.report import Outcome, Submission

log = logging.getLogger(__name__)

_UNITS_HEADROOM = 1.2
_UNITS_SPARE = 1_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SubmitOptions:
    """How to send. Durations in seconds."""

    commitment: str = "confirmed"
    in_flight: int = 32
    """Transactions under way at once."""
    deadline_s: float = 180.0
    """After this nothing new is signed, and what is under way is reported as pending."""
    interrupt_wait_s: float = 30.0
    """How long an interrupted run still waits for what it has sent."""
    signatures: int = 3
    """How many transactions may expire before a write is given up."""
    poll_s: float = 0.5
    resend_s: float = 2.0


@dataclass(slots=True)
class Submitted:
    """What a submission made of the writes; `transactions` counts the signatures made and sent."""

    submissions: dict[Pubkey, Submission] = field(default_factory=dict)
    transactions: int = 0


class Submitter:
    """Sends the writes of one pass. Used once, within one event loop.

    `stop()` ends it early: what was sent is still waited for, what was not is reported as failed.
    """

    def __init__(
        self,
        client: RpcClient,
        signers: Signers,
        builder: TransactionBuilder,
        options: SubmitOptions,
        progress: Callable[[int], None] = lambda _: None,
        journal: Journal | None = None,
    ) -> None:
        self._client = client
        self._journal = journal or NoJournal()
        self._signers = signers
        self._builder = builder
        self._options = options
        self._progress = progress
        self._confirmer = Confirmer(
            client, options.commitment, poll_s=options.poll_s, resend_s=options.resend_s
        )
        self._slots = asyncio.Semaphore(options.in_flight)
        self._blockhashes = Blockhashes(client)
        self._stopped = ""
        self._stop = asyncio.Event()
        self._ends_at = float("inf")
        self._done = Submitted()
        self._signed_at: dict[Pubkey, float] = {}

    def stop(self, why: str) -> None:
        """Signs nothing more, and waits a bounded time for what was sent."""
        self._stopped = self._stopped or why
        self._stop.set()
        self._ends_at = min(self._ends_at, time.monotonic() + self._options.interrupt_wait_s)

    async def submit(self, writes: Sequence[Write]) -> Submitted:
        """Writes every one of `writes`, or says why not. Raises nothing that concerns a single write."""
        self._ends_at = min(self._ends_at, time.monotonic() + self._options.deadline_s)
        polling = asyncio.create_task(self._confirmer.run())
        try:
            await asyncio.gather(*(self._deliver_any(batch) for batch in self._builder.pack(writes)))
        finally:
            polling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await polling
        return self._done

    async def _deliver_any(self, batch: Batch) -> None:
        """Delivers a batch; a fault of our own must not cost the others their reports."""
        try:
            await self._deliver(batch)
        except Exception as error:
            log.exception("a fault of dzbgp's own")
            why = f"a fault of dzbgp's own ({type(error).__name__}); it may have been sent"
            self._report(self._unreported(batch), Outcome.PENDING, None, why, None)

    def _unreported(self, batch: Batch) -> list[Write]:
        return [write for write in batch.writes if write.user not in self._done.submissions]

    async def _deliver(self, batch: Batch) -> None:
        """Sees one batch through; whatever is taken out of it on the way has been reported."""
        if batch.publisher not in self._signers:
            self._fail(batch.writes, f"not sent: there is no keypair for publisher {batch.publisher}")
            return
        async with self._slots:
            left: Batch | None = batch
            expired = 0
            while left is not None and left.writes:
                refusal = self._may_not_start(expired)
                if refusal:
                    self._fail(self._unreported(left), refusal)
                    return
                try:
                    prepared = await self._unless_stopped(self._prepare(left))
                except LedgerError as error:
                    self._fail(self._unreported(left), f"not sent: {error}")
                    return
                if prepared is None:
                    continue
                ready, units, blockhash = prepared
                if ready is None or self._may_not_start(expired):
                    left = ready
                    continue
                left = await self._send(ready, units, blockhash)
                # What is left of a batch has a bad write less, or is whole because it has expired.
                expired += left is not None and len(left.writes) == len(ready.writes)

    def _may_not_start(self, expired: int) -> str:
        if self._stopped:
            return f"not sent: {self._stopped}"
        if time.monotonic() >= self._ends_at:
            return f"not sent: the {self._options.deadline_s:g} s for submissions were over"
        if expired >= self._options.signatures:
            return f"none of {expired} transactions landed before it expired"
        return ""

    async def _unless_stopped(self, work: Awaitable[T]) -> T | None:
        """Gives what `work` gives; None when it was given up because nothing more may be sent."""
        working = asyncio.ensure_future(work)
        stopped = asyncio.ensure_future(self._stop.wait())
        left_s = max(0.0, self._ends_at - time.monotonic())
        try:
            await asyncio.wait({working, stopped}, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            return await working if working.done() else None
        finally:
            for task in (working, stopped):
                task.cancel()

    async def _prepare(self, batch: Batch) -> tuple[Batch | None, int, Blockhash]:
        """Gives what may be sent of the batch, its compute limit, and a blockhash to sign it over."""
        ready, simulation = await self._simulate(batch)
        units = min(MAX_COMPUTE_UNITS, int(simulation.units_consumed * _UNITS_HEADROOM) + _UNITS_SPARE)
        return ready, units, await self._blockhashes.fresh()

    async def _simulate(self, batch: Batch) -> tuple[Batch | None, Simulation]:
        """Runs the batch dry, taking out one after another what the program would refuse."""
        left = batch
        while True:
            simulation = await self._client.simulate(self._builder.unsigned(left))
            if simulation.err is None:
                return left, simulation
            rejection = read_rejection(simulation.err, simulation.logs, str(self._builder.program_id))
            smaller = self._take_out(left, rejection, signature=None)
            if smaller is None:
                return None, simulation
            left = smaller

    async def _send(self, batch: Batch, units: int, blockhash: Blockhash) -> Batch | None:
        """Signs and sends one transaction and waits for its fate. Gives what is left to do."""
        signer = self._signers.keypairs[batch.publisher]
        transaction = self._builder.signed(batch, signer, blockhash.hash, units)
        started = time.monotonic()
        sent = InFlight(
            signature=str(transaction.signatures[0]),
            last_valid_block_height=blockhash.last_valid_block_height,
            users={write.user: write.status for write in batch.writes},
            since_slot=blockhash.slot,
            sent_at=time.time(),
        )
        followed = Followed(sent, bytes(transaction), started)
        self._done.transactions += 1
        for write in batch.writes:
            self._signed_at.setdefault(write.user, started)
        # Noted before it is sent: if we are killed now, the next pass knows what may still land.
        self._journal.sent(sent)
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
        """Waits for the fate; the time for that may become shorter meanwhile."""
        while (left_s := self._ends_at - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                return await asyncio.wait_for(asyncio.shield(followed.ended), min(left_s, 0.5))
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
            return await self._after_expiry(batch, followed)
        known = f"it is {status.confirmation}" if status else "nothing was seen of it"
        self._report(batch.writes, Outcome.PENDING, signature, f"sent, but when time ran out {known}", None)
        return None

    async def _after_expiry(self, batch: Batch, followed: Followed) -> Batch | None:
        """Gives the batch to be signed anew, only if its accounts prove that it has not landed unseen."""
        signature = followed.sent.signature
        try:
            evidence = await look_back(self._client, batch, followed)
        except LedgerError as error:
            why = f"it has expired unseen, and its accounts could not be read: {error}"
            self._report(batch.writes, Outcome.PENDING, signature, why, None)
            return None
        if evidence.absent:
            log.warning("expired unseen: signature=%s; signing anew", signature)
            self._journal.ended(signature, Fate.EXPIRED)
            # Signed over the same blockhash again, it would be the same dead transaction.
            self._blockhashes.forget(followed.expired_by)
            return batch
        if evidence.landed_slot is not None:
            log.warning("landed unseen: signature=%s slot=%d", signature, evidence.landed_slot)
            # It could not land any more at a finalized slot, so what there is of it is final.
            self._journal.ended(signature, Fate.FINALIZED)
            self._report(batch.writes, Outcome.FINALIZED, signature, None, evidence.landed_slot)
            return None
        why = "it has expired unseen, and another writer has reported since, so its fate can't be told"
        self._report(batch.writes, Outcome.PENDING, signature, why, None)
        return None

    def _take_out(self, batch: Batch, rejection: Rejection, signature: str | None) -> Batch | None:
        """Reports what was rejected, one write or all of them, and gives the rest."""
        index = None if rejection.index is None else rejection.index - self._builder.overhead
        if index is None or not 0 <= index < len(batch.writes):
            self._fail(batch.writes, rejection.why, signature)
            return None
        self._fail([batch.writes[index]], rejection.why, signature)
        return batch.without(index)

    async def _logs(self, signature: str) -> tuple[str, ...]:
        """Gives what the program logged; the explanation is poorer without, the verdict is the same."""
        try:
            return await self._client.transaction_logs(signature)
        except LedgerError as error:
            log.debug("logs of %s: %s", signature, error)
            return ()

    def _fail(self, writes: Sequence[Write], why: str, signature: str | None = None) -> None:
        self._report(writes, Outcome.FAILED, signature, why, None)

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
