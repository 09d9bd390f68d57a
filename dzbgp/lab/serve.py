"""`dzbgp lab`: the lab, until it is interrupted."""

import shlex
import threading
from collections.abc import Callable
from pathlib import Path

from dzbgp.errors import LabError
from dzbgp.lab.lab import DEFAULT_SEED, Lab, default_inventory
from dzbgp.lab.world.inventory import write_inventory


def serve_lab(directory: Path, *, port: int, seed: int, say: Callable[[str], None]) -> None:
    """Start the lab, says how to use it, and waits for a KeyboardInterrupt. Raises LabError."""
    keypairs = directory.resolve() / "keypairs"
    try:
        keypairs.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise LabError(f"--dir {directory}: {error.strerror}") from None
    try:
        with Lab.start(seed, port=port, keypairs=keypairs) as lab:
            _introduce(lab, _inventory(lab, directory.resolve()), say)
            threading.Event().wait()
    except KeyboardInterrupt:
        say("stopping")


def _inventory(lab: Lab, directory: Path) -> Path:
    """Return the inventory that fits the lab's world: the example one knows the keys of the default seed only."""
    if lab.world.seed == DEFAULT_SEED:
        return default_inventory()
    try:
        return write_inventory(directory / "inventory", lab.world).parent
    except OSError as error:
        raise LabError(f"{directory}: {error.strerror}") from None


def _introduce(lab: Lab, inventory: Path, say: Callable[[str], None]) -> None:
    addresses = [f"{spec.address}:{spec.port}" for spec in lab.world.devices]
    command = ["dzbgp", "run", "--inventory", str(inventory), "--env", "localnet"]
    command += ["--rpc-url", lab.ledger.url, "--keypair", str(lab.keypairs)]
    command += ["--tls-ca-file", str(lab.ca_file), "--dry-run"]
    say(f"{len(addresses)} devices: {addresses[0]} to {addresses[-1]}")
    say(f"ledger: {lab.ledger.url} (program {lab.world.program_id})")
    say("")
    say("Try, in another terminal:")
    say(f"  {shlex.join(command)}")
    say("")
    say("Ctrl-C stops the lab.")
