"""The devices of a network and the names of what they point to: what an inventory is made of. No user is read."""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from anyio.from_thread import start_blocking_portal
from solders.pubkey import Pubkey

from dzbgp.ledger.errors import EmptyProgramError, RpcTransportError
from dzbgp.ledger.networks import Network
from dzbgp.ledger.program.accounts import DEVICE, decode_all, decode_device
from dzbgp.ledger.program.snapshot import TIMEOUT_S, Names, read_names
from dzbgp.ledger.rpc.client import RpcClient
from dzbgp.models.ledger import Device

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
