"""What one node answers: Solana's JSON-RPC methods over the ledger as the node sees it."""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from solders.hash import Hash
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from simulation.chain import (
    BLOCKHASH_LIFE,
    CONFIRMED_AFTER,
    FINALIZED_AFTER,
    SLOT_S,
    Chain,
    reports_of,
)

CLOCK_SYSVAR = "SysvarC1ock11111111111111111111111111111111"
SYSTEM = "11111111111111111111111111111111"
WILD_SLOT = 1 << 60
_EPOCH_SLOTS = 432_000
_MAX_ACCOUNTS = 100

Config = dict[str, Any]


class Refused(Exception):  # noqa: N818 - an answer
    """A JSON-RPC error."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data


@dataclass
class Node:
    """A node at the moment of one request."""

    chain: Chain
    newest: int
    """The slot that it has reached."""
    on_read: Callable[[Pubkey, int, bytes | None], None]
    """Told of every account that it shows, and as of which slot it says that this is."""
    send: Callable[[VersionedTransaction], None]
    accounts_behind: int = 0
    is_wild: bool = False
    is_forgetful: bool = False
    has_odd_samples: bool = False

    def call(self, method: str, params: list[Any]) -> Any:
        """Answer a request. Raises Refused."""
        function = getattr(self, f"_rpc_{method}", None)
        if function is None:
            raise Refused(-32601, "Method not found")
        return function(*params)

    def _slot(self, config: Config | None, *, accounts: bool = False) -> tuple[int, int]:
        """Return the slot that is answered from, and the one that is said."""
        config = config or {}
        commitment = config.get("commitment", "finalized")
        behind = {"processed": 0, "confirmed": CONFIRMED_AFTER}.get(commitment, FINALIZED_AFTER)
        # A young ledger has fewer slots than some nodes are behind.
        slot = max(0, self.newest - behind - (self.accounts_behind if accounts else 0))
        said = WILD_SLOT if self.is_wild else slot
        if said < config.get("minContextSlot", 0):
            raise Refused(-32016, "Minimum context slot has not been reached", {"contextSlot": said})
        return slot, said

    @staticmethod
    def _context(slot: int, value: Any) -> Any:
        return {"context": {"slot": slot, "apiVersion": "2.3.6"}, "value": value}

    # The cluster

    def _rpc_getGenesisHash(self) -> str:  # noqa: N802 - as all of these, the protocol's own name
        return str(self.chain.blockhash(0))

    def _rpc_getSlot(self, config: Config | None = None) -> int:  # noqa: N802
        return self._slot(config)[1]

    def _rpc_getBlockHeight(self, config: Config | None = None) -> int:  # noqa: N802
        return self.chain.height(self._slot(config)[0])

    def _rpc_getEpochInfo(self, config: Config | None = None) -> Any:  # noqa: N802
        slot, said = self._slot(config)
        return {"absoluteSlot": said, "blockHeight": self.chain.height(slot)}

    def _rpc_getBlockTime(self, slot: int) -> int:  # noqa: N802
        return self.chain.unix_time(slot)

    def _rpc_getRecentPerformanceSamples(self, limit: int = 1) -> Any:  # noqa: N802
        slots = 1 if self.has_odd_samples else round(60 / SLOT_S)
        return [{"slot": self.newest, "numSlots": slots, "samplePeriodSecs": 60}] * min(limit, 5)

    def _rpc_getMinimumBalanceForRentExemption(self, size: int, _: Config | None = None) -> int:  # noqa: N802
        return 890_880 + 6_960 * size

    def _rpc_getLatestBlockhash(self, config: Config | None = None) -> Any:  # noqa: N802
        slot, said = self._slot(config)
        last = self.chain.height(slot) + BLOCKHASH_LIFE
        return self._context(
            said, {"blockhash": str(self.chain.blockhash(slot)), "lastValidBlockHeight": last}
        )

    def _rpc_isBlockhashValid(self, blockhash: str, config: Config | None = None) -> Any:  # noqa: N802
        slot, said = self._slot(config)
        made_at = self.chain.slot_of(Hash.from_string(blockhash))
        return self._context(said, made_at is not None and made_at <= slot <= made_at + BLOCKHASH_LIFE)

    def _rpc_getFeeForMessage(self, message: str, config: Config | None = None) -> Any:  # noqa: N802
        signatures = Message.from_bytes(base64.b64decode(message)).header.num_required_signatures
        return self._context(self._slot(config)[1], 5_000 * signatures)

    # Accounts

    def _rpc_getBalance(self, _: str, config: Config | None = None) -> Any:  # noqa: N802
        return self._context(self._slot(config)[1], 10_000_000_000)

    def _rpc_getProgramAccounts(self, _: str, config: Config) -> Any:  # noqa: N802
        slot, said = self._slot(config, accounts=True)
        found = [
            {"pubkey": str(key), "account": self._account(key, data, said)}
            for key, data in self.chain.accounts(slot)
            if all(_matches(data, one["memcmp"]) for one in config.get("filters") or [])
        ]
        return self._context(said, found)

    def _rpc_getMultipleAccounts(self, keys: list[str], config: Config | None = None) -> Any:  # noqa: N802
        if len(keys) > _MAX_ACCOUNTS:
            raise Refused(-32602, f"Too many inputs provided; max {_MAX_ACCOUNTS}")
        slot, said = self._slot(config, accounts=True)
        return self._context(said, [self._any(key, slot, said) for key in keys])

    def _rpc_getAccountInfo(self, key: str, config: Config | None = None) -> Any:  # noqa: N802
        slot, said = self._slot(config, accounts=True)
        return self._context(said, self._any(key, slot, said))

    def _any(self, key: str, slot: int, said: int) -> Any:
        if key == CLOCK_SYSVAR:
            numbers = (slot, 0, slot // _EPOCH_SLOTS, slot // _EPOCH_SLOTS + 1, self.chain.unix_time(slot))
            return _json(b"".join(number.to_bytes(8, "little") for number in numbers), "Sysvar1" + "1" * 36)
        pubkey = Pubkey.from_string(key)
        if not self.chain.has(pubkey):
            return _json(b"", SYSTEM, 10_000_000_000)  # a publisher
        data = self.chain.data(pubkey, slot)
        if data is None:
            self.on_read(pubkey, said, None)
            return None
        return self._account(pubkey, data, said)

    def _account(self, key: Pubkey, data: bytes, said: int) -> Any:
        self.on_read(key, said, data)
        return _json(data, str(self.chain.program_id))

    # Transactions

    def _rpc_getSignatureStatuses(self, signatures: list[str], _: Config | None = None) -> Any:  # noqa: N802
        found = [None if self.is_forgetful else self._status(one) for one in signatures]
        return self._context(WILD_SLOT if self.is_wild else self.newest, found)

    def _status(self, signature: str) -> Any:
        landed = self.chain.landed.get(signature)
        if landed is None or landed.slot > self.newest:
            return None
        age = self.newest - landed.slot
        level = (
            "finalized" if age >= FINALIZED_AFTER else "confirmed" if age >= CONFIRMED_AFTER else "processed"
        )
        confirmations = None if level == "finalized" else age
        return {
            "slot": landed.slot,
            "confirmations": confirmations,
            "err": landed.error,
            "confirmationStatus": level,
        }

    def _rpc_getTransaction(self, signature: str, config: Config | None = None) -> Any:  # noqa: N802
        landed = self.chain.landed.get(signature)
        if landed is None or landed.slot > self._slot(config)[0] or self.is_forgetful:
            return None
        return {"slot": landed.slot, "meta": {"err": landed.error, "logMessages": []}}

    def _rpc_simulateTransaction(self, encoded: str, config: Config | None = None) -> Any:  # noqa: N802
        raw = VersionedTransaction.from_bytes(base64.b64decode(encoded))
        reports = tuple(reports_of(raw, self.chain.program_id))
        refused = self.chain.refusal(reports)
        err = None
        if refused is not None:
            index, code = refused
            err = {
                "InstructionError": [index + len(raw.message.instructions) - len(reports), {"Custom": code}]
            }
        units = 500 * len(reports)
        return self._context(self._slot(config)[1], {"err": err, "logs": [], "unitsConsumed": units})

    def _rpc_sendTransaction(self, encoded: str, _: Config | None = None) -> str:  # noqa: N802
        raw = VersionedTransaction.from_bytes(base64.b64decode(encoded))
        self.send(raw)
        return str(raw.signatures[0])


def _json(data: bytes, owner: str, lamports: int = 5_000_000) -> dict[str, Any]:
    return {
        "data": [base64.b64encode(data).decode(), "base64"],
        "lamports": lamports,
        "owner": owner,
        "executable": False,
        "rentEpoch": 0,
        "space": len(data),
    }


def _matches(data: bytes, memcmp: dict[str, Any]) -> bool:
    wanted = base64.b64decode(memcmp["bytes"])
    return data[memcmp["offset"] : memcmp["offset"] + len(wanted)] == wanted
