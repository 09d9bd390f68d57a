"""What a whole dry run costs beside a bare Nornir with napalm_get over the same devices, and beside the ideal."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from goals import Row, Table
from rig import Rig, rig

DEVICES, USERS, WORKERS = 200, 64, 20
SLOW_USERS, SLOW_WORKERS, DELAY_S = 8, 100, 0.3
REQUESTS = 2
"""NAPALM's: `show version`, and the four BGP commands in one."""
ROUNDS = 5


def bench() -> Table:
    with tempfile.TemporaryDirectory() as directory:
        with rig(Path(directory) / "fast", DEVICES, USERS) as fast:
            ours, bare = interleaved(lambda: dry_run(fast), lambda: bare_get(fast))
        with rig(Path(directory) / "slow", DEVICES, SLOW_USERS, delay_s=DELAY_S) as slow:
            slow_s, slow_bare_s = interleaved(
                lambda: dry_run(slow, SLOW_WORKERS), lambda: bare_get(slow, SLOW_WORKERS), rounds=3
            )
    ideal_s = DEVICES / SLOW_WORKERS * REQUESTS * DELAY_S
    table = Table(
        f"Collection: a whole dry run over {DEVICES} devices",
        f"devices and ledger in processes of their own; medians of {ROUNDS}, in turn; ours with the ledger's data, "
        "matching, decisions and the report",
    )
    table.rows = [
        Row(f"bare napalm_get, {USERS} users a device, {WORKERS} workers", f"{bare:.2f} s"),
        Row("dry run", f"{ours:.2f} s"),
        Row("dry run / bare napalm_get", f"{ours / bare:.2f} x", "1.15 x", ours / bare <= 1.15),
        Row(
            f"answers of {DELAY_S * 1000:.0f} ms, {SLOW_USERS} users, {SLOW_WORKERS} workers: ideal",
            f"{ideal_s:.2f} s",
        ),
        Row("bare napalm_get", f"{slow_bare_s:.2f} s, {slow_bare_s / ideal_s:.2f} x"),
        Row("dry run", f"{slow_s:.2f} s"),
        Row(
            f"answers of {DELAY_S * 1000:.0f} ms, {SLOW_WORKERS} workers: dry run / ideal",
            f"{slow_s / ideal_s:.2f} x",
            "1.25 x",
            slow_s / ideal_s <= 1.25,
        ),
    ]
    return table


def interleaved(
    one: Callable[[], float], other: Callable[[], float], rounds: int = ROUNDS
) -> tuple[float, float]:
    """The medians of the seconds of both, measured in turn."""
    pairs = [(one(), other()) for _ in range(rounds)]
    return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)


def dry_run(place: Rig, workers: int = WORKERS) -> float:
    started = time.monotonic()
    place.dry_run(workers)
    return time.monotonic() - started


def bare_get(place: Rig, workers: int = WORKERS) -> float:
    started = time.monotonic()
    place.bare_get(workers)
    return time.monotonic() - started
