"""RPC endpoints as they are in the wild: pools of nodes that lag, freeze, forget, drop and fail.

The seam is httpx2's transport: what the program's own client sends arrives here, and what is answered here goes
through all of its code for HTTP, JSON-RPC, retries and errors.
"""

import asyncio
import base64
import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from simulation.chain import Chain, Report, reports_of
from simulation.kernel import Kernel, Killed, Process
from simulation.node import Node, Refused

FORGED = "forged"
"""How a line begins that an RPC put into the program's output."""

NOT_ACCEPTED = frozenset({-32700, -32600, -32601, -32602, -32002, -32003})
"""Errors of a node that did not take it: a request that it cannot read or does not know, a failed preflight, keys.
The program's own list is what is tested, so it is not used here."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with some nodes of an endpoint for a while. Times in seconds since the beginning.

    kind            what it does; what `amount` is
    lag             everything is so many slots old
    frozen          stands at the slot of the beginning; accepts sends and drops them
    stale_accounts  accounts are so many slots old, everything else is new
    forgetful       knows no signature
    dropping        accepts sends and drops them, with this probability
    late            passes sends on so many slots later
    slow            answers so many seconds later
    silent          never answers
    wedged          never answers over a connection from before
    refusing        takes no connection
    status          answers with this HTTP status, and a page that echoes the path
    error           answers with this JSON-RPC error in an HTTP 200
    cut             breaks the connection in the middle of the answer
    no_samples      its performance samples are absurd
    wild_slot       its slots are 2^60
    """

    kind: str
    start: float
    end: float
    endpoint: int
    node: int | None
    """None: all of the endpoint's nodes."""
    amount: float = 0.0


@dataclass
class Seen:
    """An account in an answer to the program. Times in seconds since the beginning."""

    asked_at: float
    answered_at: float
    slot: int
    """As of which the node says that it is."""
    data: bytes | None


@dataclass
class Pool:
    """All endpoints of a simulation."""

    kernel: Kernel
    chain: Chain
    random: random.Random
    token: str
    endpoints: int
    nodes: int
    faults: list[Fault] = field(default_factory=list)
    requests: int = 0
    kill_after: int = 0
    """The process is killed when it hands out so many more transactions."""
    on_sign: Callable[[Process, str, tuple[Report, ...], VersionedTransaction], None] = lambda *_: None
    """Told of each transaction when the program first hands it out, before anything can go wrong."""
    on_read: Callable[[Process, Pubkey, Seen], None] = lambda *_: None
    _known: set[str] = field(default_factory=set)
    _sends: Counter[str] = field(default_factory=Counter)
    """By signature: how often each transaction was sent."""
    _refusals: Counter[str] = field(default_factory=Counter)
    """Those of them that were answered with NOT_ACCEPTED."""

    @property
    def urls(self) -> tuple[str, ...]:
        """The endpoints' URLs, with the token that must never be shown."""
        return tuple(f"http://rpc{number}.invalid:8899/{self.token}" for number in range(self.endpoints))

    async def answer(
        self, wire: "Transport", endpoint: int, path: str, body: bytes, timeout_s: float
    ) -> httpx2.Response:
        """Answer one HTTP request, after the time that it takes. Raises httpx2's errors."""
        process = wire.process
        self.requests += 1
        asked, asked_at = json.loads(body), self.kernel.now
        signature = ""
        if asked["method"] == "sendTransaction":
            signature = self._note_signature(process, asked["params"][0])
            self._sends[signature] += 1
        faults = self._faults(endpoint, self.random.randrange(self.nodes))
        latency_s = 0.01 + self.random.random() * 0.1
        if "slow" in faults:
            latency_s += faults["slow"].amount
        if "refusing" in faults:
            await asyncio.sleep(0.02)
            raise httpx2.ConnectError("refused")
        is_wedged = "wedged" in faults and wire.opened_at < faults["wedged"].start
        if "silent" in faults or is_wedged or latency_s > timeout_s:
            await asyncio.sleep(timeout_s)
            raise httpx2.ReadTimeout("no answer")
        await asyncio.sleep(latency_s / 2)
        if process.is_dead:
            raise httpx2.ReadError("the process is gone")
        if "status" in faults:
            page = f"<html>error on /{path}</html>".encode()
            return httpx2.Response(int(faults["status"].amount), content=page)
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": asked.get("id")}
        if "error" in faults:
            answer["error"] = {
                "code": int(faults["error"].amount),
                "message": f"\x1b[31mService unavailable at /{path}\n{FORGED}",
            }
        else:
            answer |= self._answered(process, asked, faults, asked_at)
        await asyncio.sleep(latency_s / 2)
        if "cut" in faults:
            raise httpx2.RemoteProtocolError("cut short")
        if signature and answer.get("error", {}).get("code") in NOT_ACCEPTED:
            self._refusals[signature] += 1
        return httpx2.Response(200, content=json.dumps(answer).encode())

    def _faults(self, endpoint: int, node: int) -> dict[str, Fault]:
        now = self.kernel.now
        return {
            fault.kind: fault
            for fault in self.faults
            if fault.start <= now < fault.end and fault.endpoint == endpoint and fault.node in {None, node}
        }

    def _answered(
        self, process: Process, asked: dict[str, Any], faults: dict[str, Fault], asked_at: float
    ) -> dict[str, Any]:
        def read(key: Pubkey, slot: int, data: bytes | None) -> None:
            self.on_read(process, key, Seen(asked_at, self.kernel.now, slot, data))

        newest = self.chain.slot
        if "lag" in faults:
            newest -= int(faults["lag"].amount)
        if "frozen" in faults:
            newest = min(newest, self.chain.slot_at(faults["frozen"].start))
        node = Node(
            self.chain,
            newest,
            read,
            lambda raw: self._send(process, raw, faults),
            accounts_behind=int(faults["stale_accounts"].amount) if "stale_accounts" in faults else 0,
            is_wild="wild_slot" in faults,
            is_forgetful="forgetful" in faults,
            has_odd_samples="no_samples" in faults,
        )
        try:
            return {"result": node.call(asked["method"], asked.get("params") or [])}
        except Refused as refused:
            error = {"code": refused.code, "message": refused.message}
            return {"error": error | ({"data": refused.data} if refused.data is not None else {})}

    def is_refused(self, signature: str) -> bool:
        """Whether every send of a transaction was answered with an error after which no node has it."""
        return 0 < self._sends[signature] == self._refusals[signature]

    def _note_signature(self, process: Process, encoded: str) -> str:
        raw = VersionedTransaction.from_bytes(base64.b64decode(encoded))
        signature = str(raw.signatures[0])
        if signature not in self._known:
            self._known.add(signature)
            self.on_sign(process, signature, tuple(reports_of(raw, self.chain.program_id)), raw)
        if self.kill_after:
            self.kill_after -= 1
            if self.kill_after == 0:
                self._kill_around(process)
        return signature

    def _kill_around(self, process: Process) -> None:
        """Kill a process just before what it sends leaves, or when that has arrived."""
        if self.random.random() < 0.5:
            self.kernel.kill(process)
            raise Killed
        self.kernel.after(0.09, lambda: self.kernel.kill(process))

    def _send(self, process: Process, raw: VersionedTransaction, faults: dict[str, Fault]) -> None:
        if "frozen" in faults:
            return
        if "dropping" in faults and self.random.random() < faults["dropping"].amount:
            return
        delay = 1 + int(self.random.random() * 4)
        if "late" in faults:
            delay += int(faults["late"].amount)
        self.chain.send(raw, delay, process.name)


class Transport(httpx2.AsyncBaseTransport):
    """What stands in for httpx2's own transport: a wire to the simulation that runs."""

    pool: Pool

    def __init__(self, *_: Any, **__: Any) -> None:
        process = self.pool.kernel.current.process
        assert process is not None
        self.process = process
        self.opened_at = self.pool.kernel.now

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer one request."""
        host, path = request.url.host, request.url.path.strip("/")
        endpoint = int(host.removeprefix("rpc").partition(".")[0])
        body = await request.aread()
        timeout_s = (request.extensions.get("timeout") or {}).get("read") or 3600.0
        return await self.pool.answer(self, endpoint, path, body, timeout_s)
