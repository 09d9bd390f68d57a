"""The whole lab: simulated EOS devices, a local ledger, the keypairs to write to it with, and an inventory."""

import errno
import json
import os
import random
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from dzbgp.errors import LabError
from dzbgp.lab.eos.fleet import EosFleet
from dzbgp.lab.solana.ledger import Ledger
from dzbgp.lab.world.inventory import write_inventory
from dzbgp.lab.world.world import World
from dzbgp.ledger.networks import Network

DEFAULT_SEED = 1
"""The seed of the world that the example inventory describes."""
_BLOCKS = range(110, 251)
"""The second numbers of the loopback addresses that a lab takes."""
_TRIES = 20
PUBLISHER_LAMPORTS = 10_000_000_000
"""What each publisher starts with: 10 SOL."""


class Lab:
    """A running lab, made by `start`. A context manager: leaving it stops everything and removes the keys."""

    def __init__(
        self, world: World, fleet: EosFleet, ledger: Ledger, keypairs: Path, inventory: Path, stack: ExitStack
    ) -> None:
        self.world = world
        self.fleet = fleet
        self.ledger = ledger
        self.keypairs = keypairs
        """A directory with a Solana CLI keypair for each publisher."""
        self.ca_file = keypairs.parent / f"{keypairs.name}-ca.pem"
        """The certificate of the CA by which the devices prove themselves."""
        self.inventory = inventory
        """A directory with an inventory of the devices where they listen."""
        self._stack = stack

    @classmethod
    def start(
        cls,
        seed: int = DEFAULT_SEED,
        *,
        addresses: Mapping[str, tuple[str, int]] | None = None,
        port: int = 0,
        slot_ms: int = 400,
        keypairs: Path | None = None,
        inventory: Path | None = None,
        generation: int = 0,
    ) -> Self:
        """Start the world of `seed` on free loopback addresses, or where `addresses` says, by device code.

        `port` is the ledger's on 127.0.0.1, 0 for a free one; `keypairs` and `inventory` are existing directories for
        the publishers' keypairs and the inventory's files, None for temporary ones. `generation` tells its
        ledger from that of another lab. Raises LabError when an address is taken or a file cannot be written.
        """
        publishers = World.default_publishers()
        world = World.build(
            seed,
            publishers={name: keypair.pubkey() for name, keypair in publishers.items()},
            addresses=addresses,
        )
        with ExitStack() as stack:
            made = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dzbgp-lab-")))
            if keypairs is None:
                keypairs = made / "keypairs"
                keypairs.mkdir()
            try:
                world, fleet = _listening(world, is_anywhere=addresses is None)
                stack.enter_context(fleet)
                ledger = stack.enter_context(
                    Ledger.start(
                        world.accounts(),
                        program_id=world.program_id,
                        balances={keypair.pubkey(): PUBLISHER_LAMPORTS for keypair in publishers.values()},
                        port=port,
                        slot_ms=slot_ms,
                        start_slot=world.now_slot,
                        generation=generation,
                    )
                )
            except OSError as error:
                raise LabError(
                    f"the lab could not start: {error.strerror or error} (is another lab running?)"
                ) from error
            try:
                where = write_inventory(
                    inventory or made / "inventory", world.relocated(fleet.addresses)
                ).parent
            except OSError as error:
                raise LabError(f"{inventory or made}: {error.strerror}") from None
            # Only now: the keypairs of a lab that runs already may be in the same place.
            for name, keypair in publishers.items():
                file = keypairs / f"{name}.json"
                stack.callback(file.unlink, missing_ok=True)
                _write(file, json.dumps(list(bytes(keypair))))
            lab = cls(world, fleet, ledger, keypairs, where, stack)
            stack.callback(lab.ca_file.unlink, missing_ok=True)
            _write(lab.ca_file, fleet.ca_pem)
            lab._stack = stack.pop_all()
            return lab

    @property
    def network(self) -> Network:
        """Return the lab's ledger as a network."""
        return Network("localnet", self.world.program_id, (self.ledger.url,))

    def stop(self) -> None:
        """Stop everything and remove the keypairs that it made."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _listening(world: World, *, is_anywhere: bool) -> tuple[World, EosFleet]:
    """Return the running devices, and their world with the addresses that they took. Raises OSError."""
    for is_last in (*[False] * (_TRIES - 1), True):
        moved = world.relocated(_elsewhere(world)) if is_anywhere else world
        try:
            return moved, EosFleet.start(moved.eos_devices())
        except OSError as error:
            if not is_anywhere or is_last or error.errno != errno.EADDRINUSE:
                raise
    raise AssertionError("the last try returns or raises")


def _elsewhere(world: World) -> dict[str, tuple[str, int]]:
    """Return other loopback addresses for the devices; those that share one still do."""
    block = f"127.{random.choice(_BLOCKS)}.{random.randrange(256)}"  # noqa: S311 - no secret
    known = {
        address: number for number, address in enumerate(dict.fromkeys(d.address for d in world.devices), 1)
    }
    return {spec.code: (f"{block}.{known[spec.address]}", spec.port) for spec in world.devices}


def _write(file: Path, content: str) -> None:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as written:
            written.write(content)
    except OSError as error:
        raise LabError(f"{file}: {error.strerror}") from None
