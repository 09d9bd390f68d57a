"""A pass in which nothing changed: what it asks of the ledger and of the devices, and what it costs."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from goals import Row, Table
from nornir_napalm.plugins.tasks import napalm_get
from rig import Rig, bare_fleet, rig

from dzbgp.console.progress import NoProgress
from dzbgp.ledger.session import LedgerSession, SessionOptions
from dzbgp.models.decision import Action
from dzbgp.run.job import run_pass
from dzbgp.run.request import PassOptions

DEVICES, USERS, WORKERS = 100, 64, 20
ROUNDS = 5


def bench() -> Table:
    with tempfile.TemporaryDirectory() as directory, rig(Path(directory), DEVICES, USERS) as place:
        ours, bare = [], []
        for _ in range(ROUNDS):
            ours.append(measured(place, a_pass))
            bare.append(measured(place, bare_get))
    ours_s, bare_s = (statistics.median(one[0] for one in many) for many in (ours, bare))
    ours_asked, bare_asked = (max(one[1] for one in many) for many in (ours, bare))
    requests = max(one[3] for one in ours)
    ratio = ours_s / bare_s
    table = Table(
        f"A pass in which nothing changed, {DEVICES} devices with {USERS} users",
        f"CPU time of this process alone, medians of {ROUNDS}, in turn; the fetch of the ledger's data is part of it; "
        "the second look is on",
    )
    table.rows = [
        Row("RPC requests of a pass", f"{requests}", "4", requests <= 4),
        Row("bytes fetched from the RPC", f"{max(one[2] for one in ours) / 2**10:,.0f} KiB"),
        Row("bare napalm_get: requests a device", f"{bare_asked}"),
        Row("the pass: requests a device", f"{ours_asked}", f"{bare_asked}", ours_asked <= bare_asked),
        Row("bare napalm_get: CPU a device", f"{bare_s / DEVICES * 1000:.1f} ms"),
        Row("the pass: CPU a device", f"{ours_s / DEVICES * 1000:.1f} ms"),
        Row("CPU: the pass / bare napalm_get", f"{ratio:.2f} x", "1.1 x", ratio <= 1.1),
    ]
    return table


def measured(place: Rig, work: Callable[[Rig], tuple[float, int]]) -> tuple[float, int, int, int]:
    """The CPU seconds, the most requests that a device got, the bytes and the number of the RPC's answers."""
    asked, sent = place.served()
    seconds, requests = work(place)
    asked_then, sent_then = place.served()
    return seconds, max(asked_then[code] - asked[code] for code in asked), sent_then - sent, requests


def a_pass(place: Rig) -> tuple[float, int]:
    with place.fleet(WORKERS) as fleet, LedgerSession(place.network, SessionOptions()) as session:
        started = time.process_time()
        report = run_pass(fleet, session, PassOptions(confirm_down_s=5.0), NoProgress())
        taken = time.process_time() - started
        assert {decision.action for decision in report.decisions} == {Action.SKIP}
        return taken, session.rpc_requests


def bare_get(place: Rig) -> tuple[float, int]:
    with bare_fleet(place, WORKERS) as fleet:
        started = time.process_time()
        assert not fleet._nornir.run(task=napalm_get, getters=["get_bgp_neighbors"]).failed
        return time.process_time() - started, 0
