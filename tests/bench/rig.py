"""A fleet and a ledger in a process of their own, so that what they cost is not counted.

As a script: `python rig.py DEVICES USERS_PER_DEVICE CHANGED DELAY_S DIRECTORY` prints one line of JSON when everything
listens, one more with what was asked so far for each line of its standard input, and ends with that.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from solders.pubkey import Pubkey

from dzbgp.fleet import Fleet
from dzbgp.inventory import FleetOptions, load_inventory
from dzbgp.job import run_pass
from dzbgp.judging import PassOptions
from dzbgp.lab.eos import EosFault, EosFleet, FaultKind
from dzbgp.lab.ledger import Ledger
from dzbgp.lab.scenario_big import big_world
from dzbgp.lab.scenario_inventory import write_inventory
from dzbgp.ledger.networks import Network
from dzbgp.ledger.session import LedgerSession, SessionOptions
from dzbgp.models import Report

START_S = 300


@dataclass(frozen=True)
class Rig:
    """What points a pass at the running lab."""

    inventory: Path
    url: str
    program_id: str
    process: "subprocess.Popen[str]"

    def served(self) -> tuple[dict[str, int], int]:
        """The requests that each device has read so far, and the bytes that the ledger has sent."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        told = json.loads(self.process.stdout.readline())
        return told["requests"], told["bytes_sent"]

    @property
    def network(self) -> Network:
        return Network("localnet", Pubkey.from_string(self.program_id), (self.url,))

    def fleet(self, workers: int) -> Fleet:
        return Fleet(load_inventory(self.inventory, FleetOptions(workers=workers)))

    def dry_run(self, workers: int, confirm_down_s: float = 0.0) -> Report:
        """One whole pass, without a write."""
        options = PassOptions(dry_run=True, confirm_down_s=confirm_down_s)
        with self.fleet(workers) as fleet, LedgerSession(self.network, SessionOptions()) as session:
            return run_pass(fleet, session, options, NoProgress())


class NoProgress:
    """A progress that shows nothing."""

    def stage(self, name: str, total: int) -> None:
        pass

    def step(self, count: int = 1) -> None:
        pass


@contextmanager
def rig(
    directory: Path, devices: int, users: int, *, changed: float = 0.0, delay_s: float = 0.0
) -> Iterator[Rig]:
    """Starts a healthy world of `devices` with `users` each. `delay_s`: how long each answer takes."""
    words = [sys.executable, __file__, str(devices), str(users), str(changed), str(delay_s), str(directory)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        made = json.loads(process.stdout.readline())
        yield Rig(Path(made["inventory"]), made["url"], made["program_id"], process)
    finally:
        process.communicate(timeout=START_S)


def main(devices: int, users: int, changed: float, delay_s: float, directory: Path) -> None:
    world = big_world(devices, users, changed=changed, block="127.104")
    with (
        EosFleet.start(world.eos_devices()) as fleet,
        Ledger.start(
            world.accounts(), program_id=world.program_id, balances={}, start_slot=world.now_slot
        ) as ledger,
    ):
        if delay_s:
            for code in fleet.addresses:
                fleet.set_fault(code, EosFault(FaultKind.SLOW, delay_s=delay_s))
        inventory = write_inventory(directory, world.relocated(fleet.addresses)).parent
        made = {"inventory": str(inventory), "url": ledger.url, "program_id": str(world.program_id)}
        say(made)
        for _ in sys.stdin:
            requests = {code: fleet.requests(code) for code in fleet.addresses}
            say({"requests": requests, "bytes_sent": ledger.stats().bytes_sent})


def say(line: object) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]), Path(sys.argv[5]))
