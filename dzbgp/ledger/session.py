"""The ledger for callers without an event loop: one loop, in a thread of its own, serves them all."""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from anyio.from_thread import BlockingPortal, start_blocking_portal
from solders.pubkey import Pubkey

from dzbgp.ledger.errors import ClusterMismatchError, LedgerError, RpcError, WriteInterruptedError
from dzbgp.ledger.events import OnFetch, unobserved
from dzbgp.ledger.networks import Network
from dzbgp.ledger.program.cache import TTL_S, Fetched, ProgramDataFetcher, result_of
from dzbgp.ledger.program.fetch import Scope
from dzbgp.ledger.program.instruction import Write
from dzbgp.ledger.program.snapshot import read_contributors
from dzbgp.ledger.rpc.client import RpcClient
from dzbgp.ledger.rpc.credible import Credibility
from dzbgp.ledger.rpc.retry import RetryBudget
from dzbgp.ledger.submit.journal import Journal
from dzbgp.ledger.submit.packing import TransactionBuilder
from dzbgp.ledger.submit.preflight import check_balances, check_cluster
from dzbgp.ledger.submit.reread import Authorize
from dzbgp.ledger.submit.settle import fates
from dzbgp.ledger.submit.signers import Signers
from dzbgp.ledger.submit.submitter import SubmitOptions, Submitted, Submitter
from dzbgp.ledger.submit.verify import verify
from dzbgp.models.in_flight import Fate, InFlight, Settled
from dzbgp.models.ledger import Contributor, Device, Sighting
from dzbgp.models.moment import Moment
from dzbgp.models.session import Look
from dzbgp.models.submission import Outcome, Refusal, Submission

log = logging.getLogger(__name__)

METHOD_NOT_FOUND = -32601
"""The code of JSON-RPC's error from an RPC that does not serve a method."""


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How a pass writes."""

    submit: SubmitOptions = field(default_factory=SubmitOptions)
    budget: RetryBudget = field(default_factory=RetryBudget)
    priority_fee: int = 0
    """Micro-lamports per compute unit."""
    low_balance: int = 500_000_000
    """Lamports below which a publisher is warned about."""
    verify: bool = True
    max_ledger_lag_s: float = 60.0
    """How far the ledger's time may differ from this machine's clock."""
    data_good_s: float = TTL_S
    """How long program data is used before it is read again."""


@dataclass(slots=True)
class WriteResult:
    """The result of a pass's writes: each one has a submission or a refusal."""

    submissions: dict[Pubkey, Submission]
    refused: dict[Pubkey, Refusal] = field(default_factory=dict)
    """Writes that were not signed after all, and why."""
    transactions: int = 0
    notes: list[str] = field(default_factory=list)
    is_interrupted: bool = False
    """Whether a KeyboardInterrupt made it stop early."""

    def add(self, other: "WriteResult") -> None:
        """Add the results of more writes."""
        self.submissions.update(other.submissions)
        self.refused.update(other.refused)
        self.transactions += other.transactions
        self.notes += other.notes
        self.is_interrupted |= other.is_interrupted


@dataclass(frozen=True, slots=True)
class RpcCounts:
    """Requests to RPCs, and how many of them were retries, by method."""

    requests: Counter[str]
    retries: Counter[str]


@dataclass(frozen=True, slots=True)
class ComingData:
    """Program data whose devices are known, while the rest may still be on its way."""

    slot: int
    """That of the devices."""
    devices: Mapping[Pubkey, Device]
    _fetched: "Future[Fetched]"
    ledger_at: float | None = None
    """The ledger's Unix time in that slot; None without a Clock sysvar, or if no RPC is believed."""
    is_cached: bool = False
    """Whether it was read before, and the ledger was not asked."""

    def check(self) -> None:
        """Raise the LedgerError of the rest, if it is known already that it failed."""
        if self._fetched.done():
            self._fetched.result()

    def fetched(self) -> Fetched:
        """Wait for all of it. Raises a LedgerError."""
        return self._fetched.result()


class LedgerSession:
    """A network's ledger, for any number of threads. A context manager."""

    def __init__(
        self,
        network: Network,
        options: SessionOptions | None = None,
        scope: Scope | None = None,
        spare_scope: Scope | None = None,
        on_fetch: OnFetch = unobserved,
    ) -> None:
        self.network = network
        self._options = options or SessionOptions()
        self._client = RpcClient(
            network, budget=self._options.budget, credibility=Credibility(self._options.max_ledger_lag_s)
        )
        self._fetcher = ProgramDataFetcher(
            self._client, scope, spare_scope=spare_scope, ttl_s=self._options.data_good_s, on_fetch=on_fetch
        )
        self._taken = RpcCounts(Counter(), Counter())
        self._submitters: set[Submitter] = set()
        self._stopping: str | None = None
        self._stack = ExitStack()
        self._portal: BlockingPortal

    def __enter__(self) -> Self:
        self._portal = self._stack.enter_context(start_blocking_portal())
        closing = AsyncExitStack()
        closing.push_async_callback(self._client.pool.close)
        self._stack.callback(lambda: self._portal.call(closing.aclose))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # After an exception, what still runs in the loop is cancelled instead of waited for.
        self._stack.__exit__(kind, error, trace)

    @property
    def floor(self) -> Sighting | None:
        """The highest slot that the ledger is known to have reached; None before anything was read."""
        return self._client.credibility.floor

    @property
    def is_failing(self) -> bool:
        """Whether old program data is used, because the ledger could not be read."""
        return self._fetcher.is_failing

    def restore_floor(self, floor: Sighting | None) -> None:
        """Start from what an earlier run saw: no answer may be older. To be called before anything is read."""
        self._client.credibility.restore(floor)

    @property
    def rpc_requests(self) -> int:
        """The number of HTTP requests made to RPCs."""
        return sum(self._client.pool.requests.values())

    def take_rpc_counts(self) -> RpcCounts:
        """Return what was asked of RPCs since the last call. For one thread."""
        pool, taken = self._client.pool, self._taken
        self._taken = RpcCounts(pool.requests.copy(), pool.retries.copy())
        return RpcCounts(self._taken.requests - taken.requests, self._taken.retries - taken.retries)

    def genesis_hash(self) -> str:
        """Return what identifies the ledger: what was given, else what an RPC says. Raises a LedgerError."""
        return self.network.genesis_hash or self._portal.call(self._client.genesis_hash)

    def expect_genesis_hash(self, known: str | None) -> None:
        """Take this for what identifies the ledger until an RPC says another: then the ledger counts as replaced."""
        self._portal.call(self._client.expect_genesis_hash, known)

    def check_genesis_hash(self) -> None:
        """Raise LedgerReplacedError if another ledger is served than at the start. Raises a LedgerError.

        Nothing is asked where only one ledger is wanted, and nothing said by an RPC that does not know the question.
        """
        if self.network.genesis_hash is not None:
            return
        try:
            self._portal.call(self._client.check_genesis_hash)
        except RpcError as error:
            if error.code != METHOD_NOT_FOUND:
                raise

    def expire(self) -> None:
        """Make the next read ask the ledger, whatever is cached."""
        self._portal.call(self._fetcher.expire)

    def look(self) -> Look:
        """Return the ledger's present slot and time, for a look at devices that begins now. Raises a LedgerError."""
        at = Moment.now()
        bank = self._portal.call(self._client.bank)
        return Look(bank.slot, at, bank.ledger_at)

    def contributors(self) -> Collection[Contributor]:
        """Return all contributors. Raises a LedgerError."""
        return self._portal.call(read_contributors, self._client)

    def balances(self, publishers: Sequence[Pubkey]) -> dict[Pubkey, int]:
        """Return the publishers' lamports, 0 where there is no account. Raises a LedgerError."""
        accounts = self._portal.call(self._client.accounts, publishers)
        return {
            publisher: account.lamports if account else 0
            for publisher, account in zip(publishers, accounts, strict=True)
        }

    @property
    def builder(self) -> TransactionBuilder:
        """The builder that packs writes as `write` will."""
        return TransactionBuilder(self.network.program_id, self._options.priority_fee)

    def fates(self, sent: Sequence[InFlight]) -> list[Settled]:
        """Return the fates of transactions that an earlier pass left in flight. Raises a LedgerError.

        What was read of the program before is not used again if it is older than what was found.
        """
        if not sent:
            return []
        settled = self._portal.call(fates, self._client, sent)
        slot = self._fetcher.slot
        if any(
            one.fate is not Fate.PENDING and max(one.landed.values(), default=slot + 1) > slot
            for one in settled
        ):
            self._portal.call(self._fetcher.expire)
        return settled

    def coming(self) -> "ComingData":
        """Return the devices as soon as they are read, and what is still on its way. Raises a LedgerError."""
        early, flight = self._portal.call(self._fetcher.begin)
        return ComingData(
            early.slot,
            early.devices,
            self._portal.start_task_soon(result_of, flight),
            early.ledger_at,
            early.is_cached,
        )

    def program_data(self, max_age_s: float | None = None) -> Fetched:
        """Return the program's accounts, at most so old (None: SessionOptions.data_good_s). Raises a LedgerError."""
        return self._portal.call(self._fetcher.get, max_age_s)

    def write(
        self,
        writes: Sequence[Write],
        signers: Signers,
        progress: Callable[[int], None] = lambda _: None,
        journal: Journal | None = None,
        *,
        authorize: Authorize,
    ) -> WriteResult:
        """Write onchain and read back. Each write has a submission or a refusal in the result.

        `authorize` is asked before each signature, in the ledger's own thread. Raises ClusterMismatchError before
        anything is written. A KeyboardInterrupt makes it stop early: it waits for what was sent, and reports the rest
        as not sent. A second one raises WriteInterruptedError.
        """
        builder = self.builder
        submitter = self._portal.call(
            lambda: Submitter(
                self._client,
                signers,
                builder,
                self._options.submit,
                authorize=authorize,
                progress=progress,
                journal=journal,
            )
        )
        self._submitters.add(submitter)
        if self._stopping is not None:
            self._portal.call(submitter.stop, self._stopping)
        try:
            return self._carried_out(submitter, builder, list(writes))
        finally:
            self._submitters.discard(submitter)

    def _carried_out(
        self, submitter: Submitter, builder: TransactionBuilder, writes: list[Write]
    ) -> WriteResult:
        future: Future[WriteResult] | None = None
        try:
            try:
                future = self._portal.start_task_soon(self._write, submitter, builder, writes)
                return future.result()
            except KeyboardInterrupt:
                if future is None:
                    raise
                self._portal.call(submitter.stop, "interrupted")
                log.warning("interrupted: nothing more is sent; waiting for what was sent")
                return replace(future.result(), is_interrupted=True)
        except KeyboardInterrupt:
            if future is None:
                raise
            raise WriteInterruptedError(
                "interrupted again: the fate of what was sent is not known; the next run reads what is onchain"
            ) from None

    def stop_writing(self, why: str) -> None:
        """Make every `write` that runs in another thread, and any later one, stop early.

        They still wait for what was sent, as long as SubmitOptions.interrupt_wait_s allows.
        """
        self._stopping = why
        for submitter in list(self._submitters):
            self._portal.call(submitter.stop, why)

    async def _write(
        self, submitter: Submitter, builder: TransactionBuilder, writes: list[Write]
    ) -> WriteResult:
        try:
            try:
                await check_cluster(self._client)
                short = await check_balances(self._client, builder, writes, self._options.low_balance)
            except ClusterMismatchError:
                raise
            except LedgerError as error:
                self._fetcher.expire()
                why = f"nothing was sent: {error}"
                return WriteResult({write.user: _failed(write, why) for write in writes})
            return await self._write_checked(submitter, writes, short)
        finally:
            # Whatever became of the writes: the RPCs that did not answer before them may answer the next pass.
            self._client.pool.readmit()

    async def _write_checked(
        self, submitter: Submitter, writes: list[Write], short: Mapping[Pubkey, str]
    ) -> WriteResult:
        """Write what `short` (publishers that cannot pay, and why) does not rule out."""
        payable = [write for write in writes if write.publisher not in short]
        submissions = {
            write.user: _failed(write, short[write.publisher]) for write in writes if write.publisher in short
        }
        done = await submitter.submit(payable) if payable else Submitted()
        result = WriteResult(submissions | done.submissions, done.refused, done.transactions)
        # The next read must show what was written: it comes neither from the cache nor from a node that is behind.
        self._client.read_floor = max(
            [self._client.read_floor, *(one.slot for one in done.submissions.values() if one.slot)]
        )
        self._fetcher.expire()
        if self._options.verify:
            corrected, note = await verify(self._client, payable, done.submissions)
            result.submissions.update(corrected)
            if note:
                result.notes.append(note)
        return result


def _failed(write: Write, why: str) -> Submission:
    return Submission(write.user, Outcome.FAILED, error=why, status=write.status)
