"""The whole lab: a fleet of simulated EOS devices, a local ledger, and the keypairs to write to it with."""

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Self

from dzbgp.errors import LabError
from dzbgp.lab.eos.fleet import EosFleet
from dzbgp.lab.solana.ledger import Ledger
from dzbgp.lab.world.world import World
from dzbgp.ledger.networks import Network

DEFAULT_SEED = 1
"""The seed of the world that the example inventory describes."""
PUBLISHER_LAMPORTS = 10_000_000_000
"""What each publisher starts with: 10 SOL."""


class Lab:
    """A running lab, made by `start`. A context manager: leaving it stops everything and removes the keys."""

    def __init__(
        self, world: World, fleet: EosFleet, ledger: Ledger, keypairs: Path, stack: ExitStack
    ) -> None:
        self.world = world
        self.fleet = fleet
        self.ledger = ledger
        self.keypairs = keypairs
        """A directory with a Solana CLI keypair for each publisher."""
        self.ca_file = keypairs.parent / f"{keypairs.name}-ca.pem"
        """The certificate of the CA by which the devices prove themselves."""
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
    ) -> Self:
        """Start the world of `seed`; `addresses` says, by device code, where devices listen instead.

        `port` is the ledger's on 127.0.0.1, 0 for a free one; `keypairs` an existing directory for the
        publishers' keypairs, None for a temporary one. Raises LabError when an address is taken or a keypair
        can't be written.
        """
        publishers = World.default_publishers()
        world = World.build(
            seed,
            publishers={name: keypair.pubkey() for name, keypair in publishers.items()},
            addresses=addresses,
        )
        with ExitStack() as stack:
            if keypairs is None:
                keypairs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dzbgp-lab-")))
            try:
                fleet = stack.enter_context(EosFleet.start(world.eos_devices()))
                ledger = stack.enter_context(
                    Ledger.start(
                        world.accounts(),
                        program_id=world.program_id,
                        balances={keypair.pubkey(): PUBLISHER_LAMPORTS for keypair in publishers.values()},
                        port=port,
                        slot_ms=slot_ms,
                        start_slot=world.now_slot,
                    )
                )
            except OSError as error:
                raise LabError(
                    f"the lab could not start: {error.strerror or error} (is another lab running?)"
                ) from error
            # Only now: the keypairs of a lab that runs already may be in the same place.
            for name, keypair in publishers.items():
                file = keypairs / f"{name}.json"
                stack.callback(file.unlink, missing_ok=True)
                _write(file, json.dumps(list(bytes(keypair))))
            lab = cls(world, fleet, ledger, keypairs, stack)
            stack.callback(lab.ca_file.unlink, missing_ok=True)
            _write(lab.ca_file, fleet.ca_pem)
            lab._stack = stack.pop_all()
            return lab

    @property
    def network(self) -> Network:
        """The lab's ledger as a network."""
        return Network("localnet", self.world.program_id, (self.ledger.url,))

    def stop(self) -> None:
        """Stop everything and removes the keypairs that it made."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def default_inventory() -> Path:
    """Return the example inventory: the checkout's own, or the copy that is installed with the package."""
    checkout = Path(__file__).resolve().parents[2] / "inventory"
    if (checkout / "hosts.yaml").is_file():
        return checkout
    return Path(str(files("dzbgp.lab"))) / "inventory"


def _write(file: Path, content: str) -> None:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as written:
            written.write(content)
    except OSError as error:
        raise LabError(f"{file}: {error.strerror}") from None
