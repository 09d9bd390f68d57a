"""A watch in a thread of the test's own process, on a small lab that the test can play with."""

import logging
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from big_world import big_world
from msgspec.structs import replace
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from waiting import until

from dzbgp.decision.rules import Rules
from dzbgp.errors import ExitCode
from dzbgp.fleet.fleet import Fleet
from dzbgp.fleet.load import load_inventory
from dzbgp.lab.eos.fleet import EosFleet
from dzbgp.lab.solana.faults import Fault, FaultKind
from dzbgp.lab.solana.ledger import Ledger
from dzbgp.lab.world.encode import encode_user
from dzbgp.lab.world.inventory import write_inventory
from dzbgp.lab.world.world import UserSpec, World
from dzbgp.ledger.networks import Network
from dzbgp.ledger.program.accounts import decode_user
from dzbgp.ledger.program.cache import TTL_S
from dzbgp.ledger.rpc.retry import RetryBudget
from dzbgp.ledger.session import LedgerSession, SessionOptions
from dzbgp.ledger.submit.signers import Signers
from dzbgp.ledger.submit.submitter import SubmitOptions
from dzbgp.metrics.registry import Metrics
from dzbgp.models.ledger import BgpStatus, User
from dzbgp.models.report import Report
from dzbgp.run.observer import Observer
from dzbgp.run.request import PassOptions
from dzbgp.run.setup import Setup
from dzbgp.run.systemd import Notifier
from dzbgp.run.watch import Watch, WatchOptions
from dzbgp.state.memory import Memory
from dzbgp.state.store import Store

DEADLINE_S = 30
QUICK = SubmitOptions(poll_s=0.01, resend_s=0.1, deadline_s=10, interrupt_wait_s=1)
BUDGET = RetryBudget(attempts=3, base_s=0.01, cap_s=0.05, request_s=0.5, deadline_s=1.5)
NO_GUARD = Rules(max_down=1.0, max_down_min=1_000_000)


@dataclass
class Told(Observer):
    """What a watch has told."""

    metrics: Metrics = field(default_factory=Metrics)
    reports: list[Report] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    """Monotonic, when each pass ended, well or badly."""
    failures: list[BaseException] = field(default_factory=list)

    def passed(self, report: Report, result: ExitCode) -> None:
        self.metrics.observe_pass(report, result)
        self.reports.append(report)
        self.at.append(time.monotonic())

    def failed(self, error: BaseException, duration_s: float) -> None:
        self.metrics.observe_failed_pass(error, duration_s)
        self.failures.append(error)
        self.at.append(time.monotonic())

    def counted(self, result: str) -> int:
        """The counter of submissions with that result, over both statuses."""
        lines = self.metrics.render().decode().splitlines()
        name = "doublezero_bgpstatus_submissions_total{"
        return sum(int(float(line.split()[-1])) for line in lines if line.startswith(name) and result in line)


@dataclass
class WatchLab:
    """A running lab and what a watch on it needs."""

    world: World
    devices: EosFleet
    ledger: Ledger
    session: LedgerSession
    inventory: Path
    options: PassOptions
    told: Told
    history: Store | None
    watches: list[tuple[Watch, threading.Thread]] = field(default_factory=list)

    def load(self) -> Setup:
        return Setup(Fleet(load_inventory(self.inventory)), self.options)

    def made(
        self,
        interval_s: float = 0.05,
        notifier: Notifier | None = None,
        stop_wait_s: float = 5,
        passes: int | None = None,
    ) -> Watch:
        options = WatchOptions(interval_s, stop_wait_s=stop_wait_s, passes=passes)
        memory = Memory(self.history, dry_run=False)
        return Watch(self.session, memory, self.load, options, self.told, notifier or Notifier({}))

    def start(self, interval_s: float = 0.05, **more: float) -> Watch:
        """Starts a watch in a thread, to be stopped at the end of the lab."""
        watch = self.made(interval_s, **more)  # type: ignore[arg-type]
        thread = threading.Thread(target=watch.run, name="watch", daemon=True)
        self.watches.append((watch, thread))
        thread.start()
        return watch

    def stop(self) -> None:
        """Ends all watches, and fails when one does not end."""
        for watch, thread in self.watches:
            watch.stop()
            thread.join(DEADLINE_S)
            assert not thread.is_alive(), "the watch did not end"
        self.watches.clear()

    @property
    def passes(self) -> int:
        return len(self.told.at)

    def more_passes(self, count: int) -> None:
        wanted = self.passes + count
        until(lambda: self.passes >= wanted)

    def spec(self, number: int) -> UserSpec:
        return self.world.users[number]

    def put(self, number: int, *, up: bool) -> None:
        """Set a user's session up or down, with an age that does not look like a bounce."""
        spec = self.spec(number)
        state = "Established" if up else "Idle"
        self.devices.set_state(spec.device, spec.eos_peer().address, state, established_s=86_400.0)

    def onchain(self, number: int) -> User:
        key = self.spec(number).user.pubkey
        data = self.ledger.account(key)
        assert data is not None
        return decode_user(key, data)

    def report_elsewhere(self, number: int, status: BgpStatus) -> int:
        """Report a user as another writer, just now, and return the slot."""
        user = replace(self.onchain(number), bgp_status=status, last_bgp_reported_at=self.ledger.slot)
        self.ledger.set_account(user.pubkey, encode_user(user))
        return user.last_bgp_reported_at

    def says(self, number: int, status: BgpStatus) -> bool:
        return self.onchain(number).bgp_status is status

    def writes(self) -> dict[Pubkey, int]:
        return self.ledger.stats().per_user

    def all_landed(self, history: Store) -> bool:
        """Whether everything that the state file still follows has landed."""
        return all(settled.fate.has_landed for settled in self.session.fates(history.in_flight()))

    def inject(self, kind: FaultKind, **how: object) -> None:
        self.ledger.inject(Fault(kind=kind, **how))  # type: ignore[arg-type]


@contextmanager
def watch_lab(
    directory: Path,
    devices: int = 1,
    users: int = 4,
    *,
    changed: float = 0.0,
    history: bool = True,
    confirm_down_s: float = 0.0,
    rules: Rules = NO_GUARD,
    submit: SubmitOptions = QUICK,
    slot_ms: int = 20,
    timeout_s: float = 1.0,
    data_good_s: float = TTL_S,
) -> Iterator[WatchLab]:
    """A healthy world; `changed` is the share of users about whom there is news at the start."""
    logging.getLogger("stamina").setLevel(logging.CRITICAL)
    keypairs = World.default_publishers()
    block = f"127.{random.randint(110, 250)}"
    world = big_world(
        devices,
        users,
        changed=changed,
        block=block,
        publishers={name: keypair.pubkey() for name, keypair in keypairs.items()},
    )
    with (
        EosFleet.start(world.eos_devices()) as fleet,
        Ledger.start(
            world.accounts(),
            program_id=world.program_id,
            balances={keypair.pubkey(): 10**10 for keypair in keypairs.values()},
            slot_ms=slot_ms,
            start_slot=world.now_slot,
        ) as ledger,
    ):
        world = world.relocated(fleet.addresses)
        inventory = write_inventory(directory / "inventory", world).parent
        defaults = inventory / "defaults.yaml"
        defaults.write_text(defaults.read_text().replace("timeout: 3", f"timeout: {timeout_s}"))
        network = Network("localnet", world.program_id, (ledger.url,))
        signers = signers_of(keypairs)
        told = Told()
        kept = Store.open(directory / "state.sqlite", world.program_id) if history else None
        with LedgerSession(
            network,
            SessionOptions(submit=submit, budget=BUDGET, data_good_s=data_good_s),
            on_fetch=told.metrics.observe_fetch,
        ) as session:
            options = PassOptions(dry_run=False, rules=rules, confirm_down_s=confirm_down_s, signers=signers)
            lab = WatchLab(world, fleet, ledger, session, inventory, options, told, kept)
            try:
                yield lab
            finally:
                lab.stop()
                if kept is not None:
                    kept.close()


def signers_of(keypairs: dict[str, Keypair]) -> Signers:
    return Signers({keypair.pubkey(): keypair for keypair in keypairs.values()})
