"""A fleet asked by threads of one process, and by `--processes` of this machine; both keep their connections.

The simulated devices run on the same cores, and threads leave them all cores but one. So beside the measured time there
is the time that a pass takes where the devices are elsewhere: what the busiest process computes, or all on all cores.
"""

import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from goals import Row, Table
from rig import Rig, rig

from dzbgp.fleet.fleet import Fleet
from dzbgp.fleet.load import load_inventory
from dzbgp.fleet.options import FleetRequest
from dzbgp.ledger.session import LedgerSession, SessionOptions
from dzbgp.models.session import DeviceResult

USERS, WORKERS = 64, 20
GOALS = {60: 1.0, 400: 1.5}
"""By devices: threads / processes."""
ROUNDS = 5


@dataclass(frozen=True)
class Taken:
    """Seconds for all devices."""

    start: float
    """The first time, with the start of the processes and of the connections."""
    wall: float
    elsewhere: float
    """As much as the wall, were the devices not on the same cores."""


def bench() -> Table:
    cores = len(os.sched_getaffinity(0))
    rows = []
    for devices, goal in GOALS.items():
        with tempfile.TemporaryDirectory() as directory, rig(Path(directory), devices, USERS) as place:
            threads, processes = (asked(place, devices, cores, count) for count in (None, cores))
        gain = threads.elsewhere / processes.elsewhere
        rows += [
            Row(f"{devices} devices: threads, beside the devices", f"{threads.wall:.2f} s"),
            Row(f"{devices} devices: {cores} processes, beside the devices", f"{processes.wall:.2f} s"),
            Row("first pass, with the start of the processes", f"{processes.start:.2f} s"),
            Row("threads, devices elsewhere", f"{threads.elsewhere:.2f} s"),
            Row(f"{cores} processes, devices elsewhere", f"{processes.elsewhere:.2f} s"),
            Row(f"{devices} devices: threads / processes", f"{gain:.2f} x", f"{goal:.1f} x", gain >= goal),
        ]
    return Table(
        f"More processes: {USERS} sessions a device, on {cores} cores",
        f"a watch's first look, {WORKERS} devices at once a process; medians of {ROUNDS} after a first pass",
        rows,
    )


def asked(place: Rig, devices: int, cores: int, processes: int | None) -> Taken:
    """Ask all devices for their neighbors, again and again."""
    request = FleetRequest(workers=WORKERS, processes=processes)
    with (
        Fleet(load_inventory(place.inventory, request)) as fleet,
        LedgerSession(place.network, SessionOptions()) as session,
    ):
        matched = fleet.match(session.program_data().data.devices)
        passes = []
        for _ in range(ROUNDS + 1):
            started, before = time.monotonic(), computed()
            readings = fleet.read(matched)
            wall, after = time.monotonic() - started, computed()
            assert {reading.result for reading in readings} == {DeviceResult.OK}, readings[0].error
            assert sum(len(reading.neighbors) for reading in readings) >= devices * USERS
            spent = [after[pid] - before.get(pid, 0.0) for pid in after]
            passes.append((wall, max(*spent, sum(spent) / cores) if len(spent) > 1 else spent[0]))
        first, *rest = passes
        return Taken(first[0], *(statistics.median(column) for column in zip(*rest, strict=True)))


def computed() -> dict[int, float]:
    """The CPU seconds so far of this process and of those that ask devices for it."""
    me = psutil.Process()
    asking = [one for one in me.children() if "spawn_main" in " ".join(one.cmdline())]
    return {one.pid: sum(one.cpu_times()[:2]) for one in (me, *asking)}
