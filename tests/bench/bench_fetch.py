"""What a fetch of the program's accounts costs: ours, and all accounts as one unfiltered answer."""

import asyncio
import statistics
import time
from base64 import b64decode
from collections.abc import Awaitable, Callable

from big_world import big_world
from goals import Row, Table
from solana.rpc.async_http_provider import AsyncHTTPProvider
from solana.rpc.jsonrpc import JsonRpcRequest, JsonRpcResponseEnvelope
from solders.pubkey import Pubkey

from dzbgp.lab.solana.ledger import Ledger
from dzbgp.lab.world.accounts import key_of
from dzbgp.lab.world.encode import AccountType, encode_noise
from dzbgp.ledger.networks import Network
from dzbgp.ledger.program.accounts import DEVICE, USER, decode_all, decode_device, decode_user
from dzbgp.ledger.program.fetch import fetch
from dzbgp.ledger.rpc.client import RpcClient
from dzbgp.models.ledger import Account, ProgramData

DEVICES, USERS, OTHERS = 100, 10_000, 5_000
KINDS = (
    AccountType.ACCESS_PASS,
    AccountType.LINK,
    AccountType.MULTICAST_GROUP,
    AccountType.RESOURCE_EXTENSION,
)
ROUNDS = 5
MIB = 2**20


def bench() -> Table:
    world = big_world(DEVICES, USERS // DEVICES)
    accounts = world.accounts()
    missing = DEVICES + USERS + OTHERS - len(accounts)
    accounts |= {
        key_of(1, f"noise {number}"): encode_noise(KINDS[number % len(KINDS)], number)
        for number in range(missing)
    }
    with Ledger.start(
        accounts, program_id=world.program_id, balances={}, start_slot=world.now_slot
    ) as ledger:
        network = Network("localnet", world.program_id, (ledger.url,))
        few = [spec.device.pubkey for spec in world.devices[:4]]

        def ours(scope: list[Pubkey] | None) -> Callable[[], Awaitable[object]]:
            async def ask() -> ProgramData:
                async with RpcClient(network) as client:
                    data = await fetch(client, None if scope is None else lambda _: scope)
                    assert len(data.users) == (USERS if scope is None else len(scope) * USERS // DEVICES)
                    return data

            return ask

        def everything(encoding: str) -> Callable[[], Awaitable[object]]:
            async def ask() -> int:
                params = [str(world.program_id), {"encoding": "base64", "commitment": "confirmed"}]
                async with AsyncHTTPProvider(ledger.url, {"accept-encoding": encoding}, 30) as http:
                    raw = await http.make_request_unparsed(
                        JsonRpcRequest(method="getProgramAccounts", params=params)
                    )
                found = [
                    Account(
                        Pubkey.from_string(item["pubkey"]),
                        b64decode(item["account"]["data"][0]),
                        item["account"]["lamports"],
                    )
                    for item in JsonRpcResponseEnvelope.model_validate_json(raw).result or ()
                ]
                assert len(found) == len(accounts)
                users = [account for account in found if account.data[0] == USER]
                devices = [account for account in found if account.data[0] == DEVICE]
                decode_all("device", devices, lambda item: decode_device(item.pubkey, item.data))
                decoded, _ = decode_all("user", users, lambda item: decode_user(item.pubkey, item.data))
                assert len(decoded) == USERS
                return len(found)

            return ask

        raw_bytes, _ = measure(ledger, everything("identity"))
        all_bytes, all_s = measure(ledger, everything("gzip"))
        our_bytes, our_s = measure(ledger, ours(None))
        few_bytes, few_s = measure(ledger, ours(few))
    table = Table(
        "Fetch of the program's accounts",
        f"{DEVICES} devices, {USERS:,} users, {OTHERS:,} other accounts; the lab's ledger on loopback, in the same "
        f"process and in Python, which is most of the time; decoded; median of {ROUNDS}",
    )
    table.rows = [
        Row("everything, uncompressed: bytes", f"{raw_bytes / MIB:.2f} MiB"),
        Row("everything, gzip: bytes", f"{all_bytes / MIB:.2f} MiB"),
        Row("everything, gzip: time", f"{all_s:.2f} s"),
        Row(
            "ours (users, devices, tenants): bytes",
            f"{our_bytes / MIB:.2f} MiB",
            "< everything",
            our_bytes < all_bytes,
        ),
        Row("ours: time", f"{our_s:.2f} s", "< 2 s", our_s < 2),
        Row(
            "ours: share of everything, uncompressed",
            f"{our_bytes / raw_bytes:.0%}",
            "< 50%",
            our_bytes < raw_bytes / 2,
        ),
        Row("ours, 4 devices: bytes", f"{few_bytes / MIB:.3f} MiB", "< 10%", few_bytes < all_bytes / 10),
        Row("ours, 4 devices: time", f"{few_s:.2f} s", "< everything", few_s < all_s),
    ]
    return table


def measure(ledger: Ledger, ask: Callable[[], Awaitable[object]]) -> tuple[int, float]:
    """Bytes of the answers on the wire, and the median of the seconds."""

    async def run() -> object:
        return await ask()

    durations = []
    before = ledger.stats().bytes_sent
    for _ in range(ROUNDS):
        started = time.monotonic()
        asyncio.run(run())
        durations.append(time.monotonic() - started)
    return (ledger.stats().bytes_sent - before) // ROUNDS, statistics.median(durations)
