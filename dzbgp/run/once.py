"""One pass from a request, with everything opened and closed around it."""

import contextlib
import logging
import time
from functools import partial

from dzbgp.console.progress import NoProgress, Progress
from dzbgp.errors import StateLockedError
from dzbgp.ledger.errors import LedgerError
from dzbgp.ledger.events import unobserved
from dzbgp.ledger.session import LedgerSession
from dzbgp.ledger.submit.signers import Signers
from dzbgp.metrics.registry import Metrics
from dzbgp.models.report import Report
from dzbgp.run.interrupts import Interrupts
from dzbgp.run.job import run_pass
from dzbgp.run.request import RunRequest
from dzbgp.run.setup import (
    choose_contributors,
    known_keys,
    load_setup,
    network_of_run,
    open_ledger,
    open_store,
)
from dzbgp.state.memory import Memory

log = logging.getLogger(__name__)


def run_once(
    request: RunRequest,
    progress: Progress | None = None,
    metrics: Metrics | None = None,
    interrupts: Interrupts | None = None,
) -> Report:
    """Do one pass and return what it found and did. Raises a DzbgpError when nothing could be done at all.

    `progress` is told how far the pass has come. `metrics` is told of fetches, requests and balances; the caller adds
    the pass itself. `interrupts` holds signals back once something is written. Logging, signal handlers and the
    settings of libraries stay as they are.
    """
    interrupts = interrupts or Interrupts()
    with contextlib.ExitStack() as stack:
        net = network_of_run(request)
        setup = load_setup(request, net)
        stack.enter_context(setup.fleet)
        on_fetch = metrics.observe_fetch if metrics else unobserved
        ledger = open_ledger(request, net, lambda: setup.fleet, on_fetch, is_fixed=True)
        stack.enter_context(ledger)
        if metrics is not None:
            stack.callback(measure_requests, metrics, ledger)
        store = open_store(request, ledger, stack)
        setup.fleet.trust(known_keys(store))
        memory = Memory(store, dry_run=request.dry_run)
        stack.push(partial(_note_failure, memory, interrupts, time.time(), time.monotonic()))
        choose_contributors(setup.fleet, request, ledger)
        report = run_pass(
            setup.fleet, ledger, setup.options, progress or NoProgress(), memory, interrupts=interrupts
        )
        if metrics is not None:
            measure_balances(metrics, ledger, report, setup.options.signers)
        return report


def _note_failure(
    memory: Memory,
    interrupts: Interrupts,
    started_at: float,
    started_s: float,
    _kind: type[BaseException] | None,
    error: BaseException | None,
    _trace: object,
) -> None:
    """Note a pass that ends without a report, for `dzbgp history`; one that another run keeps away is none."""
    if isinstance(error, Exception) and not isinstance(error, StateLockedError):
        memory.fail(error, started_at, time.monotonic() - started_s, is_begun=interrupts.is_begun)


def measure_requests(metrics: Metrics, ledger: LedgerSession) -> None:
    """Take in what was asked of RPCs since the last time."""
    counts = ledger.take_rpc_counts()
    metrics.observe_rpc(counts.requests, counts.retries)


def measure_balances(
    metrics: Metrics, ledger: LedgerSession, report: Report, signers: Signers | None
) -> None:
    """Ask for what the fleet's publishers have, those that can sign here; a run never fails for that."""
    publishers = dict.fromkeys(item.device.metrics_publisher_pk for item in report.devices if item.device)
    ours = [key for key in publishers if signers is None or key in signers]
    try:
        metrics.observe_balances(ledger.balances(ours))
    except LedgerError as error:
        log.warning("metrics: the publishers' balances could not be read: %s", error)
    except KeyboardInterrupt:
        log.warning("interrupted while the publishers' balances were read; the writes of this pass are done")
