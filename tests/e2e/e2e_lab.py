"""A lab in the test's own process, and dzbgp as a process of its own that is pointed at it."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ruamel.yaml
from solders.keypair import Keypair

from dzbgp.lab.eos.fleet import DeviceFault, EosFleet
from dzbgp.lab.solana.ledger import Ledger
from dzbgp.lab.world.inventory import write_inventory
from dzbgp.lab.world.world import World

CHECKOUT = Path(__file__).resolve().parents[2]
SCRIPT = Path(sys.executable).with_name("dzbgp")
SLOT_MS = 20
REAL_SLOT_MS = 400
"""A real cluster's rate, where nothing is to be said about it."""
REFRESH = "6h"
"""Slots as short as the lab's are no rate of a real cluster: they count as 0.4 s each."""
DEADLINE_S = 60
"""Nothing here takes as long; who hangs is found out."""
AILING = ("tyo-dz-001", "sgp-dz-001")
"""The devices that the lab's story lets down."""


@dataclass(frozen=True)
class E2eLab:
    """A running world."""

    world: World
    fleet: EosFleet
    ledger: Ledger
    inventory: Path
    """A directory with hosts.yaml and the others."""
    keypairs: Path
    publishers: Mapping[str, Keypair]

    @property
    def args(self) -> list[str]:
        """What points `dzbgp run` at this lab."""
        return [*self.ledger_args, "--keypair", str(self.keypairs), "--inventory", str(self.inventory)]

    @property
    def ledger_args(self) -> list[str]:
        return ["--env", "localnet", "--rpc-url", self.ledger.url, "--refresh-interval", REFRESH]

    @property
    def healthy(self) -> str:
        """The hosts that answer as they should, for --limit."""
        return ",".join(spec.host for spec in self.world.devices if spec.code not in AILING)

    def heal(self) -> None:
        """Lets every device answer."""
        for code in AILING:
            self.fleet.set_fault(code, None)

    def sent(self) -> int:
        """How many sendTransaction requests the ledger has seen."""
        return self.ledger.stats().requests.get("sendTransaction", 0)


@dataclass(frozen=True)
class Done:
    """A process that has ended."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        """The JSON report on stdout."""
        loaded: dict[str, Any] = json.loads(self.out)
        return loaded

    @property
    def error(self) -> str:
        """The one line that says why there was no run."""
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, self.err
        return lines[0]


@contextmanager
def started_lab(
    directory: Path, *, timeout_s: float = 1, slot_ms: int = SLOT_MS, password: str | None = None
) -> Iterator[E2eLab]:
    """A world whose devices listen on addresses of their own; `timeout_s` is how long dzbgp waits for one."""
    publishers = World.default_publishers()
    world = World.build(publishers={name: keypair.pubkey() for name, keypair in publishers.items()})
    net = random_net()
    elsewhere = {spec.code: f"{net}.{spec.address.split('.')[2]}" for spec in world.devices}
    devices = [replace(device, address=elsewhere[device.code], port=0) for device in world.eos_devices()]
    if password is not None:
        devices = [replace(device, password=password) for device in devices]
    with (
        EosFleet.start(devices) as fleet,
        Ledger.start(
            world.accounts(),
            program_id=world.program_id,
            balances={keypair.pubkey(): 10**10 for keypair in publishers.values()},
            slot_ms=slot_ms,
            start_slot=world.now_slot,
        ) as ledger,
    ):
        world = world.relocated(fleet.addresses)
        inventory = write_inventory(directory / "inventory", world).parent
        for name in ("defaults", "groups"):
            with edited(inventory / f"{name}.yaml") as content:
                for entry in [content] if name == "defaults" else content.values():
                    if "connection_options" in entry:
                        entry["connection_options"]["napalm"]["extras"]["timeout"] = timeout_s
                if name == "defaults" and password is not None:
                    content["password"] = password
        keypairs = directory / "keypairs"
        keypairs.mkdir(mode=0o700)
        for name, keypair in publishers.items():
            write_keypair(keypairs / f"{name}.json", keypair)
        yield E2eLab(world, fleet, ledger, inventory, keypairs, publishers)


@contextmanager
def edited(file: Path) -> Iterator[Any]:
    """Yield the content of a YAML file for changes, and write it back."""
    yaml = ruamel.yaml.YAML(typ="safe")
    yaml.default_flow_style = False
    content = yaml.load(file.read_text(encoding="utf-8"))
    yield content
    with file.open("w", encoding="utf-8") as stream:
        yaml.dump(content, stream)


def write_keypair(file: Path, keypair: Keypair, mode: int = 0o600) -> Path:
    file.write_text(json.dumps(list(bytes(keypair))), encoding="ascii")
    file.chmod(mode)
    return file


def environment(home: Path, **changes: str) -> dict[str, str]:
    """An environment in which nothing of the tester's own settings shows."""
    kept = {
        name: os.environ[name]
        for name in ("PATH", "LANG", "LD_LIBRARY_PATH", "PYTHONPATH")
        if name in os.environ
    }
    # A second look at what turns Down is another set's business; here it would only cost time.
    return kept | {"HOME": str(home), "TERM": "xterm", "COLUMNS": "200", "DZBGP_CONFIRM_DOWN": "0s"} | changes


def dzbgp(home: Path, *args: str, **env: str) -> Done:
    """Runs `dzbgp ARGS` to its end. `home` is where it starts, and its home directory."""
    done = subprocess.run(
        [SCRIPT, *args],
        cwd=home,
        env=environment(home, **env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def began(home: Path, *args: str, **env: str) -> "subprocess.Popen[str]":
    """Starts `dzbgp ARGS`."""
    return subprocess.Popen(
        [SCRIPT, *args],
        cwd=home,
        env=environment(home, **env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: "subprocess.Popen[str]") -> Done:
    """Waits for what `began`."""
    try:
        out, err = process.communicate(timeout=DEADLINE_S)
    finally:
        process.kill()
    return Done(process.returncode, out, err)


def interrupted(process: "subprocess.Popen[str]", wanted: signal.Signals, within_s: float) -> Done:
    """Sends the signal, and waits for the end, which must come soon."""
    process.send_signal(wanted)
    asked = time.monotonic()
    done = ended(process)
    assert time.monotonic() - asked < within_s
    return done


def random_net() -> str:
    """The first three numbers of loopback addresses that no other run is likely to use."""
    return f"127.{random.randint(110, 250)}.{random.randint(0, 255)}"


def silence(lab: E2eLab) -> None:
    """Lets no device answer at all."""
    for spec in lab.world.devices:
        lab.fleet.set_fault(spec.code, DeviceFault.NO_ANSWER)
