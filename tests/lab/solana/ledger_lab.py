"""A small ledger for its own tests, and the two ways to speak to it: raw JSON, and solana-py."""

import asyncio
import base64
import http.client
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from raw_accounts import PROGRAM, device, key, payload, sign, user, write
from solana.rpc.async_api import AsyncClient
from solders.hash import Hash
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from dzbgp.lab.solana.ledger import Ledger

T = TypeVar("T")
DEVICE = key(100)
USERS = [key(200 + i) for i in range(4)]
PAYER = Keypair.from_seed(bytes(32))
START = 300_000_000


@contextmanager
def small_ledger(users: list[Pubkey] | None = None, **changes: Any) -> Iterator[Ledger]:
    """One device, its users, a publisher with 1 SOL; slots pass by hand unless `slot_ms` says otherwise."""
    accounts = {DEVICE: device(PAYER.pubkey())} | {one: user(DEVICE) for one in users or USERS}
    settings: dict[str, Any] = {"slot_ms": 0, "start_slot": START} | changes
    with Ledger.start(accounts, program_id=PROGRAM, balances={PAYER.pubkey(): 10**9}, **settings) as ledger:
        yield ledger


def post(ledger: Ledger, body: Any, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of one HTTP request."""
    connection = http.client.HTTPConnection(ledger.url.removeprefix("http://"), timeout=10)
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        connection.request("POST", "/", raw, {"content-type": "application/json", **headers})
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def call(ledger: Ledger, method: str, *params: Any) -> Any:
    """The answer to one JSON-RPC request, with `result` or `error`."""
    status, _, body = post(ledger, {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
    assert status == 200
    return json.loads(body)


def result(ledger: Ledger, method: str, *params: Any) -> Any:
    return call(ledger, method, *params)["result"]


def blockhash(ledger: Ledger, commitment: str = "processed") -> Hash:
    return Hash.from_string(
        result(ledger, "getLatestBlockhash", {"commitment": commitment})["value"]["blockhash"]
    )


def transaction(ledger: Ledger, *users: Pubkey, rtt_ns: int = 0, status: int = 1) -> VersionedTransaction:
    """A signed transaction that writes `users` (default: the first one)."""
    data = payload(status, rtt_ns)
    instructions = [write(one, DEVICE, PAYER.pubkey(), data) for one in users or USERS[:1]]
    return sign(instructions, PAYER, blockhash(ledger))


def encode(tx: VersionedTransaction) -> str:
    return base64.b64encode(bytes(tx)).decode()


def send(ledger: Ledger, tx: VersionedTransaction, **config: Any) -> Any:
    """The answer to sendTransaction; the preflight looks at processed unless told otherwise."""
    options = {"encoding": "base64", "preflightCommitment": "processed"} | config
    return call(ledger, "sendTransaction", encode(tx), options)


def status_of(ledger: Ledger, tx: VersionedTransaction, **config: Any) -> Any:
    return result(ledger, "getSignatureStatuses", [str(tx.signatures[0])], config)["value"][0]


def ask(ledger: Ledger, question: Callable[[AsyncClient], Awaitable[T]], **options: Any) -> T:
    """Runs `question` with a solana-py client that does not repeat anything by itself."""

    async def run() -> T:
        async with AsyncClient(ledger.url, max_transport_retries=0, **options) as client:
            return await question(client)

    return asyncio.run(run())
