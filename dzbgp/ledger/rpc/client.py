"""The questions that dzbgp asks a Solana-type ledger, and their answers as records."""

from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, TypeVar

import msgspec
from solders.hash import Hash, ParseHashError
from solders.pubkey import Pubkey

from dzbgp.ledger.errors import RpcError
from dzbgp.ledger.networks import Network
from dzbgp.ledger.rpc.transport import MIN_CONTEXT_SLOT_NOT_REACHED, RetryBudget, RpcTransport, malformed
from dzbgp.models.ledger import Account

T = TypeVar("T")

STATUSES_PER_CALL = 256
ACCOUNTS_PER_CALL = 100
_SAMPLES = 60


@dataclass(frozen=True, slots=True)
class Blockhash:
    """A recent blockhash; a transaction signed over it can land up to `last_valid_block_height`."""

    hash: Hash
    last_valid_block_height: int
    slot: int
    """The slot it was asked at: a transaction signed over it lands later than that."""


@dataclass(frozen=True, slots=True)
class SignatureStatus:
    """What a node knows of a signature. `err` is the runtime's error as JSON, None for success."""

    slot: int
    err: Any
    confirmation: str
    """`processed`, `confirmed` or `finalized`."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a dry run of a transaction gave."""

    err: Any
    logs: tuple[str, ...]
    units_consumed: int


class RpcClient:
    """A network's ledger, read at one commitment. An async context manager, for one event loop.

    Every method raises a LedgerError (dzbgp/ledger/errors.py).
    """

    def __init__(
        self, network: Network, commitment: str = "confirmed", budget: RetryBudget | None = None
    ) -> None:
        self.network = network
        self.commitment = commitment
        self.transport = RpcTransport(network.rpc_urls, budget or RetryBudget())
        self.read_floor = 0
        """The slot that program accounts must be as new as: whoever has written wants to read that again."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.transport.close()

    async def program_accounts(
        self, account_type: int, *matches: tuple[int, bytes]
    ) -> tuple[int, list[Account]]:
        """Return the slot and the program's accounts of a type; `matches`: further (offset, bytes) filters."""
        filters = [
            {"memcmp": {"offset": offset, "bytes": _base64(wanted), "encoding": "base64"}}
            for offset, wanted in ((0, bytes([account_type])), *matches)
        ]
        config = {"encoding": "base64", "withContext": True, "filters": filters} | self._at
        if self.read_floor:
            config["minContextSlot"] = self.read_floor
        params = [str(self.network.program_id), config]
        answer = await self.transport.call_into(_ProgramAccounts, "getProgramAccounts", params)
        return self._read(
            "getProgramAccounts",
            lambda: (
                answer.context.slot,
                [
                    Account(Pubkey.from_string(item.pubkey), item.account.data[0], item.account.lamports)
                    for item in answer.value
                ],
            ),
        )

    async def accounts(self, keys: Sequence[Pubkey], min_context_slot: int = 0) -> list[Account | None]:
        """Return the accounts at `keys`, None where there is none, as of `min_context_slot` or later."""
        found: list[Account | None] = []
        config = {"encoding": "base64", "minContextSlot": min_context_slot} | self._at
        for start in range(0, len(keys), ACCOUNTS_PER_CALL):
            some = [str(key) for key in keys[start : start + ACCOUNTS_PER_CALL]]
            answer = await self.transport.call("getMultipleAccounts", [some, config])
            slot, accounts = self._read(
                "getMultipleAccounts",
                lambda some=some, answer=answer: (  # type: ignore[misc]
                    _u64(answer["context"]["slot"]),
                    [
                        None if item is None else _account(key, item)
                        for key, item in zip(some, answer["value"], strict=True)
                    ],
                ),
            )
            if slot < min_context_slot:
                raise RpcError(
                    f"RPC {self.transport.where}: getMultipleAccounts: answered as of slot {slot}, "
                    f"asked for {min_context_slot} or later",
                    MIN_CONTEXT_SLOT_NOT_REACHED,
                )
            found += accounts
        return found

    async def seconds_per_slot(self) -> float | None:
        """Return the cluster's own slot time over the last hour; None where it keeps no samples."""
        answer = await self.transport.call("getRecentPerformanceSamples", [_SAMPLES])
        slots, seconds = self._read(
            "getRecentPerformanceSamples",
            lambda: (
                sum(_u64(sample["numSlots"]) for sample in answer),
                sum(_u64(sample["samplePeriodSecs"]) for sample in answer),
            ),
        )
        return seconds / slots if slots and seconds else None

    async def genesis_hashes(self) -> list[tuple[str, str]]:
        """Return (RPC, what tells its cluster from another) for every RPC that answers."""
        answers = await self.transport.call_all("getGenesisHash", [])
        return self._read(
            "getGenesisHash", lambda: [(where, str(Hash.from_string(answer))) for where, answer in answers]
        )

    async def minimum_balance(self, data_len: int) -> int:
        """Return the lamports that make an account of `data_len` bytes exempt from rent."""
        answer = await self.transport.call("getMinimumBalanceForRentExemption", [data_len])
        return self._read("getMinimumBalanceForRentExemption", lambda: _u64(answer))

    async def latest_blockhash(self, min_context_slot: int = 0) -> Blockhash:
        """Return a blockhash to sign over, from a node that has reached `min_context_slot`."""
        config = {"minContextSlot": min_context_slot} | self._at
        answer = await self.transport.call("getLatestBlockhash", [config])
        return self._read(
            "getLatestBlockhash",
            lambda: Blockhash(
                Hash.from_string(answer["value"]["blockhash"]),
                _u64(answer["value"]["lastValidBlockHeight"]),
                _u64(answer["context"]["slot"]),
            ),
        )

    async def height(self, commitment: str = "finalized") -> tuple[int, int]:
        """Return (slot, block height), both of the newest block; behind a finalized one no fork goes back."""
        answer = await self.transport.call("getEpochInfo", [{"commitment": commitment}])
        return self._read("getEpochInfo", lambda: (_u64(answer["absoluteSlot"]), _u64(answer["blockHeight"])))

    async def statuses(self, signatures: Sequence[str]) -> tuple[int, list[SignatureStatus | None]]:
        """Return (the oldest slot answered from, what is known of each signature: None for nothing)."""
        found: list[SignatureStatus | None] = []
        slots = []
        for start in range(0, len(signatures), STATUSES_PER_CALL):
            some = list(signatures[start : start + STATUSES_PER_CALL])
            answer = await self.transport.call(
                "getSignatureStatuses", [some, {"searchTransactionHistory": True}]
            )
            slot, statuses = self._read(
                "getSignatureStatuses",
                lambda some=some, answer=answer: (  # type: ignore[misc]
                    _u64(answer["context"]["slot"]),
                    [
                        None if item is None else _status(item)
                        for _, item in zip(some, answer["value"], strict=True)
                    ],
                ),
            )
            slots.append(slot)
            found += statuses
        return min(slots, default=0), found

    async def simulate(self, transaction: bytes) -> Simulation:
        """Run a transaction dry: the node puts in a blockhash of its own and checks no signature."""
        config = {"encoding": "base64", "sigVerify": False, "replaceRecentBlockhash": True} | self._at
        answer = await self.transport.call("simulateTransaction", [_base64(transaction), config])
        return self._read(
            "simulateTransaction",
            lambda: Simulation(
                answer["value"]["err"],
                tuple(answer["value"].get("logs") or ()),
                _u64(answer["value"].get("unitsConsumed") or 0),
            ),
        )

    async def transaction_logs(self, signature: str) -> tuple[str, ...]:
        """Return what a transaction that landed has logged; nothing where the node keeps no history."""
        config = {"encoding": "json", "maxSupportedTransactionVersion": 0, "commitment": "confirmed"}
        answer = await self.transport.call("getTransaction", [signature, config])
        return self._read(
            "getTransaction", lambda: tuple(answer["meta"].get("logMessages") or ()) if answer else ()
        )

    async def fee(self, message: bytes) -> int | None:
        """Return the lamports that a message would cost; None when its blockhash is not known."""
        answer = await self.transport.call("getFeeForMessage", [_base64(message), self._at])
        return self._read("getFeeForMessage", lambda: _optional_u64(answer["value"]))

    async def send(self, transaction: bytes) -> None:
        """Send once and without preflight. After any error but a JSON-RPC one it may still land."""
        config = {"encoding": "base64", "skipPreflight": True, "maxRetries": 0}
        await self.transport.call("sendTransaction", [_base64(transaction), config], retry=False)

    @property
    def _at(self) -> dict[str, str]:
        return {"commitment": self.commitment}

    def _read(self, method: str, read: Callable[[], T]) -> T:
        """Run `read` over an answer; an answer of another form than it expects is a protocol error."""
        try:
            return read()
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, ParseHashError):
            pass
        raise malformed(self.transport.where, method)


_U63 = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
"""See `_u64`."""


# Without the collector of cycles, of which these are no part: there are as many as users.
class _AccountItem(msgspec.Struct, gc=False):
    data: tuple[bytes, Literal["base64"]]
    lamports: _U63


class _ProgramAccount(msgspec.Struct, gc=False):
    pubkey: str
    account: _AccountItem


class _Context(msgspec.Struct):
    slot: _U63


class _ProgramAccounts(msgspec.Struct):
    context: _Context
    value: list[_ProgramAccount]


def _account(pubkey: str, item: dict[str, Any]) -> Account:
    return Account(
        Pubkey.from_string(pubkey), b64decode(item["data"][0], validate=True), _u64(item["lamports"])
    )


def _status(item: dict[str, Any]) -> SignatureStatus:
    return SignatureStatus(_u64(item["slot"]), item["err"], str(item["confirmationStatus"]))


def _optional_u64(value: Any) -> int | None:
    return None if value is None else _u64(value)


def _u64(value: Any) -> int:
    """Return a slot, a height, or lamports. Raises ValueError for what is none.

    They are u64, but the upper half has no use, and no room in the state file, whose integers are signed.
    """
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise ValueError("no u64")
    return value


def _base64(data: bytes) -> str:
    return b64encode(data).decode()
