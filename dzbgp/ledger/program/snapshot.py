"""One reading of the ledger for people: the program's data, and the names of what it points to."""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from anyio.from_thread import start_blocking_portal
from solders.pubkey import Pubkey

from dzbgp.ledger.errors import EmptyProgramError, RpcTransportError
from dzbgp.ledger.networks import Network
from dzbgp.ledger.program.accounts import (
    CONTRIBUTOR,
    DEVICE,
    EXCHANGE,
    LOCATION,
    MULTICAST_GROUP,
    decode_all,
    decode_contributor,
    decode_device,
    decode_exchange,
    decode_location,
    decode_multicast_group,
)
from dzbgp.ledger.program.fetch import fetch
from dzbgp.ledger.rpc.client import RpcClient
from dzbgp.models.ledger import Contributor, Device, Exchange, Location, MulticastGroup, ProgramData

TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Names:
    """What devices and users point to. An account that is missing, or can't be read, costs only its name."""

    locations: Mapping[Pubkey, Location] = field(default_factory=dict)
    exchanges: Mapping[Pubkey, Exchange] = field(default_factory=dict)
    contributors: Mapping[Pubkey, Contributor] = field(default_factory=dict)
    groups: Mapping[Pubkey, MulticastGroup] = field(default_factory=dict)

    def location(self, key: Pubkey) -> str:
        """Gives the code of a location, its key where it has no name."""
        return _code(self.locations.get(key), key)

    def exchange(self, key: Pubkey) -> str:
        """Gives the code of an exchange, its key where it has no name."""
        return _code(self.exchanges.get(key), key)

    def contributor(self, key: Pubkey) -> str:
        """Gives the code of a contributor, its key where it has no name."""
        return _code(self.contributors.get(key), key)

    def group(self, key: Pubkey) -> str:
        """Gives the code of a multicast group, its key where it has no name."""
        return _code(self.groups.get(key), key)


def _code(item: Location | Exchange | Contributor | MulticastGroup | None, key: Pubkey) -> str:
    return (item.code if item else "") or str(key)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A network's program as it was read."""

    env: str
    program_id: str
    data: ProgramData
    names: Names


def take_snapshot(network: Network) -> Snapshot:
    """Reads the program's accounts and their names. Raises a LedgerError."""
    return asyncio.run(_take(network))


async def _take(network: Network) -> Snapshot:
    async with RpcClient(network) as client:
        naming = asyncio.create_task(read_names(client))
        try:
            async with asyncio.timeout(TIMEOUT_S):
                data = await fetch(client)
                names = await naming
        except TimeoutError:
            raise RpcTransportError(
                f"RPC {client.transport.where}: no program data in {TIMEOUT_S:g} s"
            ) from None
        finally:
            naming.cancel()
            # Its error, if it has one beside that of the data, is told by nobody else.
            await asyncio.gather(naming, return_exceptions=True)
    return Snapshot(network.name, str(network.program_id), data, names)


async def read_names(client: RpcClient) -> Names:
    """Reads the names of what devices and users point to. Raises a LedgerError."""
    kinds = (LOCATION, EXCHANGE, CONTRIBUTOR, MULTICAST_GROUP)
    read = [(await client.program_accounts(kind))[1] for kind in kinds]
    locations, exchanges, contributors, groups = read
    return Names(
        decode_all("location", locations, lambda item: decode_location(item.pubkey, item.data))[0],
        decode_all("exchange", exchanges, lambda item: decode_exchange(item.pubkey, item.data))[0],
        decode_all("contributor", contributors, lambda item: decode_contributor(item.pubkey, item.data))[0],
        decode_all("group", groups, lambda item: decode_multicast_group(item.pubkey, item.data))[0],
    )


# At level INFO these tell whole URLs, and the path of an RPC's is a secret.
_TALKERS = ("httpx2", "httpcore2", "solana")


@dataclass(frozen=True, slots=True)
class DeviceBook:
    """The devices of a network's program as they were read."""

    env: str
    slot: int
    devices: Mapping[Pubkey, Device]
    names: Names
    skipped: tuple[str, ...] = ()
    """One sentence for every device account that could not be read."""


def read_device_book(network: Network) -> DeviceBook:
    """Reads the devices and their names. Raises a LedgerError. For any thread, also one with an event loop."""
    with _untold(), start_blocking_portal() as portal:
        return portal.call(_read, network)


async def _read(network: Network) -> DeviceBook:
    async with RpcClient(network) as client:
        naming = asyncio.create_task(read_names(client))
        try:
            async with asyncio.timeout(TIMEOUT_S):
                slot, accounts = await client.program_accounts(DEVICE)
                names = await naming
        except TimeoutError:
            raise RpcTransportError(f"RPC {client.transport.where}: no devices in {TIMEOUT_S:g} s") from None
        finally:
            naming.cancel()
            # Its error, if it has one beside that of the devices, is told by nobody else.
            await asyncio.gather(naming, return_exceptions=True)
        devices, skipped = decode_all("device", accounts, lambda item: decode_device(item.pubkey, item.data))
        if not devices:
            raise EmptyProgramError(
                f"RPC {client.transport.where}: program {network.program_id} has no device accounts; expected "
                "at least one (wrong network, program or RPC?)"
            )
    return DeviceBook(network.name, slot, devices, names, tuple(skipped))


@contextmanager
def _untold() -> Iterator[None]:
    """Keeps what the HTTP client would tell of its requests out of whatever log the process has."""
    loggers = [logging.getLogger(name) for name in _TALKERS]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
