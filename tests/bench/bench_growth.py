"""How the cost of a pass grows with the fleet: linearly, or it would not do for a larger one."""

import statistics
import tempfile
import time
from pathlib import Path

from goals import Row, Table
from rig import rig

SMALL = ((50, 20), (200, 5), (50, 200), (200, 50))
"""Devices and users of each: 1,000 and 10,000 users."""
LARGE = ((800, 12), (400, 250))
"""Four times as many devices, and ten times as many users."""
WORKERS = 20
WELL, MOST = 0.98, 1.25


def bench() -> Table:
    measured = []
    for devices, users in (*SMALL, *LARGE):
        with tempfile.TemporaryDirectory() as directory, rig(Path(directory), devices, users) as place:
            rounds = 3 if devices * users < 20_000 else 1
            seconds = []
            for _ in range(rounds):
                started = time.process_time()
                place.dry_run(WORKERS)
                seconds.append(time.process_time() - started)
            measured.append((devices, devices * users, statistics.median(seconds)))
    a_device, a_user, fit = fitted(measured)
    small_device, small_user, _ = fitted(measured[: len(SMALL)])
    table = Table(
        "Growth: the CPU time of a dry run", "this process alone; fitted by a x devices + b x users"
    )
    table.rows = [
        Row(f"{devices} devices, {users:,} users", f"{seconds:.2f} s") for devices, users, seconds in measured
    ]
    table.rows += [
        Row("a device", f"{a_device * 1000:.2f} ms"),
        Row("a user", f"{a_user * 1000:.3f} ms"),
        Row("R squared of a linear fit, 1,000 to 100,000 users", f"{fit:.4f}", f"{WELL}", fit >= WELL),
    ]
    for devices, users, taken in measured[len(SMALL) :]:
        # R squared alone would take a cost that grows with the square for a line: the largest outweighs the others.
        ratio = taken / (small_device * devices + small_user * users)
        name = f"{devices} devices, {users:,} users / what up to 200 devices and 10,000 users predict"
        table.rows.append(Row(name, f"{ratio:.2f} x", f"{MOST} x", ratio <= MOST))
    return table


def fitted(measured: list[tuple[int, int, float]]) -> tuple[float, float, float]:
    """Least squares of seconds over devices and users, without a constant, and how well that fits (R squared)."""
    dd = sum(d * d for d, _, _ in measured)
    du = sum(d * u for d, u, _ in measured)
    uu = sum(u * u for _, u, _ in measured)
    ds = sum(d * s for d, _, s in measured)
    us = sum(u * s for _, u, s in measured)
    det = dd * uu - du * du
    a, b = (ds * uu - us * du) / det, (us * dd - ds * du) / det
    mean = statistics.mean(s for _, _, s in measured)
    rest = sum((s - a * d - b * u) ** 2 for d, u, s in measured)
    return a, b, 1 - rest / sum((s - mean) ** 2 for _, _, s in measured)
