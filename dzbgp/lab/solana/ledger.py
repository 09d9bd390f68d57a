"""The lab's ledger: a real Solana runtime behind Solana's JSON-RPC on 127.0.0.1, under the caller's control.

    with Ledger.start(accounts, program_id=..., balances={payer: 10**9}, slot_ms=20) as ledger:
        client = AsyncClient(ledger.url)

The same control is there for a ledger in another process, as JSON-RPC methods: labStats, labTransactions,
labInject, labClearFaults, labAdvance, labAccount, labSetAccount, labSetBalance.
"""

import asyncio
import base64
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

from solders.pubkey import Pubkey
from solders.signature import Signature

from dzbgp.lab.http import LoopThread, serve
from dzbgp.lab.solana.chain import Chain, Pace
from dzbgp.lab.solana.faults import Fault
from dzbgp.lab.solana.methods import RpcMethods
from dzbgp.lab.solana.program import elf
from dzbgp.lab.solana.server import RpcServer

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LedgerStats:
    """What the RPCs of a ledger were asked, and what it did."""

    requests: dict[str, int]
    """Requests that arrived, by RPC method, with those that a fault has hit; each call of a batch counts."""
    http_requests: int
    bytes_sent: int
    """Bytes of answers' bodies, as they went over the wire."""
    transactions_executed: int
    """Transactions that landed, with success or with an error."""
    transactions_failed: int
    instructions_executed: int
    """SetUserBGPStatus instructions that took effect."""
    per_user: dict[Pubkey, int]
    """The same by user account."""
    fees: int
    """Lamports."""
    faults: dict[str, int]
    """How often each kind of fault has hit."""


@dataclass(frozen=True, slots=True)
class LedgerTransaction:
    """A transaction that landed. `err` is Solana's JSON for its error, None for success."""

    signature: Signature
    slot: int
    err: Any
    users: tuple[Pubkey, ...]
    """The user of every SetUserBGPStatus in it, whether it took effect or not."""
    logs: tuple[str, ...]
    size: int
    """Bytes."""


class Ledger:
    """A running ledger; every method may be called from any thread. Made by `start`."""

    def __init__(self, loop: LoopThread, core: "_Core") -> None:
        self._loop = loop
        self._core: _Core | None = core
        self.url = f"http://127.0.0.1:{core.port}"

    @classmethod
    def start(
        cls,
        accounts: Mapping[Pubkey, bytes],
        *,
        program_id: Pubkey,
        balances: Mapping[Pubkey, int],
        port: int = 0,
        slot_ms: int = Pace.slot_ms,
        start_slot: int = Pace.start_slot,
        confirmed_after: int = Pace.confirmed_after,
        finalized_after: int = Pace.finalized_after,
        land_after: int = Pace.land_after,
        faults: Iterable[Fault] = (),
        generation: int = 0,
    ) -> Self:
        """Start a ledger whose program owns `accounts`; `balances` are in lamports.

        `slot_ms` 0: slots pass by `advance` only. The `_after` are in slots. Ledgers of different `generation` have
        different genesis hashes.
        Raises OSError when `port` is taken.
        """
        pace = Pace(start_slot, slot_ms, confirmed_after, finalized_after, land_after)
        loop = LoopThread("lab-ledger")

        async def make() -> _Core:
            chain = Chain(
                accounts,
                program_id=program_id,
                program=elf(),
                balances=balances,
                pace=pace,
                generation=generation,
            )
            core = _Core(chain)
            for fault in faults:
                core.server.faults.add(fault)
            await core.listen(port)
            return core

        try:
            return cls(loop, loop.call(make()))
        except BaseException:
            loop.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End it; stopping again does nothing."""
        core, self._core = self._core, None
        if core is not None:
            self._loop.call(core.close())
            self._loop.close()

    def _call(self, function: Callable[["_Core"], T]) -> T:
        core = self._core
        if core is None:
            raise RuntimeError("the ledger has been stopped")

        async def run() -> T:
            return function(core)

        return self._loop.call(run())

    @property
    def slot(self) -> int:
        """Return the newest slot, of commitment processed."""
        return self._call(lambda core: core.chain.slot)

    def advance(self, slots: int) -> int:
        """Let slots pass at once; return the new slot."""
        return self._call(lambda core: core.chain.advance(slots))

    def begin_anew(self, slot: int) -> None:
        """Start another ledger at `slot`, with the accounts as they are and no transaction."""
        self._call(lambda core: core.chain.begin_anew(slot))

    def freeze(self) -> None:
        """Freeze the ledger: its RPCs answer, and no slot passes."""
        self._call(lambda core: core.chain.freeze())

    def thaw(self) -> None:
        """Let the ledger move again."""
        self._call(lambda core: core.chain.thaw())

    def account(self, pubkey: Pubkey) -> bytes | None:
        """Return an account's data as of the newest slot."""
        return self._call(lambda core: core.data(pubkey))

    def accounts(self) -> dict[Pubkey, bytes]:
        """Return the data of all accounts of the program as of the newest slot."""
        return self._call(_Core.all_data)

    def balance(self, pubkey: Pubkey) -> int:
        """Return lamports as of the newest slot."""
        return self._call(lambda core: core.balance(pubkey))

    def set_account(self, pubkey: Pubkey, data: bytes, *, settled: bool = True) -> None:
        """Write an account of the program from outside.

        `settled`: every commitment sees it at once; otherwise it gets confirmed and finalized as slots pass.
        """
        self._call(lambda core: core.set_account(pubkey, data, settled=settled))

    def set_balance(self, pubkey: Pubkey, lamports: int) -> None:
        """Set an account's balance, at every commitment."""
        self._call(lambda core: core.chain.put(pubkey, lamports=lamports))

    def stats(self) -> LedgerStats:
        """Return what was asked and done since the start."""
        return self._call(_Core.stats)

    def transactions(self) -> list[LedgerTransaction]:
        """Return what landed, oldest first. What a fork has undone is not there."""
        return self._call(_Core.transactions)

    def inject(self, fault: Fault) -> None:
        """Arm a fault of the first RPC."""
        self._call(lambda core: core.server.faults.add(fault))

    def add_rpc(self, faults: Iterable[Fault] = ()) -> str:
        """Open another RPC of the same ledger, with faults of its own; return its URL."""
        core = self._core
        if core is None:
            raise RuntimeError("the ledger has been stopped")
        return self._loop.call(core.add_rpc(tuple(faults)))

    def clear_faults(self) -> None:
        """Disarm all faults."""
        self._call(_Core.clear_faults)


class _Core:
    """Everything that lives in the loop's thread."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.port = 0
        self.server = RpcServer(
            RpcMethods(chain),
            {
                "labStats": self._stats_json,
                "labTransactions": self._transactions_json,
                "labInject": lambda fault: self.server.faults.add(Fault.from_json(fault)),
                "labClearFaults": self.clear_faults,
                "labAdvance": lambda slots: chain.advance(int(slots)),
                "labAccount": self._account_json,
                "labSetAccount": lambda pubkey, data: self.set_account(
                    Pubkey.from_string(pubkey), base64.b64decode(data, validate=True)
                ),
                "labSetBalance": lambda pubkey, lamports: chain.put(
                    Pubkey.from_string(pubkey), lamports=int(lamports)
                ),
            },
        )
        self._servers = [self.server]
        self._listeners: list[asyncio.Server] = []

    async def listen(self, port: int) -> None:
        self.port = await self._listen(self.server, port)

    async def _listen(self, server: RpcServer, port: int) -> int:
        listener = await serve(server.handle, "127.0.0.1", port)
        self._listeners.append(listener)
        taken: int = listener.sockets[0].getsockname()[1]
        return taken

    async def add_rpc(self, faults: Iterable[Fault]) -> str:
        server = RpcServer(RpcMethods(self.chain), {})
        for fault in faults:
            server.faults.add(fault)
        self._servers.append(server)
        return f"http://127.0.0.1:{await self._listen(server, 0)}"

    async def close(self) -> None:
        for listener in self._listeners:
            listener.close()
        self.chain.close()

    def clear_faults(self) -> None:
        for server in self._servers:
            server.faults.clear()

    def data(self, pubkey: Pubkey) -> bytes | None:
        account = self.chain.account(pubkey, self.chain.slot)
        return account.data if account else None

    def all_data(self) -> dict[Pubkey, bytes]:
        chain = self.chain
        return {
            pubkey: account.data for pubkey, account in chain.program_accounts(chain.program_id, chain.slot)
        }

    def balance(self, pubkey: Pubkey) -> int:
        account = self.chain.account(pubkey, self.chain.slot)
        return account.lamports if account else 0

    def set_account(self, pubkey: Pubkey, data: bytes, *, settled: bool = True) -> None:
        self.chain.put(pubkey, data=data, owner=self.chain.program_id, settled=settled)

    def stats(self) -> LedgerStats:
        _ = self.chain.slot  # what is due lands first
        landed = list(self.chain.landed.values())
        writes = Counter(user for one in landed if one.outcome.err is None for user in one.users)
        return LedgerStats(
            requests=dict(sum((server.requests for server in self._servers), Counter[str]())),
            http_requests=sum(server.http_requests for server in self._servers),
            bytes_sent=sum(server.bytes_sent for server in self._servers),
            transactions_executed=len(landed),
            transactions_failed=sum(one.outcome.err is not None for one in landed),
            instructions_executed=writes.total(),
            per_user=dict(writes),
            fees=sum(one.outcome.fee for one in landed),
            faults={
                str(kind): count for server in self._servers for kind, count in server.faults.hits.items()
            },
        )

    def transactions(self) -> list[LedgerTransaction]:
        _ = self.chain.slot
        return [
            LedgerTransaction(
                one.signature, one.slot, one.outcome.err, one.users, one.outcome.logs, len(bytes(one.tx))
            )
            for one in self.chain.landed.values()
        ]

    def _stats_json(self) -> dict[str, Any]:
        stats = asdict(self.stats())
        return {**stats, "per_user": {str(user): count for user, count in stats["per_user"].items()}}

    def _transactions_json(self) -> list[dict[str, Any]]:
        return [
            {
                "signature": str(one.signature),
                "slot": one.slot,
                "err": one.err,
                "users": [str(user) for user in one.users],
                "logs": list(one.logs),
                "size": one.size,
            }
            for one in self.transactions()
        ]

    def _account_json(self, pubkey: str) -> str | None:
        data = self.data(Pubkey.from_string(pubkey))
        return None if data is None else base64.b64encode(data).decode()
