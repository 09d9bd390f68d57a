"""Read the program once, with names, for commands that show the ledger to people."""

import asyncio
import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from anyio.from_thread import start_blocking_portal
from solders.pubkey import Pubkey

from dzbgp.ledger.errors import RpcTransportError
from dzbgp.ledger.networks import Network
from dzbgp.ledger.program.accounts import (
    CONTRIBUTOR,
    EXCHANGE,
    LOCATION,
    MULTICAST_GROUP,
    decode_all,
    decode_contributor,
    decode_exchange,
    decode_location,
    decode_multicast_group,
)
from dzbgp.ledger.program.fetch import fetch, no_accounts
from dzbgp.ledger.rpc.client import RpcClient
from dzbgp.models.ledger import Contributor, Exchange, Location, MulticastGroup, ProgramData

TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Names:
    """The accounts that devices and users refer to. One that is missing or malformed is shown by its key."""

    locations: Mapping[Pubkey, Location] = field(default_factory=dict)
    exchanges: Mapping[Pubkey, Exchange] = field(default_factory=dict)
    contributors: Mapping[Pubkey, Contributor] = field(default_factory=dict)
    groups: Mapping[Pubkey, MulticastGroup] = field(default_factory=dict)

    def location(self, key: Pubkey) -> str:
        """Return the code of a location, or its key if it has none."""
        return _code(self.locations.get(key), key)

    def exchange(self, key: Pubkey) -> str:
        """Return the code of an exchange, or its key if it has none."""
        return _code(self.exchanges.get(key), key)

    def contributor(self, key: Pubkey) -> str:
        """Return the code of a contributor, or its key if it has none."""
        return _code(self.contributors.get(key), key)

    def group(self, key: Pubkey) -> str:
        """Return the code of a multicast group, or its key if it has none."""
        return _code(self.groups.get(key), key)


def _code(item: Location | Exchange | Contributor | MulticastGroup | None, key: Pubkey) -> str:
    return (item.code if item else "") or str(key)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A network's program at one moment."""

    env: str
    program_id: str
    data: ProgramData
    names: Names


def take_snapshot(network: Network, *, with_users: bool = True) -> Snapshot:
    """Read the program's accounts and their names. Raises a LedgerError.

    Works in any thread, also in one with a running event loop.
    """
    with _silent_http(), start_blocking_portal() as portal:
        return portal.call(_take, network, with_users)


async def _take(network: Network, with_users: bool) -> Snapshot:
    async with RpcClient(network) as client:
        naming = asyncio.create_task(_read_names(client))
        try:
            async with asyncio.timeout(TIMEOUT_S):
                data = await fetch(client, None if with_users else lambda _: ())
                names = await naming
        except TimeoutError:
            raise RpcTransportError(f"RPC {client.pool.where}: no program data in {TIMEOUT_S:g} s") from None
        finally:
            naming.cancel()
            # If the data failed too, nobody else retrieves this task's error.
            await asyncio.gather(naming, return_exceptions=True)
    return Snapshot(network.name, str(network.program_id), data, names)


async def _read_names(client: RpcClient) -> Names:
    kinds = (LOCATION, EXCHANGE, MULTICAST_GROUP)
    locations, exchanges, groups = [(await client.program_accounts(kind))[1] for kind in kinds]
    return Names(
        decode_all("location", locations, lambda item: decode_location(item.pubkey, item.data))[0],
        decode_all("exchange", exchanges, lambda item: decode_exchange(item.pubkey, item.data))[0],
        await _read_contributors(client),
        decode_all("group", groups, lambda item: decode_multicast_group(item.pubkey, item.data))[0],
    )


async def read_contributors(client: RpcClient) -> Collection[Contributor]:
    """Return all contributors; one whose account cannot be decoded has no code. Raises a LedgerError."""
    found = await _read_contributors(client)
    if not found:
        raise no_accounts(client, "contributor", "wrong --env, --program-id or --rpc-url?")
    return found.values()


async def _read_contributors(client: RpcClient) -> Mapping[Pubkey, Contributor]:
    _, accounts = await client.program_accounts(CONTRIBUTOR)
    decoded, _ = decode_all("contributor", accounts, lambda item: decode_contributor(item.pubkey, item.data))
    return {item.pubkey: Contributor(item.pubkey, code="") for item in accounts} | decoded


# At level INFO these loggers write whole URLs, and the path of an RPC URL is a secret.
_HTTP_LOGGERS = ("httpx2", "httpcore2", "solana")


@contextmanager
def _silent_http() -> Iterator[None]:
    """Silence the HTTP client, whatever logging the calling process has set up."""
    loggers = [logging.getLogger(name) for name in _HTTP_LOGGERS]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
