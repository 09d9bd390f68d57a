"""`dzbgp lab`: the lab, until it is interrupted."""

import contextlib
import json
import shlex
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from dzbgp.errors import LabError
from dzbgp.lab.control import controlled
from dzbgp.lab.lab import Lab

_CONFIGURATION = "dzbgp.toml"
"""What commands need to use the lab, in its directory."""


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
            _configured(lab, home, generation) as configuration,
        ):
            _introduce(lab, directory, configuration, say)
            threading.Event().wait()
    except KeyboardInterrupt:
        say("stopping")


@contextlib.contextmanager
def _configured(lab: Lab, home: Path, generation: int) -> Iterator[Path]:
    """Write a configuration file with the lab's options; remove it and the lab's state file at the end."""
    configuration, state = home / _CONFIGURATION, home / f"state-{generation}.sqlite"
    settings = {
        "env": lab.network.name,
        "rpc-url": list(lab.network.rpc_urls),
        "inventory": str(lab.inventory),
        "keypair": [str(lab.keypairs)],
        "tls-ca-file": str(lab.ca_file),
        "state": str(state),
    }
    text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
    try:
        configuration.write_text(text, encoding="utf-8")
    except OSError as error:
        raise LabError(f"{configuration}: {error.strerror}") from None
    try:
        yield configuration
    finally:
        for file in (configuration, *home.glob(f"{state.name}*")):
            file.unlink(missing_ok=True)


def _introduce(lab: Lab, directory: Path, configuration: Path, say: Callable[[str], object]) -> None:
    world, device = lab.world, lab.world.devices[0]
    down = (user for user in world.users if user.session is not None and user.session.state != "Established")
    user = str(next(down, world.users[0]).user.pubkey)
    commands = {
        "a dry run": ("run", "--dry-run"),
        "a run that writes": ("run",),
        "users that are Down": ("users", "--bgp-status", "down"),
        "why a user is Down": ("explain", user),
        "a session that flaps": ("lab", "flap", device.host),
        "many that go down": ("lab", "mass-down", device.host),
        "the guard holds them": ("run",),
        "what is held": ("status",),
        "release it": ("release",),
        "the next run writes": ("run",),
    }
    say(f"{len(world.devices)} devices, such as {device.host} at {device.address}:{device.port}")
    say(f"ledger: {lab.ledger.url} (program {world.program_id})")
    say("")
    say("Try, in another terminal:")
    for title, (name, *words) in commands.items():
        place = ("--dir", str(directory)) if name == "lab" else ("--config", str(configuration))
        say(f"  {title:<{max(map(len, commands))}}  {shlex.join(('dzbgp', name, *words, *place))}")
    say("")
    say("Ctrl-C stops the lab.")
