"""A watch for a long time, compressed: thousands of passes, with sessions that flap and everything else that fails.

DZBGP_SOAK_SECONDS makes it longer. Prints what it came to (pytest -s).
"""

import gc
import logging
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from solders.pubkey import Pubkey
from waiting import until
from watch_lab import NO_GUARD, WatchLab, watch_lab

from dzbgp.errors import ExitCode
from dzbgp.lab.eos.fleet import DeviceFault, EosFault
from dzbgp.lab.solana.faults import FaultKind
from dzbgp.models.decision import Action
from dzbgp.models.ledger import BgpStatus
from dzbgp.models.report import Report
from dzbgp.run.observer import Observer
from dzbgp.run.watch import Watch, WatchOptions
from dzbgp.state.memory import Memory

SOAK_S = float(os.environ.get("DZBGP_SOAK_SECONDS", "70"))
SEED = int(os.environ.get("DZBGP_SOAK_SEED", "20"))
INTERVAL_S = 0.015
GROWTH_KB = 8_000
"""What the process may grow after its warm-up, with the lab in it that remembers each transaction that landed."""

DEVICE_FAULTS = (
    EosFault(DeviceFault.REFUSE),
    EosFault(DeviceFault.HANGUP),
    EosFault(DeviceFault.HTTP_500),
    EosFault(DeviceFault.GARBAGE),
    EosFault(DeviceFault.TRUNCATED),
    EosFault(DeviceFault.EMPTY),
    EosFault(DeviceFault.WRONG_IDENTITY),
    EosFault(DeviceFault.MISSING_VRF),
    EosFault(DeviceFault.REFUSED_COMMAND),
    EosFault(DeviceFault.SLOW, delay_s=0.2),
    EosFault(DeviceFault.NO_ANSWER),
)
LEDGER_FAULTS: tuple[tuple[FaultKind, dict[str, object]], ...] = (
    (FaultKind.HTTP_STATUS, {"times": 4}),
    (FaultKind.GARBAGE, {"times": 3}),
    (FaultKind.TRUNCATED, {"times": 3}),
    (FaultKind.HANGUP_BEFORE, {"times": 3}),
    (FaultKind.HANGUP_AFTER, {"times": 2, "method": "sendTransaction"}),
    (FaultKind.DELAY, {"times": 2, "delay_s": 0.3}),
    (FaultKind.STALL, {"delay_s": 0.4}),
    (FaultKind.NODE_BEHIND, {"times": 2}),
    (FaultKind.LOST_SEND, {}),
    (FaultKind.DELAYED_SEND, {"slots": 40}),
    (FaultKind.EMPTY_ACCOUNTS, {"times": 2}),
    (FaultKind.STALE_SLOT, {"times": 3}),
    (FaultKind.BLIND_STATUSES, {"times": 3}),
    (FaultKind.EXPIRE_BLOCKHASH, {"method": "getSignatureStatuses"}),
)


@dataclass
class Counted(Observer):
    """Numbers only: reports kept would be the leak that this looks for."""

    passes: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    landed: int = 0
    submitted: Counter[Pubkey] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    weights: list[tuple[int, int, int]] = field(default_factory=list)
    wanted: threading.Event = field(default_factory=threading.Event)

    def weigh(self) -> tuple[int, int, int]:
        """The process's weight at the end of the next pass: in the middle of one, threads ask the devices."""
        count = len(self.weights)
        self.wanted.set()
        until(lambda: len(self.weights) > count)
        return self.weights[-1]

    def passed(self, report: Report, result: ExitCode) -> None:
        self.passes += 1
        if self.wanted.is_set():
            self.wanted.clear()
            self.weights.append(weighed())
        self.landed += sum(one.slot is not None for one in report.submissions.values())
        for decision in report.decisions:
            if decision.action is Action.SUBMIT:
                self.submitted[decision.observation.user.pubkey] += 1
            else:
                self.reasons[decision.reason] += 1

    def failed(self, error: BaseException, duration_s: float) -> None:
        self.passes += 1
        self.failures[type(error).__name__] += 1


@dataclass
class Weather:
    """Random changes of the world. The number of changes of a session justifies the number of its writes."""

    lab: WatchLab
    rng: random.Random
    up: dict[int, bool] = field(default_factory=dict)
    changes: Counter[int] = field(default_factory=Counter)

    def blow(self) -> None:
        lab, rng = self.lab, self.rng
        for number in rng.sample(range(len(lab.world.users)), k=rng.randint(0, 2)):
            self.up[number] = not self.up.get(number, True)
            self.changes[number] += 1
            lab.put(number, up=self.up[number])
        for spec in lab.world.devices:
            lab.devices.set_fault(spec.code, rng.choice(DEVICE_FAULTS) if rng.random() < 0.15 else None)
        if rng.random() < 0.3:
            kind, how = rng.choice(LEDGER_FAULTS)
            lab.inject(kind, **how)
        elif rng.random() < 0.5:
            lab.ledger.clear_faults()

    def clear(self) -> None:
        self.lab.ledger.clear_faults()
        for spec in self.lab.world.devices:
            self.lab.devices.set_fault(spec.code, None)


def weighed() -> tuple[int, int, int]:
    """RSS in kB, open descriptors, threads."""
    gc.collect()
    status = Path("/proc/self/status").read_text(encoding="ascii")
    rss = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    return rss, len(os.listdir("/proc/self/fd")), threading.active_count()  # noqa: PTH208


def settled(lab: WatchLab, weather: Weather) -> bool:
    wanted = {True: BgpStatus.UP, False: BgpStatus.DOWN}
    return all(
        lab.says(number, wanted[weather.up.get(number, True)]) for number in range(len(lab.world.users))
    )


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Nothing is logged: pytest would keep it all, and that would be what grows."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def test_after_thousands_of_stormy_passes_the_ledger_is_right_and_nothing_has_grown(tmp_path: Path) -> None:
    with watch_lab(tmp_path, devices=2, users=4, timeout_s=0.3, rules=NO_GUARD) as lab:
        counted = Counted()
        options = WatchOptions(INTERVAL_S, stop_wait_s=10)
        watch = Watch(lab.session, Memory(lab.history, dry_run=False), lab.load, options, counted)
        thread = threading.Thread(target=watch.run, name="watch", daemon=True)
        lab.watches.append((watch, thread))
        weather = Weather(lab, random.Random(SEED))
        before = weighed()
        thread.start()

        began = time.monotonic()
        warm: tuple[int, int, int] | None = None
        while (now_s := time.monotonic() - began) < SOAK_S:
            weather.blow()
            if weather.rng.random() < 0.02:
                watch.reload()
            time.sleep(weather.rng.uniform(0.05, 0.4))
            assert thread.is_alive()
            if warm is None and now_s > SOAK_S * 0.3:
                weather.clear()
                until(lambda: settled(lab, weather))
                warm = counted.weigh()
        weather.clear()
        until(lambda: settled(lab, weather))
        until(lambda: not watch._worker.busy() and not watch._worker.waiting())
        passes, landed = counted.passes, sum(lab.writes().values())
        until(lambda: counted.passes > passes + 20)
        end = counted.weigh()

        print(  # noqa: T201
            f"\n{counted.passes} passes in {time.monotonic() - began:.0f} s, failed {dict(counted.failures)}; "
            f"{weather.changes.total()} changes of {len(lab.world.users)} sessions, {landed} writes; "
            f"decisions {dict(counted.reasons)}; ledger's faults {lab.ledger.stats().faults}; "
            f"RSS kB, fds, threads: before {before}, warm {warm}, end {end}"
        )
        assert counted.passes >= SOAK_S * 8
        assert set(counted.failures) <= {
            "RpcTransportError",
            "RpcStatusError",
            "RpcProtocolError",
            "RpcError",
            "EmptyProgramError",
        }
        # Calm: nothing more is written.
        assert sum(lab.writes().values()) == landed
        assert counted.landed == landed
        # A write for each change at most, as each of them follows another observation.
        for number in range(len(lab.world.users)):
            assert lab.writes().get(lab.spec(number).user.pubkey, 0) <= weather.changes[number], number
        assert warm is not None
        assert end[0] - warm[0] < GROWTH_KB
        assert end[1] <= warm[1] + 4
        assert end[2] <= warm[2] + 2
        lab.stop()
        assert lab.history is not None
        assert lab.history.problems == []
        assert lab.all_landed(lab.history)
