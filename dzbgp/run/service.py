"""What `dzbgp watch` does between its options and its end: a Watch, its metrics and its signals."""

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TypeVar

from dzbgp.console.destinations import Destination
from dzbgp.eos import credentials as device_login
from dzbgp.errors import ExitCode, UsageError
from dzbgp.ledger.errors import LedgerError
from dzbgp.ledger.session import LedgerSession
from dzbgp.ledger.submit.signers import Signers
from dzbgp.metrics.health import Health
from dzbgp.metrics.registry import Metrics
from dzbgp.models.report import Report
from dzbgp.report.delivery import save
from dzbgp.run.interrupts import CarefulHandler
from dzbgp.run.observer import Observer
from dzbgp.run.once import measure_balances, measure_requests
from dzbgp.run.request import WatchRequest
from dzbgp.run.setup import (
    Setup,
    choose_contributors,
    known_keys,
    load_setup,
    network_of_run,
    open_ledger,
    open_store,
)
from dzbgp.run.systemd import Notifier
from dzbgp.run.watch import Watch, WatchOptions
from dzbgp.state.memory import Memory

log = logging.getLogger(__name__)

T = TypeVar("T")


class _Measure(Observer):
    """Keeps the metrics and the report files."""

    def __init__(
        self,
        metrics: Metrics,
        ledger: LedgerSession,
        balances_good_s: float,
        health: Health,
        places: Sequence[Destination] = (),
    ) -> None:
        """`balances_good_s`: how long balances are good if nothing was written. `places`: where each report goes."""
        self._metrics = metrics
        self._health = health
        self._places = places
        self._ledger = ledger
        self._balances_good_s = balances_good_s
        self.balances_due = 0.0
        self.signers: Signers | None = None
        """Whose balances are ours to watch; None: those of all the fleet's publishers."""

    def passed(self, report: Report, result: ExitCode) -> None:
        if report.submissions or time.monotonic() >= self.balances_due:
            self.balances_due = time.monotonic() + self._balances_good_s
            measure_balances(self._metrics, self._ledger, report, self.signers)
        self._metrics.observe_pass(report, result)
        self._health.ended()
        if self._places:
            save(report, self._places, show_all=False)
        measure_requests(self._metrics, self._ledger)

    def failed(self, error: BaseException, duration_s: float) -> None:
        self._metrics.observe_failed_pass(error, duration_s)
        self._health.ended()
        measure_requests(self._metrics, self._ledger)


class _Ended(Exception):  # noqa: N818 - no error
    """Leaves the context of the ledger so that what still runs there is cancelled instead of waited for."""


def watch_fleet(request: WatchRequest, places: Sequence[Destination]) -> None:
    """Watch until SIGTERM or SIGINT. Raises a DzbgpError if it cannot start.

    `places`: where the report of each pass goes; files are replaced as a whole.
    """
    if request.interval_s <= 0:
        raise UsageError("--interval: expected more than 0 s")
    # From the first moment on: without a handler this signal ends a process.
    asked = threading.Event()
    signal.signal(signal.SIGHUP, lambda *_: asked.set())
    with contextlib.suppress(_Ended), contextlib.ExitStack() as stack:
        net = network_of_run(request)
        setup = load_setup(request, net)
        metrics, health = Metrics(), Health(request.interval_s)
        if request.metrics_addr is not None:
            stack.callback(metrics.serve(request.metrics_addr, health).close)
        # A reload may bring hosts whose users nobody has asked for before: so it asks for those of all devices.
        ledger = stack.enter_context(
            open_ledger(request, net, lambda: watch.fleet, metrics.observe_fetch, is_fixed=False)
        )
        balances_good_s = request.ledger_interval_s - request.interval_s
        measure = _Measure(metrics, ledger, balances_good_s, health, places)
        notifier = Notifier()
        store = _answered(lambda: open_store(request, ledger, stack), request, measure, notifier)
        _answered(lambda: choose_contributors(setup.fleet, request, ledger), request, measure, notifier)
        memory = Memory(store, dry_run=request.dry_run)
        known = known_keys(store)
        first = [setup]

        def load() -> Setup:
            if first:
                fresh = first.pop()
            else:
                device_login.forget()
                fresh = load_setup(request, net)
                choose_contributors(fresh.fleet, request, ledger)
            fresh.fleet.trust(known)
            measure.signers, measure.balances_due = fresh.options.signers, 0.0
            return fresh

        watch = Watch(ledger, memory, load, WatchOptions(interval_s=request.interval_s), measure, notifier)
        _handle_signals(watch)
        if asked.is_set():
            watch.reload()
        watch.run()
        raise _Ended


def _answered(ask: Callable[[], T], request: WatchRequest, measure: _Measure, notifier: Notifier) -> T:
    """Return what `ask` learns of the ledger, as soon as that answers. Raises _Ended when stopped meanwhile."""
    try:
        while True:
            started = time.monotonic()
            try:
                return ask()
            except LedgerError as error:
                log.error("pass failed: %s", error)  # noqa: TRY400 - one line
                measure.failed(error, time.monotonic() - started)
                notifier.ready()
                notifier.status(f"last pass failed: {error}")
            until = time.monotonic() + request.interval_s
            while (left_s := until - time.monotonic()) > 0:
                notifier.alive()
                time.sleep(min(left_s, 1.0, notifier.feed_s))
    except KeyboardInterrupt:
        log.info("ended")
        raise _Ended from None


def _handle_signals(watch: Watch) -> None:
    careful = CarefulHandler(watch.interrupt)

    def end(number: int, frame: FrameType | None) -> None:
        # The end is bounded; whoever asks again cannot make it shorter, only untidy.
        for other in (signal.SIGTERM, signal.SIGINT):
            signal.signal(other, signal.SIG_IGN)
        careful(number, frame)

    signal.signal(signal.SIGHUP, lambda *_: watch.reload())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
