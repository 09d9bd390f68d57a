"""A run is killed at any point, a hundred times: nothing that matters is lost."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from big_world import big_world
from e2e_lab import E2eLab, environment, write_keypair
from waiting import until

from dzbgp.lab.eos.fleet import EosFleet
from dzbgp.lab.solana.faults import Fault, FaultKind
from dzbgp.lab.solana.ledger import Ledger
from dzbgp.lab.world.inventory import write_inventory
from dzbgp.lab.world.world import UserSpec, World
from dzbgp.ledger.program.accounts import decode_user
from dzbgp.models.in_flight import InFlight
from dzbgp.models.ledger import BgpStatus, User
from dzbgp.state.store import Store

KILLS = 100
PARTS = 4
"""The kills are spread over this many worlds, each of which goes through all points of a run."""
SLOT_MS = 10
EXPIRY_S = 3.0
"""In the lab's time: a blockhash's life, and until that is final."""

# Everything is imported once; each run is a process of its own, forked while there is but one thread.
RUNNER = """
import json, os, sys
import dzbgp.cli.app, dzbgp.run.setup, napalm.eos, nornir_napalm.plugins.connections, nornir.plugins.runners
import nornir.plugins.inventory, nornir.core.plugins.connections
print("ready", flush=True)
for line in sys.stdin:
    args = json.loads(line)
    pid = os.fork()
    if pid == 0:
        out = os.open(args["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.argv = ["dzbgp", *args["argv"]]
        try:
            dzbgp.cli.app.main()
        except SystemExit as end:
            os._exit(end.code if isinstance(end.code, int) else 0)
        os._exit(0)
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Runner:
    """Starts `dzbgp` processes without the time that its imports take."""

    def __init__(self, process: "subprocess.Popen[str]", directory: Path) -> None:
        self._process = process
        self.out = directory / "out"

    @classmethod
    @contextmanager
    def started(cls, directory: Path) -> "Iterator[Runner]":
        with subprocess.Popen(
            [sys.executable, "-c", RUNNER],
            cwd=directory,
            env=environment(directory, XDG_STATE_HOME=str(directory / "state"), DZBGP_CONFIRM_DOWN="0.05s"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                runner = cls(process, directory)
                assert runner._line() == "ready\n"
                yield runner
            finally:
                process.kill()

    def run(
        self, *argv: str, kill_after_s: float | None = None, kill_when: Callable[[], bool] | None = None
    ) -> int:
        """Runs to the end, or until it is killed; gives the exit code, negative for a signal."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"argv": argv, "out": str(self.out)}) + "\n")
        self._process.stdin.flush()
        pid = int(self._line())
        if kill_when is not None:
            until(kill_when)
        if kill_after_s is not None or kill_when is not None:
            time.sleep(kill_after_s or 0)
            # It is a child of the runner, which may have waited for it already: then there is nobody to kill.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return int(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@contextmanager
def small_lab(directory: Path, *, slot_ms: int = SLOT_MS) -> Iterator[E2eLab]:
    """Three devices of three publishers, with a dozen users each."""
    publishers = World.default_publishers()
    keys = {name: keypair.pubkey() for name, keypair in publishers.items()}
    world = big_world(3, 12, publishers=keys, block=f"127.{random.randint(110, 250)}")
    with (
        EosFleet.start(world.eos_devices()) as fleet,
        Ledger.start(
            world.accounts(),
            program_id=world.program_id,
            balances=dict.fromkeys(keys.values(), 10**11),
            slot_ms=slot_ms,
            start_slot=world.now_slot,
        ) as ledger,
    ):
        world = world.relocated(fleet.addresses)
        inventory = write_inventory(directory / "inventory", world).parent
        keypairs = directory / "keypairs"
        keypairs.mkdir(mode=0o700)
        for name, keypair in publishers.items():
            write_keypair(keypairs / f"{name}.json", keypair)
        yield E2eLab(world, fleet, ledger, inventory, keypairs, publishers)


def onchain(lab: E2eLab, spec: UserSpec) -> User:
    data = lab.ledger.account(spec.user.pubkey)
    assert data is not None
    return decode_user(spec.user.pubkey, data)


def is_up(lab: E2eLab, spec: UserSpec) -> bool:
    return lab.fleet.device(spec.device).peer(spec.peer_address).state == "Established"


def shake(lab: E2eLab, rng: random.Random, count: int = 8) -> None:
    """Some sessions go up, some down."""
    for spec in rng.sample(lab.world.users, count):
        state = "Active" if is_up(lab, spec) else "Established"
        lab.fleet.set_state(spec.device, spec.peer_address, state, rtt_us=rng.randint(1_000, 50_000))


def in_flight(lab: E2eLab, state: Path) -> list[InFlight]:
    """What is in flight after a run was killed; the state file is whole, and knows every user."""
    with Store.open(state, lab.world.program_id, read_only=True) as history:
        assert history.problems == []
        assert len(history.users()) == len(lab.world.users)
        return history.in_flight()


@pytest.mark.parametrize("part", range(PARTS))
def test_a_run_that_is_killed_at_any_point_loses_nothing_that_matters(tmp_path: Path, part: int) -> None:
    rng, kills = random.Random(part), KILLS // PARTS
    state = tmp_path / "state.sqlite"
    with small_lab(tmp_path) as lab, Runner.started(tmp_path) as runner:
        args = ("run", *lab.args, "--state", str(state), "--max-down", "100%", "--verbose")
        assert runner.run(*args) == 0, runner.out.read_text(encoding="utf-8")
        shake(lab, rng)
        began = time.monotonic()
        assert runner.run(*args) == 0, runner.out.read_text(encoding="utf-8")
        whole_s = time.monotonic() - began
        shake(lab, rng)
        # One surely between sending and confirming, whatever else the machine does.
        lab.ledger.inject(Fault(kind=FaultKind.DELAYED_SEND, times=None, slots=100))
        sent = lab.sent()
        assert runner.run(*args, kill_when=lambda: lab.sent() > sent) == -signal.SIGKILL
        lab.ledger.clear_faults()
        assert in_flight(lab, state)
        killed = 0
        for number in range(1, kills):
            shake(lab, rng)
            began = time.monotonic()
            # From its first moment to its last, evenly.
            code = runner.run(*args, kill_after_s=whole_s * (number + rng.random()) / kills)
            assert code in {-signal.SIGKILL, 0}, runner.out.read_text(encoding="utf-8")
            killed += code == -signal.SIGKILL
            if code == 0:
                # The machine had less to do than before.
                whole_s = min(whole_s, time.monotonic() - began)
            in_flight(lab, state)
        assert killed >= kills / 2
        time.sleep(EXPIRY_S)
        shake(lab, rng)
        assert runner.run(*args) == 0, runner.out.read_text(encoding="utf-8")
        for spec in lab.world.users:
            user = onchain(lab, spec)
            assert user.bgp_status is (BgpStatus.UP if is_up(lab, spec) else BgpStatus.DOWN)
            assert user.bgp_status is BgpStatus.UP or user.bgp_rtt_ns == 0
        assert "Another writer" not in runner.out.read_text(encoding="utf-8")
        writes = lab.ledger.stats().instructions_executed
        assert runner.run(*args) == 0
        assert lab.ledger.stats().instructions_executed == writes
        with Store.open(state, lab.world.program_id) as history:
            assert (history.in_flight(), history.problems) == ([], [])
    assert [file.name for file in tmp_path.iterdir() if "corrupt" in file.name] == []


def test_a_write_killed_between_sending_and_landing_is_let_be_until_its_fate_is_known(tmp_path: Path) -> None:
    state = tmp_path / "state.sqlite"
    with small_lab(tmp_path, slot_ms=100) as lab, Runner.started(tmp_path) as runner:
        args = ("run", *lab.args, "--state", str(state), "--max-down", "100%")
        # What is sent lands long after the run is killed.
        lab.ledger.inject(Fault(kind=FaultKind.DELAYED_SEND, times=None, slots=80))
        code = runner.run(*args, kill_when=lambda: lab.sent() >= len(lab.publishers))
        assert code == -signal.SIGKILL
        sent = lab.sent()
        assert sent >= 1
        with Store.open(state, lab.world.program_id, read_only=True) as history:
            flying = {user for flight in history.in_flight() for user in flight.users}
        expected = lab.world.expected()
        assert flying >= set(expected)  # and who rode along
        assert runner.run(*args, "--output", "json") == 3, runner.out.read_text(encoding="utf-8")
        assert lab.sent() == sent
        text = runner.out.read_text(encoding="utf-8")
        assert len(expected) <= text.count('"in-flight"') <= len(flying)
        lab.ledger.advance(80)
        until(lambda: lab.ledger.stats().per_user.keys() == flying)
        lab.ledger.advance(60)
        assert runner.run(*args) == 0, runner.out.read_text(encoding="utf-8")
        assert lab.sent() == sent
        for key, (status, _) in expected.items():
            data = lab.ledger.account(key)
            assert data is not None
            assert decode_user(key, data).bgp_status is status
        assert lab.ledger.stats().per_user == dict.fromkeys(flying, 1)


def test_a_killed_run_leaves_no_lock_behind(tmp_path: Path) -> None:
    with small_lab(tmp_path) as lab, Runner.started(tmp_path) as runner:
        args = (
            "run",
            *lab.args,
            "--state",
            str(tmp_path / "state"),
            "--max-down",
            "100%",
            "--confirm-down",
            "9s",
        )
        lock = tmp_path / "state.lock"
        assert runner.run(*args, kill_when=lock.exists, kill_after_s=0.1) == -signal.SIGKILL
        began = time.monotonic()
        assert runner.run(*args, "--confirm-down", "0s") == 0, runner.out.read_text(encoding="utf-8")
        assert time.monotonic() - began < 10
