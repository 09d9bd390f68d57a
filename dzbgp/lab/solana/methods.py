"""Solana's JSON-RPC methods over the lab's chain. Answers have the shapes that a node of Agave 2.x gives."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from solders.hash import Hash
from solders.message import from_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.sysvar import CLOCK
from solders.transaction import VersionedTransaction

from dzbgp.lab.solana import codec
from dzbgp.lab.solana.chain import BLOCKHASH_LIFE, SLOTS_PER_EPOCH, Chain
from dzbgp.lab.solana.codec import JsonRpcError, invalid
from dzbgp.lab.solana.faults import Fault, FaultKind
from dzbgp.lab.solana.types import Execution, Landed, Version, explain, users_of

VERSION = "2.3.6"
SAMPLE_S = 60
MAX_SAMPLES = 720
MAX_ACCOUNTS = 100
MAX_STATUSES = 256
STATUS_CACHE_SLOTS = 300
"""How long getSignatureStatuses knows a signature without searching the history."""
USER_DEVICE_PK = 83

_PREFIX = "_rpc_"

Config = dict[str, Any]


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)


class RpcMethods:
    """The methods. Not thread-safe, as the chain is not."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._lag = 0
        self._frozen: dict[int, tuple[Fault, int]] = {}
        self._faults: dict[FaultKind, Fault] = {}
        self._methods: dict[str, Callable[..., Any]] = {
            _camel(name.removeprefix(_PREFIX)): method
            for name, method in inspect.getmembers(self, inspect.ismethod)
            if name.startswith(_PREFIX)
        }

    def call(self, method: str, params: Any, faults: Iterable[Fault] = ()) -> Any:
        """Return the result of one request that `faults` have hit. Raises JsonRpcError."""
        function = self._methods.get(method)
        if function is None:
            raise JsonRpcError(-32601, "Method not found")
        self._faults = {fault.kind: fault for fault in reversed(list(faults))}
        self._apply_first()
        arguments = [] if params is None else params
        if not isinstance(arguments, list):
            raise invalid("Invalid params: invalid type: map, expected a sequence.")
        try:
            return function(*arguments)
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise invalid(f"Invalid params: {error}") from error

    def _apply_first(self) -> None:
        for kind in (FaultKind.RPC_ERROR, FaultKind.NULL_ID):
            if (fault := self._faults.get(kind)) is not None:
                raise JsonRpcError(fault.code, fault.message, fault.data)
        if (fault := self._faults.get(FaultKind.NODE_BEHIND)) is not None:
            behind = fault.slot_count
            raise JsonRpcError(-32005, f"Node is behind by {behind} slots", {"numSlotsBehind": behind})
        if (fault := self._faults.get(FaultKind.EXPIRE_BLOCKHASH)) is not None:
            self._chain.advance(fault.slot_count)
        if (fault := self._faults.get(FaultKind.FORK)) is not None:
            self._chain.undo(fault.slot_count)
        stale = self._faults.get(FaultKind.STALE_SLOT)
        self._lag = stale.slot_count if stale else 0
        if (fault := self._faults.get(FaultKind.FROZEN_SLOT)) is not None:
            now = self._chain.slot
            # By identity: a fault's data need not be hashable.
            _, since = self._frozen.setdefault(id(fault), (fault, now))
            self._lag += now - since

    # What a request looks at

    def _slot(self, config: Config | None, default: str = "finalized") -> int:
        config = config or {}
        slot = self._chain.slot_at(config.get("commitment") or default) - self._lag
        least = config.get("minContextSlot")
        if least is not None and slot < least:
            raise JsonRpcError(-32016, "Minimum context slot has not been reached", {"contextSlot": slot})
        return slot

    def _context(self, slot: int, value: Any) -> dict[str, Any]:
        if (fault := self._faults.get(FaultKind.ABSURD_SLOT)) is not None:
            slot = fault.slot_count
        return {"context": {"apiVersion": VERSION, "slot": slot}, "value": value}

    # The cluster

    def _rpc_get_health(self) -> str:
        return "ok"

    def _rpc_get_version(self) -> dict[str, Any]:
        return {"solana-core": VERSION, "feature-set": 3640012085}

    def _rpc_get_genesis_hash(self) -> str:
        return str(self._chain.genesis_hash)

    def _rpc_get_slot(self, config: Config | None = None) -> int:
        return self._slot(config)

    def _rpc_get_block_height(self, config: Config | None = None) -> int:
        return self._chain.height(self._slot(config))

    def _rpc_get_block_time(self, slot: int) -> int | None:
        if FaultKind.NO_CLOCK in self._faults:
            return None
        if slot > self._chain.slot_at("confirmed"):
            raise JsonRpcError(-32004, f"Block not available for slot {slot}")
        return self._chain.unix_time(slot)

    def _rpc_get_epoch_info(self, config: Config | None = None) -> dict[str, int]:
        slot = self._slot(config)
        epoch, index = divmod(slot, SLOTS_PER_EPOCH)
        return {
            "absoluteSlot": slot,
            "blockHeight": self._chain.height(slot),
            "epoch": epoch,
            "slotIndex": index,
            "slotsInEpoch": SLOTS_PER_EPOCH,
            "transactionCount": len(self._chain.landed),
        }

    def _rpc_get_recent_performance_samples(self, limit: int | None = None) -> list[dict[str, int]]:
        if limit is not None and not 0 < limit <= MAX_SAMPLES:
            raise invalid(f"Invalid limit; max {MAX_SAMPLES}")
        absurd = self._faults.get(FaultKind.ABSURD_SAMPLES)
        slots = absurd.slot_count if absurd else SAMPLE_S * 1000 // self._chain.slot_duration_ms
        newest = self._chain.slot_at("finalized")
        return [
            {
                "slot": newest - i * slots,
                "numSlots": slots,
                "numTransactions": 0,
                "numNonVoteTransactions": 0,
                "samplePeriodSecs": SAMPLE_S,
            }
            for i in range(limit or MAX_SAMPLES)
        ]

    def _rpc_get_recent_prioritization_fees(self, _accounts: list[str] | None = None) -> list[dict[str, int]]:
        return [{"slot": self._chain.slot_at("confirmed"), "prioritizationFee": 0}]

    def _rpc_get_minimum_balance_for_rent_exemption(self, size: int, _config: Config | None = None) -> int:
        return self._chain.rent(size)

    # Blockhashes

    def _rpc_get_latest_blockhash(self, config: Config | None = None) -> dict[str, Any]:
        slot = self._slot(config)
        return self._context(slot, self._blockhash_json(slot))

    def _blockhash_json(self, slot: int) -> dict[str, Any]:
        last = self._chain.height(slot) + BLOCKHASH_LIFE
        return {"blockhash": str(self._chain.blockhash(slot)), "lastValidBlockHeight": last}

    def _rpc_is_blockhash_valid(self, blockhash: str, config: Config | None = None) -> dict[str, Any]:
        slot = self._slot(config)
        return self._context(slot, self._chain.knows(Hash.from_string(blockhash), slot))

    # Accounts

    def _rpc_get_balance(self, pubkey: str, config: Config | None = None) -> dict[str, Any]:
        slot = self._slot(config)
        account = self._chain.account(codec.read_pubkey(pubkey), slot)
        return self._context(slot, account.lamports if account else 0)

    def _account(self, pubkey: str, slot: int, config: Config | None) -> dict[str, Any] | None:
        config = config or {}
        key = codec.read_pubkey(pubkey)
        account = self._chain.account(key, slot)
        if key == CLOCK and account is not None:
            account = self._clock(account)
        return codec.account_json(account, config.get("encoding") or "binary", config.get("dataSlice"))

    def _clock(self, account: Version) -> Version | None:
        if FaultKind.NO_CLOCK in self._faults:
            return None
        if (fault := self._faults.get(FaultKind.SHIFTED_CLOCK)) is None:
            return account
        shifted = int.from_bytes(account.data[-8:], "little") + int(fault.delay_s)
        return replace(account, data=account.data[:-8] + shifted.to_bytes(8, "little"))

    def _rpc_get_account_info(self, pubkey: str, config: Config | None = None) -> dict[str, Any]:
        slot = self._slot(config)
        return self._context(slot, self._account(pubkey, slot, config))

    def _rpc_get_multiple_accounts(self, pubkeys: list[str], config: Config | None = None) -> dict[str, Any]:
        if len(pubkeys) > MAX_ACCOUNTS:
            raise invalid(f"Too many inputs provided; max {MAX_ACCOUNTS}")
        slot = self._slot(config)
        with_encoding = {"encoding": "base64", **(config or {})}
        return self._context(slot, [self._account(pubkey, slot, with_encoding) for pubkey in pubkeys])

    def _rpc_get_program_accounts(self, program_id: str, config: Config | None = None) -> Any:
        config = config or {}
        slot, filters = self._slot(config), config.get("filters") or []
        encoding, data_slice = config.get("encoding") or "binary", config.get("dataSlice")
        accounts = [
            {"pubkey": str(pubkey), "account": codec.account_json(account, encoding, data_slice)}
            for pubkey, account in self._chain.program_accounts(codec.read_pubkey(program_id), slot)
            if codec.matches(account, filters)
        ]
        if FaultKind.EMPTY_ACCOUNTS in self._faults:
            accounts = []
        return self._context(slot, accounts) if config.get("withContext") else accounts

    # Transactions

    def _rpc_get_fee_for_message(self, message: str, config: Config | None = None) -> dict[str, Any]:
        slot = self._slot(config)
        parsed = from_bytes_versioned(codec.read_bytes(message, "base64"))
        if not self._chain.knows(parsed.recent_blockhash, slot):
            return self._context(slot, None)
        unsigned = [Signature.default()] * parsed.header.num_required_signatures
        fee = self._chain.simulate(VersionedTransaction.populate(parsed, unsigned), verify=False).fee
        return self._context(slot, fee)

    def _rpc_send_transaction(self, encoded: str, config: Config | None = None) -> str:
        config = config or {}
        tx = codec.read_transaction(encoded, config.get("encoding") or "base58")
        reject = self._faults.get(FaultKind.REJECT_USER)
        if reject is not None and not reject.by_confirmation:
            self._move_user(tx, reject.user)
        if not config.get("skipPreflight"):
            self._preflight(tx, config)
        if reject is not None and reject.by_confirmation:
            self._move_user(tx, reject.user)
        if FaultKind.LOST_SEND not in self._faults:
            delayed = self._faults.get(FaultKind.DELAYED_SEND)
            self._chain.send(tx, delayed.slot_count if delayed else None)
        return str(tx.signatures[0])

    def _preflight(self, tx: VersionedTransaction, config: Config) -> None:
        view = {
            "commitment": config.get("preflightCommitment"),
            "minContextSlot": config.get("minContextSlot"),
        }
        slot = self._slot(view)
        if not all(tx.verify_with_results()):
            raise JsonRpcError(-32003, "Transaction signature verification failure")
        outcome = self._simulated(tx, slot)
        if outcome.err is not None:
            told = f"Transaction simulation failed: {explain(outcome.err)}"
            raise JsonRpcError(-32002, told, codec.simulation_json(outcome))

    def _simulated(self, tx: VersionedTransaction, slot: int, *, verify: bool = True) -> Execution:
        """Run `tx` as a node that has reached `slot` sees it."""
        landed = self._chain.landed.get(tx.signatures[0])
        if not self._chain.knows(tx.message.recent_blockhash, slot):
            return Execution("BlockhashNotFound", (), 0, 0)
        if landed is not None and landed.slot <= slot:
            return Execution("AlreadyProcessed", (), 0, 0)
        return self._chain.simulate(tx, verify=verify)

    def _move_user(self, tx: VersionedTransaction, user: Pubkey | None) -> None:
        """Move the user's account to another device, so that the program itself refuses the instruction."""
        target = user or next(iter(users_of(tx.message, self._chain.program_id)), None)
        account = self._chain.account(target, self._chain.slot) if target is not None else None
        if target is not None and account is not None:
            head, tail = account.data[:USER_DEVICE_PK], account.data[USER_DEVICE_PK + 32 :]
            self._chain.put(target, data=head + bytes(b"moved to another device".ljust(32, b".")) + tail)

    def _rpc_simulate_transaction(self, encoded: str, config: Config | None = None) -> dict[str, Any]:
        config = config or {}
        tx = codec.read_transaction(encoded, config.get("encoding") or "base58")
        if (reject := self._faults.get(FaultKind.REJECT_USER)) is not None:
            self._move_user(tx, reject.user)
        slot, verify, replace = (
            self._slot(config),
            bool(config.get("sigVerify")),
            config.get("replaceRecentBlockhash"),
        )
        if verify and replace:
            raise invalid("sigVerify may not be used with replaceRecentBlockhash")
        if verify and not all(tx.verify_with_results()):
            raise JsonRpcError(-32003, "Transaction signature verification failure")
        run = self._chain.simulate(tx, verify=False) if replace else self._simulated(tx, slot, verify=False)
        value = codec.simulation_json(run)
        if replace:
            value["replacementBlockhash"] = self._blockhash_json(slot)
        if wanted := config.get("accounts"):
            after = dict(run.accounts)
            encoding = wanted.get("encoding") or "base64"
            value["accounts"] = [
                codec.account_json(after.get(Pubkey.from_string(one)), encoding, None)
                for one in wanted["addresses"]
            ]
        return self._context(slot, value)

    def _rpc_get_signature_statuses(
        self, signatures: list[str], config: Config | None = None
    ) -> dict[str, Any]:
        if len(signatures) > MAX_STATUSES:
            raise invalid(f"Too many inputs provided; max {MAX_STATUSES}")
        search = bool((config or {}).get("searchTransactionHistory"))
        slot = self._slot({"commitment": "processed"})
        blind = FaultKind.BLIND_STATUSES in self._faults
        found = [self._chain.landed.get(codec.read_signature(one)) for one in signatures]
        return self._context(
            slot, [None if blind else self._status(one, slot, search=search) for one in found]
        )

    def _status(self, landed: Landed | None, slot: int, *, search: bool) -> dict[str, Any] | None:
        if landed is None or landed.slot > slot or (not search and slot - landed.slot > STATUS_CACHE_SLOTS):
            return None
        age, pace = slot - landed.slot, self._chain.pace
        final = age >= pace.finalized_after
        level = "finalized" if final else "confirmed" if age >= pace.confirmed_after else "processed"
        return {
            "slot": landed.slot,
            "confirmations": None if final else age,
            "err": landed.outcome.err,
            "status": codec.status_json(landed.outcome.err),
            "confirmationStatus": level,
        }

    def _rpc_get_transaction(
        self, signature: str, config: Config | str | None = None
    ) -> dict[str, Any] | None:
        options: Config = {"encoding": config} if isinstance(config, str) else config or {}
        if options.get("commitment") == "processed":
            raise invalid("Method does not support commitment below `confirmed`")
        landed = self._chain.landed.get(codec.read_signature(signature))
        if landed is None or landed.slot > self._slot(options):
            return None
        version, newest = codec.version_of(landed.tx), options.get("maxSupportedTransactionVersion")
        if version != "legacy" and newest is None:
            told = f"Transaction version ({version}) is not supported by the requesting client."
            raise JsonRpcError(
                -32015, f"{told} Please try the request again with maxSupportedTransactionVersion"
            )
        time = self._chain.unix_time(landed.slot)
        answer = codec.landed_json(landed, options.get("encoding") or "json", time)
        return answer if newest is None else {**answer, "version": version}
