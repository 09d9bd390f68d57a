"""A pass in which nothing changed: what it asks of the ledger and of the devices, and what it costs."""

import statistics
import tempfile
import time
from pathlib import Path

from goals import Row, Table
from nornir_napalm.plugins.tasks import napalm_get
from rig import NoProgress, rig

from dzbgp.job import PassOptions, run_pass
from dzbgp.ledger.session import LedgerSession, SessionOptions
from dzbgp.models import Action

DEVICES, USERS, WORKERS = 100, 64, 20
ROUNDS = 5


def bench() -> Table:
    ours, bare, requests = [], [], []
    with tempfile.TemporaryDirectory() as directory, rig(Path(directory), DEVICES, USERS) as place:
        for _ in range(ROUNDS):
            with place.fleet(WORKERS) as fleet, LedgerSession(place.network, SessionOptions()) as session:
                session.program_data()
                before, started = session.rpc_requests, time.process_time()
                report = run_pass(fleet, session, PassOptions(confirm_down_s=0.0), NoProgress())
                ours.append(time.process_time() - started)
                requests.append(session.rpc_requests)
                assert session.rpc_requests == before, "the data of this second were fetched twice"
                assert {decision.action for decision in report.decisions} == {Action.SKIP}
            with place.fleet(WORKERS) as fleet:
                started = time.process_time()
                assert not fleet._nornir.run(task=napalm_get, getters=["get_bgp_neighbors"]).failed
                bare.append(time.process_time() - started)
    ratio = statistics.median(ours) / statistics.median(bare)
    table = Table(
        f"A pass in which nothing changed, {DEVICES} devices with {USERS} users",
        f"CPU time of this process alone, medians of {ROUNDS}, in turn; the ledger's data are at hand",
    )
    table.rows = [
        Row("RPC requests of a pass", f"{max(requests)}", "4", max(requests) <= 4),
        Row("bare napalm_get: CPU a device", f"{statistics.median(bare) / DEVICES * 1000:.1f} ms"),
        Row("the pass: CPU a device", f"{statistics.median(ours) / DEVICES * 1000:.1f} ms"),
        Row("ratio", f"{ratio:.2f} x", "1.1 x", ratio <= 1.1),
    ]
    return table
