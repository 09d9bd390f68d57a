"""The questions that dzbgp asks a Solana-type ledger, and the answers as records."""

import asyncio
import time
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from solders.hash import Hash
from solders.pubkey import Pubkey
from solders.sysvar import CLOCK

from dzbgp.ledger.errors import LedgerBehindError, LedgerReplacedError, RpcError, RpcProtocolError
from dzbgp.ledger.networks import Network
from dzbgp.ledger.rpc.credible import SLACK_SLOTS, Credibility
from dzbgp.ledger.rpc.failures import MIN_CONTEXT_SLOT_NOT_REACHED
from dzbgp.ledger.rpc.pool import RpcPool
from dzbgp.ledger.rpc.retry import RetryBudget
from dzbgp.ledger.rpc.wire import (
    IN_CONTEXT,
    U63,
    AccountItem,
    BlockhashItem,
    EpochInfo,
    InContext,
    LandedItem,
    ProgramAccount,
    Sample,
    SimulationItem,
    StatusItem,
    clock_of,
    list_of,
)
from dzbgp.models.ledger import Account
from dzbgp.models.moment import Moment

_FINALITY_SLOTS = 300
"""A healthy cluster finalizes some 32 slots behind its newest block. A node that is so far behind does not advance."""

T = TypeVar("T")

STATUSES_PER_CALL = 256
ACCOUNTS_PER_CALL = 100
_SAMPLES = 60
_RATE_GOOD_S = 600.0


@dataclass(frozen=True, slots=True)
class Blockhash:
    """A recent blockhash. A transaction signed with it can land up to `last_valid_block_height`."""

    hash: Hash
    last_valid_block_height: int
    slot: int
    """The slot at which it was read: a transaction signed with it lands in a later one."""


@dataclass(frozen=True, slots=True)
class Bank:
    """Accounts as of one slot of a ledger that is believed."""

    slot: int
    ledger_at: float | None
    """The ledger's Unix time in that slot; None if there is no Clock sysvar."""
    accounts: tuple[Account | None, ...]


@dataclass(frozen=True, slots=True)
class SignatureStatus:
    """What a node knows of a signature. `err` is the runtime's error as JSON, None for success."""

    slot: int
    err: Any
    confirmation: str
    """`processed`, `confirmed` or `finalized`."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """The result of simulating a transaction."""

    err: Any
    logs: tuple[str, ...]
    units_consumed: int


# Whatever the commitment of the writes: at finalized a pass would not see what the one before it wrote, and would write
# it again.
_COMMITMENT = "confirmed"


class RpcClient:
    """A network's ledger, read at commitment `confirmed`. An async context manager, for one event loop.

    Every method raises a LedgerError (dzbgp/ledger/errors.py).
    """

    def __init__(
        self,
        network: Network,
        budget: RetryBudget | None = None,
        credibility: Credibility | None = None,
    ) -> None:
        self.network = network
        self.pool = RpcPool(network.rpc_urls, budget or RetryBudget(), use_proxies=network.use_proxies)
        self.credibility = credibility or Credibility()
        self._rate: tuple[float | None, float] | None = None
        self._genesis_hash: str | None = None

    @property
    def read_floor(self) -> int:
        """The slot that every answer must have reached: our own writes are seen, and no node is believed that lags."""
        return self.credibility.least_slot

    @read_floor.setter
    def read_floor(self, slot: int) -> None:
        self.credibility.must_reach(slot)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.pool.close()

    async def bank(self, keys: Sequence[Pubkey] = (), min_context_slot: int = 0) -> Bank:
        """Return up to 99 accounts and the ledger's time, all as of one slot, from an RPC that is believed.

        Raises LedgerBehindError if every RPC stops advancing, is behind, or differs from this machine's clock.
        """
        try:
            bank = await self._bank(keys, min_context_slot)
            while wait_s := self.credibility.needs_another_reading(bank.ledger_at, Moment.now()):
                self.credibility.believe(bank.slot, bank.ledger_at, Moment.now())
                await asyncio.sleep(wait_s)
                bank = await self._bank(keys, min_context_slot)
        except LedgerBehindError as error:
            told = f"{error}. {self.credibility.verdict_on_clock()}".rstrip()
            raise LedgerBehindError(told, error.code) from None
        self.credibility.believe(bank.slot, bank.ledger_at, Moment.now())
        return bank

    async def _bank(self, keys: Sequence[Pubkey], least: int) -> Bank:
        def check(where: str, answer: InContext[list[AccountItem | None]]) -> None:
            slot, told = answer.context.slot, f"RPC {where} is not believed: "
            clock = clock_of(answer)
            if clock is not None and abs(clock[0] - slot) > SLACK_SLOTS:
                raise RpcProtocolError(f"{told}it answered as of slot {slot}, but its Clock says {clock[0]}")
            why = self.credibility.doubt(where, slot, clock and clock[1], Moment.now())
            if why is not None:
                raise LedgerBehindError(f"{told}{why}", MIN_CONTEXT_SLOT_NOT_REACHED)
            self._check_slot(where, "getMultipleAccounts", slot, least)

        kind = list_of(len(keys) + 1, AccountItem | None)
        params = [[str(key) for key in (CLOCK, *keys)], {"encoding": "base64", "commitment": _COMMITMENT}]
        answer = await self.pool.call("getMultipleAccounts", params, IN_CONTEXT[kind], check)
        clock = clock_of(answer)
        accounts = [item and item.record(key) for key, item in zip(keys, answer.value[1:], strict=True)]
        return Bank(answer.context.slot, clock and clock[1], tuple(accounts))

    async def program_accounts(
        self, account_type: int, *matches: tuple[int, bytes], least: int | None = None
    ) -> tuple[int, list[Account]]:
        """Return the slot and the program's accounts of a type; `matches`: further (offset, bytes) filters.

        `least` replaces the slot that the answer must have reached.
        """
        filters = [
            {"memcmp": {"offset": offset, "bytes": _base64(wanted), "encoding": "base64"}}
            for offset, wanted in ((0, bytes([account_type])), *matches)
        ]
        config = {"encoding": "base64", "withContext": True, "filters": filters}
        params = [str(self.network.program_id)]
        answer = await self._at(list[ProgramAccount], "getProgramAccounts", params, config, least)
        return answer.context.slot, [item.account.record(item.pubkey) for item in answer.value]

    async def accounts(self, keys: Sequence[Pubkey], min_context_slot: int = 0) -> list[Account | None]:
        """Return the accounts at `keys`, None for a missing one, as of `min_context_slot` or later."""
        found: list[Account | None] = []
        least = max(min_context_slot, self.read_floor)
        for start in range(0, len(keys), ACCOUNTS_PER_CALL):
            some = keys[start : start + ACCOUNTS_PER_CALL]
            kind = list_of(len(some), AccountItem | None)
            params = [[str(key) for key in some]]
            answer = await self._at(kind, "getMultipleAccounts", params, {"encoding": "base64"}, least)
            found += [item and item.record(key) for key, item in zip(some, answer.value, strict=True)]
        return found

    async def seconds_per_slot(self) -> float | None:
        """Return the cluster's slot time over the last hour; None if the node keeps no samples.

        An answer is used for ten minutes.
        """
        if self._rate is not None and time.monotonic() - self._rate[1] < _RATE_GOOD_S:
            return self._rate[0]
        samples: list[Sample] = await self.pool.call("getRecentPerformanceSamples", [_SAMPLES], list[Sample])
        slots = sum(sample.num_slots for sample in samples)
        seconds = sum(sample.sample_period_secs for sample in samples)
        self._rate = (seconds / slots if slots and seconds else None, time.monotonic())
        return self._rate[0]

    async def genesis_hashes(self) -> list[tuple[str, str]]:
        """Return (RPC, genesis hash) of every RPC that answers. The hash identifies the cluster."""
        answers = await self.pool.call_all("getGenesisHash", [], Hash)
        return [(where, str(answer)) for where, answer in answers]

    async def genesis_hash(self) -> str:
        """Return the genesis hash that the first RPC says. It is asked once."""
        if self._genesis_hash is None:
            self._genesis_hash = await self._served_genesis_hash()
            # What was seen before may be of another ledger, which did not tell its name.
            self.credibility.forget()
        return self._genesis_hash

    async def expect_genesis_hash(self, known: str | None) -> None:
        """Take this for the ledger's genesis hash, if no RPC has said one yet."""
        self._genesis_hash = self._genesis_hash or known

    async def check_genesis_hash(self) -> None:
        """Raise LedgerReplacedError if another ledger is served than when `genesis_hash` asked, or than is expected."""
        known, served = await self.genesis_hash(), await self._served_genesis_hash()
        if served != known:
            raise LedgerReplacedError(
                f"the ledger has been replaced: its genesis hash was {known} and is {served} now; restart dzbgp, "
                "so that nothing of the old ledger is used"
            )

    async def _served_genesis_hash(self) -> str:
        return str(await self.pool.call("getGenesisHash", [], Hash))

    async def minimum_balance(self, data_len: int) -> int:
        """Return the lamports that make an account of `data_len` bytes exempt from rent."""
        lamports: int = await self.pool.call("getMinimumBalanceForRentExemption", [data_len], U63)
        return lamports

    async def latest_blockhash(self, min_context_slot: int = 0) -> Blockhash:
        """Return a blockhash to sign with, from a node that has reached `min_context_slot`."""
        return await self._blockhash({}, max(min_context_slot, self.read_floor))

    async def finalized_blockhash(self) -> Blockhash:
        """Return the blockhash of the newest finalized block, which is older than what else is read."""
        return await self._blockhash({"commitment": "finalized"}, 0)

    async def _blockhash(self, config: dict[str, str], least: int) -> Blockhash:
        answer = await self._at(BlockhashItem, "getLatestBlockhash", [], config, least)
        return Blockhash(answer.value.blockhash, answer.value.last_valid_block_height, answer.context.slot)

    async def height(self, commitment: str = "finalized") -> tuple[int, int]:
        """Return (slot, block height) of the newest block. A finalized block cannot be undone by a fork.

        An RPC that has long been left behind is not asked again: by its height no write would ever expire.
        """
        least = self.credibility.least_slot - _FINALITY_SLOTS

        def check(where: str, answer: EpochInfo) -> None:
            self._check_slot(where, "getEpochInfo", answer.absolute_slot, least)

        answer: EpochInfo = await self.pool.call(
            "getEpochInfo", [{"commitment": commitment}], EpochInfo, check
        )
        return answer.absolute_slot, answer.block_height

    async def statuses(self, signatures: Sequence[str]) -> tuple[int, list[SignatureStatus | None]]:
        """Return the oldest slot of the answers, and the status of each signature, None if unknown."""
        found: list[SignatureStatus | None] = []
        slots = []
        for start in range(0, len(signatures), STATUSES_PER_CALL):
            some = list(signatures[start : start + STATUSES_PER_CALL])
            kind = list_of(len(some), StatusItem | None)
            params = [some, {"searchTransactionHistory": True}]
            answer: InContext[Any] = await self.pool.call("getSignatureStatuses", params, IN_CONTEXT[kind])
            slots.append(answer.context.slot)
            found += [item and self._status(item) for item in answer.value]
        return min(slots, default=0), found

    def _status(self, item: StatusItem) -> SignatureStatus:
        err = self.pool.redactor.json(item.err)
        return SignatureStatus(item.slot, err, item.confirmation_status or "")

    async def simulate(self, transaction: bytes) -> Simulation:
        """Simulate a transaction. The node supplies a blockhash of its own and checks no signature."""
        config = {"encoding": "base64", "sigVerify": False, "replaceRecentBlockhash": True}
        answer = await self._at(SimulationItem, "simulateTransaction", [_base64(transaction)], config)
        clean = self.pool.redactor.json
        value = answer.value
        return Simulation(clean(value.err), tuple(clean(value.logs or [])), value.units_consumed or 0)

    async def transaction_logs(self, signature: str) -> tuple[str, ...]:
        """Return the log of a transaction that landed; nothing if the node keeps no history."""
        config = {"encoding": "json", "maxSupportedTransactionVersion": 0, "commitment": "confirmed"}
        answer: LandedItem | None = await self.pool.call(
            "getTransaction", [signature, config], LandedItem | None
        )
        logs = answer.meta.log_messages if answer and answer.meta else None
        return tuple(self.pool.redactor.json(logs or []))

    async def fee(self, message: bytes) -> int | None:
        """Return the lamports that a message would cost; None if its blockhash is not known."""
        answer = await self._at(U63 | None, "getFeeForMessage", [_base64(message)], {})
        fee: int | None = answer.value
        return fee

    async def send(self, transaction: bytes) -> None:
        """Send once, to one RPC, without preflight. After any error but a JSON-RPC one it may still land."""
        await self.pool.call_once("sendTransaction", _sent(transaction))

    async def send_again(self, transaction: bytes) -> None:
        """Send a transaction that was sent before to every RPC: one of them may accept sends and drop them.

        Raises a LedgerError if none accepts it.
        """
        await self.pool.call_each_once("sendTransaction", _sent(transaction))

    async def _at(
        self, kind: Any, method: str, params: list[Any], config: dict[str, Any], least: int | None = None
    ) -> InContext[Any]:
        """Ask as of slot `least` or later (None: the floor), at `confirmed` by default."""
        if least is None:
            least = self.read_floor

        def check(where: str, answer: InContext[Any]) -> None:
            self._check_slot(where, method, answer.context.slot, least)

        config = {"commitment": _COMMITMENT} | config | ({"minContextSlot": least} if least else {})
        answer: InContext[Any] = await self.pool.call(method, [*params, config], IN_CONTEXT[kind], check)
        return answer

    def _check_slot(self, where: str, method: str, slot: int, least: int) -> None:
        """Refuse an answer of a node that is behind, or of one that says an absurd slot."""
        told = f"RPC {where}: {method}: answered as of slot {slot}, "
        if slot < least:
            raise RpcError(f"{told}expected {least} or later", MIN_CONTEXT_SLOT_NOT_REACHED)
        if self.credibility.is_absurd(slot, Moment.now()):
            raise RpcProtocolError(f"{told}which no ledger can have reached")


def _sent(transaction: bytes) -> list[Any]:
    return [_base64(transaction), {"encoding": "base64", "skipPreflight": True, "maxRetries": 0}]


def _base64(data: bytes) -> str:
    return b64encode(data).decode()
