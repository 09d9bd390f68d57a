"""A fleet and a ledger, each in a process of its own, so that what they cost is not counted.

As a script: `python rig.py fleet|ledger DEVICES USERS_PER_DEVICE CHANGED DELAY_S DIRECTORY` prints one line of JSON
when everything listens, one more with what was asked so far for each line of its standard input, and ends with that.
The fleet moves a session first if the line says which: [device, neighbor, state].
"""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from big_world import big_world
from nornir_napalm.plugins.tasks import napalm_get
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from dzbgp.console.progress import NoProgress
from dzbgp.eos.connection import CONNECTION
from dzbgp.fleet.fleet import Fleet
from dzbgp.fleet.load import load_inventory
from dzbgp.fleet.options import FleetRequest
from dzbgp.lab.eos.fleet import DeviceFault, EosFault, EosFleet
from dzbgp.lab.solana.ledger import Ledger
from dzbgp.lab.world.inventory import write_inventory
from dzbgp.lab.world.scenario import PUBLISHERS
from dzbgp.lab.world.world import World
from dzbgp.ledger.networks import Network
from dzbgp.ledger.session import LedgerSession, SessionOptions
from dzbgp.models.report import Report
from dzbgp.models.session import DeviceResult, Observed
from dzbgp.run.job import run_pass
from dzbgp.run.request import PassOptions

START_S = 300


class Served:
    """A process of the rig."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def told(self) -> Any:
        """The next line that it says."""
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def asked(self, order: object = None) -> Any:
        """What it was asked so far, after it has done what it was ordered."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self.told()


@dataclass(frozen=True)
class Rig:
    """What points a pass at the running lab."""

    inventory: Path
    url: str
    program_id: str
    devices: int
    users: int
    """Of each device."""
    _fleet: Served
    _ledger: Served

    def served(self) -> tuple[dict[str, int], int]:
        """The requests that each device has read so far, and the bytes that the ledger has sent."""
        return self._fleet.asked(), self._ledger.asked()

    def move(self, code: str, address: str, state: str) -> None:
        """Let a session of a device be in another state."""
        self._fleet.asked([code, address, state])

    @property
    def network(self) -> Network:
        return Network("localnet", Pubkey.from_string(self.program_id), (self.url,))

    def fleet(self, workers: int) -> Fleet:
        return Fleet(load_inventory(self.inventory, FleetRequest(workers=workers)))

    def dry_run(self, workers: int, confirm_down_s: float = 0.0) -> Report:
        """One whole pass, without a write."""
        options = PassOptions(dry_run=True, confirm_down_s=confirm_down_s)
        with self.fleet(workers) as fleet, LedgerSession(self.network, SessionOptions()) as session:
            return self.whole(run_pass(fleet, session, options, NoProgress()))

    def whole(self, report: Report) -> Report:
        """The report of a pass that has read every device and decided about every user: no other is measured."""
        results = Counter(reading.result for reading in report.devices)
        assert results == {DeviceResult.OK: self.devices}, results
        reasons = Counter(
            one.reason for one in report.decisions if one.observation.observed is Observed.UNKNOWN
        )
        assert not reasons, reasons
        assert len(report.decisions) == self.devices * self.users, len(report.decisions)
        return report

    def bare_get(self, workers: int) -> None:
        """What Nornir's napalm_get does with the same inventory, the whole answers kept."""
        with bare_fleet(self, workers) as fleet:
            results = fleet._nornir.run(task=napalm_get, getters=["get_bgp_neighbors"])
            assert not results.failed
            assert len(results) == self.devices
            answers = [one.result["get_bgp_neighbors"] for one in results.values()]
            peers = sum(len(vrf["peers"]) for answer in answers for vrf in answer.values())
            assert peers >= self.devices * self.users, peers


@contextmanager
def bare_fleet(place: Rig, workers: int) -> Iterator[Fleet]:
    """The fleet, asked as Nornir, NAPALM and pyeapi do by themselves."""
    with place.fleet(workers) as fleet:
        for host in fleet.hosts.values():
            kept = host.connection_options[CONNECTION]
            extras = kept.extras or {}
            extras["optional_args"].pop("context", None)
            kept.extras = extras
        yield fleet


@contextmanager
def rig(
    directory: Path, devices: int, users: int, *, changed: float = 0.0, delay_s: float = 0.0
) -> Iterator[Rig]:
    """Starts a healthy world of `devices` with `users` each. `delay_s`: how long each answer takes."""
    words = [str(devices), str(users), str(changed), str(delay_s), str(directory)]
    with ExitStack() as stack:
        fleet, ledger = (stack.enter_context(_process(part, words)) for part in ("fleet", "ledger"))
        inventory = Path(fleet.told())
        url, program_id = ledger.told()
        yield Rig(inventory, url, program_id, devices, users, fleet, ledger)


@contextmanager
def _process(part: str, words: list[str]) -> Iterator[Served]:
    process = subprocess.Popen(
        [sys.executable, __file__, part, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield Served(process)
    finally:
        process.communicate(timeout=START_S)


def fleet_main(world: World, delay_s: float, directory: Path) -> None:
    with EosFleet.start(world.eos_devices()) as fleet:
        if delay_s:
            for code in fleet.addresses:
                fleet.set_fault(code, EosFault(DeviceFault.SLOW, delay_s=delay_s))
        serve(
            str(write_inventory(directory, world.relocated(fleet.addresses)).parent),
            lambda: {code: fleet.requests(code) for code in fleet.addresses},
            lambda order: fleet.set_state(*order, established_s=86_400.0),
        )


def ledger_main(world: World) -> None:
    with Ledger.start(
        world.accounts(),
        program_id=world.program_id,
        balances={keypair.pubkey(): 10**11 for keypair in keypairs().values()},
        start_slot=world.now_slot,
    ) as ledger:
        serve([ledger.url, str(world.program_id)], lambda: ledger.stats().bytes_sent)


def keypairs() -> dict[str, Keypair]:
    """The publishers' keys, the same in each process."""
    return {name: Keypair.from_seed(name.encode().ljust(32)[:32]) for name in PUBLISHERS}


def world_of(devices: int, users: int, changed: float = 0.0) -> World:
    """The world of a rig."""
    publishers = {name: keypair.pubkey() for name, keypair in keypairs().items()}
    return big_world(devices, users, changed=changed, block="127.104", publishers=publishers)


def serve(made: Any, asked: Callable[[], Any], do: Callable[[Any], None] = lambda _: None) -> None:
    say(made)
    for line in sys.stdin:
        if order := json.loads(line):
            do(order)
        say(asked())


def say(line: Any) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    built = world_of(int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
    if sys.argv[1] == "fleet":
        fleet_main(built, float(sys.argv[5]), Path(sys.argv[6]))
    else:
        ledger_main(built)
