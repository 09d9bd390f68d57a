"""How long after a session dies, or comes back, the ledger says so: a real watch, over sessions that change at random.

For comparison, the time of upstream's agents for the same changes: computed, not measured.
"""

import base64
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from bench_far import ROUND_TRIP_S, far_away
from goals import Row, Table
from rig import Rig, keypairs, rig, world_of
from solders.pubkey import Pubkey

from dzbgp.lab.world.world import UserSpec
from dzbgp.ledger.program.accounts import decode_user
from dzbgp.models.ledger import BgpStatus

USERS = 64
CHANGES_A_SECOND = 1.0
POLL_S = 0.1
START_S, PATIENCE_S = 120.0, 60.0
AGENT_TICK_S, CONFIRMED_S, FINALIZED_S = 60.0, 0.8, 12.8
"""Upstream's: an agent looks once a minute, and waits for each of its transactions to be final before the next."""


@dataclass(frozen=True)
class Fleet:
    """What is watched, and how."""

    name: str
    devices: int
    interval_s: int
    confirm_down_s: int
    is_far: bool
    goal_s: float
    """Of the 95th percentile."""


FLEETS = (
    Fleet(f"100 devices, {ROUND_TRIP_S * 1000:.0f} ms away, a pass every 5 s", 100, 5, 2, True, 5 + 2 + 1.5),
    Fleet("20 devices nearby, a pass every 1 s", 20, 1, 1, False, 3.0),
)


@dataclass
class Change:
    """A session that died or came back."""

    spec: UserSpec
    is_up: bool
    at: float
    """Monotonic seconds."""
    took_s: float | None = None
    """Until the confirmed account said so."""


@dataclass
class Truth:
    """What was measured of a fleet."""

    changes: list[Change] = field(default_factory=list)
    cpu_share: float = 0.0
    """Of one core."""

    @property
    def seconds(self) -> list[float]:
        return sorted(one.took_s for one in self.changes if one.took_s is not None)


def bench(seconds: float = 300.0) -> Table:
    table = Table(
        f"Time to truth: sessions of {USERS} users a device, killed and restored at random for {seconds:.0f} s",
        "from the change on the device to the confirmed account; `dzbgp watch` in a process of its own, its CPU time "
        f"alone; slots of 0.4 s; upstream's agents computed for the same changes: a look every {AGENT_TICK_S:.0f} s, "
        "one finalized transaction a user",
    )
    for one in FLEETS:
        truth = measured(one, seconds)
        theirs = upstream(truth.changes)
        lost = len(truth.changes) - len(truth.seconds)
        p95 = share_of(truth.seconds, 0.95)
        table.rows += [
            Row(f"{one.name}: changes", f"{len(truth.changes)}"),
            Row(f"{one.name}: never written", f"{lost}", "0", lost == 0),
            Row(f"{one.name}: p50", f"{share_of(truth.seconds, 0.5):.1f} s"),
            Row(f"{one.name}: p95", f"{p95:.1f} s", f"{one.goal_s:g} s", p95 <= one.goal_s),
            Row("upstream's agents: p50", f"{share_of(theirs, 0.5):.1f} s"),
            Row("upstream's agents: p95", f"{share_of(theirs, 0.95):.1f} s"),
            Row(
                f"{one.name}: CPU, of two cores",
                f"{truth.cpu_share / 2:.0%}",
                "50%",
                truth.cpu_share / 2 <= 0.5,
            ),
        ]
    return table


def measured(fleet: Fleet, seconds: float) -> Truth:
    with tempfile.TemporaryDirectory() as name, rig(Path(name) / "near", fleet.devices, USERS) as near:
        directory = Path(name)
        with (
            far_away(near, directory / "far") if fleet.is_far else nullcontext(near) as place,
            watching(place, fleet, directory) as watch,
        ):
            began, before = time.monotonic(), sum(watch.cpu_times()[:2])
            truth = Truth(changed(place, fleet, seconds))
            truth.cpu_share = (sum(watch.cpu_times()[:2]) - before) / (time.monotonic() - began)
    assert truth.changes
    return truth


def changed(place: Rig, fleet: Fleet, seconds: float) -> list[Change]:
    """Change sessions at random, one after another, and wait until the ledger says all of it."""
    drawn = random.Random(1)
    specs = world_of(fleet.devices, USERS).users
    ups, downs = list(specs), list[UserSpec]()
    changes: list[Change] = []
    pending: dict[Pubkey, Change] = {}
    now = time.monotonic()
    ends, due = now + seconds, now
    while now < ends or (pending and now < ends + PATIENCE_S):
        if ends > now >= due:
            source, goal = (downs, ups) if downs and drawn.random() < 0.5 else (ups, downs)
            free = [number for number in range(len(source)) if source[number].user.pubkey not in pending]
            if free:
                spec = source.pop(drawn.choice(free))
                change = Change(spec, goal is ups, time.monotonic())
                place.move(spec.device, spec.eos_peer().address, "Established" if change.is_up else "Active")
                goal.append(spec)
                changes.append(change)
                pending[spec.user.pubkey] = change
            due += drawn.expovariate(CHANGES_A_SECOND)
        for key, is_up in statuses(place, list(pending)):
            if is_up is pending[key].is_up:
                done = pending.pop(key)
                done.took_s = time.monotonic() - done.at
        time.sleep(max(0.0, now + POLL_S - time.monotonic()))
        now = time.monotonic()
    return changes


def statuses(place: Rig, keys: Sequence[Pubkey]) -> Iterator[tuple[Pubkey, bool]]:
    """Whether users are Up in the confirmed ledger."""
    for start in range(0, len(keys), 100):
        some = keys[start : start + 100]
        params = [[str(key) for key in some], {"encoding": "base64", "commitment": "confirmed"}]
        body = {"jsonrpc": "2.0", "id": 1, "method": "getMultipleAccounts", "params": params}
        request = urllib.request.Request(
            place.url, json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            values = json.load(answer)["result"]["value"]
        for key, value in zip(some, values, strict=True):
            user = decode_user(key, base64.b64decode(value["data"][0]))
            yield key, user.bgp_status is BgpStatus.UP


@contextmanager
def watching(place: Rig, fleet: Fleet, directory: Path) -> Iterator[psutil.Process]:
    """A watch that has done its first passes."""
    keys = directory / "keypairs"
    keys.mkdir()
    for name, keypair in keypairs().items():
        file = keys / f"{name}.json"
        file.write_text(json.dumps(list(bytes(keypair))))
        file.chmod(0o600)
    log = directory / "log"
    options = {
        "--inventory": place.inventory,
        "--env": "localnet",
        "--rpc-url": place.url,
        "--keypair": keys,
        "--state": directory / "state.sqlite",
        "--interval": f"{fleet.interval_s}s",
        "--confirm-down": f"{fleet.confirm_down_s}s",
        "--workers": min(fleet.devices, 100),
        # Chance alone must not let it hold what is true.
        "--max-down": "100%",
    }
    words = [str(word) for option in options.items() for word in option]
    with log.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "dzbgp", "watch", *words],
            stderr=stream,
            env=os.environ | {"HOME": str(directory)},
        )
    try:
        ends = time.monotonic() + START_S
        wanted = f"devices={fleet.devices} devices_failed=0 users={fleet.devices * USERS} "
        while log.read_text().count(wanted) < 3:
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < ends, log.read_text()[-3000:]
            time.sleep(0.1)
        yield psutil.Process(process.pid)
        assert process.poll() is None, log.read_text()[-3000:]
        said = log.read_text()
        assert wanted in said[said.rindex("pass result=") :], said[-3000:]
    finally:
        process.terminate()
        process.wait(timeout=60)


def upstream(changes: Sequence[Change]) -> list[float]:
    """How long these changes would take upstream's agents, one on each device.

    What is over before a look is not seen.
    """
    drawn = random.Random(2)
    by_device: dict[str, list[Change]] = defaultdict(list)
    for change in changes:
        by_device[change.spec.device].append(change)
    taken = []
    for mine in by_device.values():
        tick = mine[0].at - drawn.uniform(0, AGENT_TICK_S)
        free = tick
        reported: dict[Pubkey, bool] = defaultdict(lambda: True)
        waiting = sorted(mine, key=lambda one: one.at)
        seen: dict[Pubkey, Change] = {}
        while waiting or seen:
            tick += AGENT_TICK_S
            while waiting and waiting[0].at <= tick:
                change = waiting.pop(0)
                seen[change.spec.user.pubkey] = change
            for key, change in seen.items():
                if reported[key] is not change.is_up:
                    free = max(free, tick)
                    taken.append(free + CONFIRMED_S - change.at)
                    free += FINALIZED_S
                    reported[key] = change.is_up
            seen.clear()
    return sorted(taken)


def share_of(numbers: Sequence[float], share: float) -> float:
    """A quantile of sorted numbers; infinite if there are none."""
    return numbers[min(len(numbers) - 1, int(share * len(numbers)))] if numbers else float("inf")
