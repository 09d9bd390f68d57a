"""Devices with large answers, asked by threads of one process, and by 1, 2 and 4 workers of a Dask cluster."""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from goals import Row, Table
from rig import Rig, rig

from dzbgp.fleet.fleet import Fleet
from dzbgp.fleet.load import load_inventory
from dzbgp.fleet.options import FleetRequest, Runner
from dzbgp.ledger.session import LedgerSession, SessionOptions
from dzbgp.models.session import DeviceResult

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
from dask_cluster import Cluster, cluster

DEVICES, USERS, THREADS = 60, 400, 4
WORKERS = (1, 2, 4)
ROUNDS = 3
GOAL = 0.5
"""Of what as many processes as there are cores for could gain."""


def bench() -> Table:
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as directory, rig(Path(directory) / "rig", DEVICES, USERS) as place:
        threads = asked(place, None)
        taken = {}
        for count in WORKERS:
            with cluster(Path(directory) / f"of{count}", workers=count) as running:
                taken[count] = asked(place, running)
    table = Table(
        f"Devices with large answers: {DEVICES} with {USERS} sessions each, on {cores} cores",
        f"{THREADS} devices at once a process; the same cores serve devices and scheduler; medians of {ROUNDS} after a "
        "first round",
    )
    table.rows = [Row("threads of one process", f"{threads:.2f} s")]
    for count, seconds in taken.items():
        gain, possible = taken[1] / seconds, min(count, cores)
        goal = 1 + GOAL * (possible - 1)
        shown = f"{seconds:.2f} s, {gain:.2f} x one worker"
        one = count == 1
        table.rows.append(
            Row(f"{count} workers", shown, "" if one else f"{goal:.1f} x", None if one else gain >= goal)
        )
    return table


def asked(place: Rig, running: Cluster | None) -> float:
    """The median of the seconds that it takes to ask all devices for their neighbors."""
    options = FleetRequest(
        workers=THREADS,
        runner=Runner.DASK if running else Runner.THREADED,
        scheduler=running.address if running else None,
    )
    with (
        Fleet(load_inventory(place.inventory, options)) as fleet,
        LedgerSession(place.network, SessionOptions()) as session,
    ):
        matched = fleet.match(session.program_data().data.devices)
        taken = []
        for _ in range(ROUNDS + 1):
            started = time.monotonic()
            readings = fleet.read(matched)
            taken.append(time.monotonic() - started)
            assert {reading.result for reading in readings} == {DeviceResult.OK}
            assert sum(len(reading.neighbors) for reading in readings) >= DEVICES * USERS
            fleet.forget(fleet.hosts)
    return statistics.median(taken[1:])
