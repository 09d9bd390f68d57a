"""A pass in which nothing changed: what it asks of the ledger and of the devices, and what it costs."""

import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from goals import Row, Table
from rig import Rig, rig

from dzbgp.console.progress import NoProgress
from dzbgp.fleet.fleet import Fleet
from dzbgp.ledger.program.cache import TTL_S
from dzbgp.ledger.session import LedgerSession, SessionOptions
from dzbgp.models.decision import Action
from dzbgp.run.job import run_pass
from dzbgp.run.request import PassOptions
from dzbgp.state.memory import Memory

DEVICES, USERS, WORKERS = 100, 64, 20
ROUNDS = 5
REQUESTS = 5
"""Devices, tenants, users, the slot rate, and the ledger's clock."""
LEDGER_INTERVAL_S = 3600.0
"""Longer than this takes: what is measured lies between two readings of the users."""


def bench() -> Table:
    with (
        tempfile.TemporaryDirectory() as directory,
        rig(Path(directory), DEVICES, USERS) as place,
        place.fleet(WORKERS) as fleet,
        LedgerSession(place.network, SessionOptions(data_good_s=LEDGER_INTERVAL_S)) as session,
    ):
        kept = partial(a_pass, place, fleet, session, Memory(None, dry_run=False))
        kept()
        # Of neighbors that no user explains the ledger is asked once more.
        time.sleep(TTL_S)
        kept()
        once, steady, bare = [], [], []
        for _ in range(ROUNDS):
            once.append(measured(place, partial(one_run, place)))
            steady.append(measured(place, kept))
            bare.append(measured(place, partial(bare_get, place)))
    once_s, steady_s, bare_s = (statistics.median(one[0] for one in many) for many in (once, steady, bare))
    asked, steady_asked, bare_asked = (max(one[1] for one in many) for many in (once, steady, bare))
    requests, steady_requests = (max(one[3] for one in many) for many in (once, steady))
    ratio, steady_ratio = once_s / bare_s, steady_s / bare_s
    table = Table(
        f"A pass in which nothing changed, {DEVICES} devices with {USERS} users",
        f"CPU time of this process alone, medians of {ROUNDS}, in turn; the second look is on; a run reads the "
        "ledger's data too, a pass of a watch keeps them and its connections",
    )
    table.rows = [
        Row("RPC requests of a run", f"{requests}", f"{REQUESTS}", requests <= REQUESTS),
        Row("bytes fetched from the RPC", f"{max(one[2] for one in once) / 2**10:,.0f} KiB"),
        Row("RPC requests of a pass of a watch", f"{steady_requests}", "0", steady_requests == 0),
        Row("bare napalm_get: requests a device", f"{bare_asked}"),
        Row("a run: requests a device", f"{asked}", f"{bare_asked}", asked <= bare_asked),
        Row("a pass of a watch: requests a device", f"{steady_asked}", "1", steady_asked == 1),
        Row("bare napalm_get: CPU a device", f"{bare_s / DEVICES * 1000:.1f} ms"),
        Row("a run: CPU a device", f"{once_s / DEVICES * 1000:.1f} ms"),
        Row("CPU: a run / bare napalm_get", f"{ratio:.2f} x", "1.1 x", ratio <= 1.1),
        Row(
            "CPU: a pass of a watch / bare napalm_get", f"{steady_ratio:.2f} x", "0.6 x", steady_ratio <= 0.6
        ),
    ]
    return table


def measured(place: Rig, work: Callable[[], tuple[float, int]]) -> tuple[float, int, int, int]:
    """The CPU seconds, the most requests that a device got, the bytes and the number of the RPC's answers."""
    asked, sent = place.served()
    seconds, requests = work()
    asked_then, sent_then = place.served()
    return seconds, max(asked_then[code] - asked[code] for code in asked), sent_then - sent, requests


def one_run(place: Rig) -> tuple[float, int]:
    with place.fleet(WORKERS) as fleet, LedgerSession(place.network, SessionOptions()) as session:
        return a_pass(place, fleet, session, Memory(None, dry_run=False))


def a_pass(place: Rig, fleet: Fleet, session: LedgerSession, memory: Memory) -> tuple[float, int]:
    started, asked = time.process_time(), session.rpc_requests
    report = run_pass(fleet, session, PassOptions(confirm_down_s=5.0), NoProgress(), memory)
    taken = time.process_time() - started
    assert {decision.action for decision in place.whole(report).decisions} == {Action.SKIP}
    return taken, session.rpc_requests - asked


def bare_get(place: Rig) -> tuple[float, int]:
    started = time.process_time()
    place.bare_get(WORKERS)
    return time.process_time() - started, 0
