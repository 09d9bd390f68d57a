"""`dzbgp lab`: the lab, until it is interrupted."""

import shlex
import threading
import time
from collections.abc import Callable
from pathlib import Path

from dzbgp.errors import LabError
from dzbgp.lab.control import controlled
from dzbgp.lab.lab import Lab


def serve_lab(directory: Path, *, port: int, seed: int, say: Callable[[str], object]) -> None:
    """Start the lab, print how to use it, and wait for a KeyboardInterrupt. Raises LabError."""
    home = directory.resolve()
    keypairs, inventory = home / "keypairs", home / "inventory"
    try:
        for place in (keypairs, inventory):
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise LabError(f"--dir {directory}: {error.strerror}") from None
    # What a state file remembers of another lab is of another ledger, which was at a higher slot.
    generation = int(time.time())
    try:
        with (
            Lab.start(seed, port=port, keypairs=keypairs, inventory=inventory, generation=generation) as lab,
            controlled(lab, directory),
        ):
            _introduce(lab, directory, say)
            threading.Event().wait()
    except KeyboardInterrupt:
        say("stopping")


def _introduce(lab: Lab, directory: Path, say: Callable[[str], object]) -> None:
    addresses = [f"{spec.address}:{spec.port}" for spec in lab.world.devices]
    command = ["dzbgp", "run", "--inventory", str(lab.inventory), "--env", "localnet"]
    command += ["--rpc-url", lab.ledger.url, "--keypair", str(lab.keypairs)]
    command += ["--tls-ca-file", str(lab.ca_file), "--dry-run"]
    say(f"{len(addresses)} devices: {addresses[0]} to {addresses[-1]}")
    say(f"ledger: {lab.ledger.url} (program {lab.world.program_id})")
    say("")
    say("Try, in another terminal:")
    say(f"  {shlex.join(command)}")
    say(f"  {shlex.join(['dzbgp', 'lab', '--dir', str(directory), 'flap', lab.world.devices[0].host])}")
    say("")
    say("Ctrl-C stops the lab.")
