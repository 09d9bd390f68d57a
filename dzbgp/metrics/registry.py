"""Prometheus metrics: the five that upstream's agent has, under their names, and this program's own.

Counters and histograms live as long as the process; what a pass saw is gauges (gauges.py). Of a program
that cron starts again each time a counter only says what that one run did: alerts there rest on gauges and timestamps.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from solders.pubkey import Pubkey

from dzbgp import __version__
from dzbgp.console.files import replace_file
from dzbgp.errors import DzbgpError, ExitCode, UsageError
from dzbgp.ledger.events import FetchEvent, FetchResult
from dzbgp.metrics.gauges import MetricsState, result_word
from dzbgp.metrics.health import Health
from dzbgp.metrics.server import MetricsServer
from dzbgp.models.ledger import BgpStatus
from dzbgp.models.report import Report
from dzbgp.models.submission import LANDED, Submission

FETCH_BUCKETS = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 120)
SUBMISSION_BUCKETS = (0.1, 0.5, 1, 2, 5, 10, 30, 60)


class _Registry(CollectorRegistry):
    """A registry without the `_created` gauge of each counter, which nothing reads.

    The library's own switch for these is one for the whole process, which belongs to whoever imports dzbgp.
    """

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        for metric in super().collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric


class Metrics(Collector):
    """The metrics of one process, in a registry of their own. For any number of threads.

    `now` gives Unix seconds. Nothing here raises for a bad value; write_textfile and serve say what they raise.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._snapshot = MetricsState()
        self._ledger_up: bool | None = None
        self._registry = _Registry()
        try:
            self._make_upstreams()
            self._make_own()
        except OSError as error:
            # The library keeps every counter in a file there, if the variable is set.
            raise UsageError(
                f"PROMETHEUS_MULTIPROC_DIR: {error.strerror}; expected a directory that can be written to, or no such "
                "variable: dzbgp does not need it"
            ) from None
        self._registry.register(self)

    def _make_upstreams(self) -> None:
        registry = self._registry
        self._fetch_duration = Histogram(
            "doublezero_telemetry_programdata_fetch_duration_seconds",
            "Duration of program data fetches from the ledger (without answers from the cache)",
            buckets=FETCH_BUCKETS,
            registry=registry,
        )
        self._fetches = Counter(
            "doublezero_telemetry_programdata_fetch_total",
            "Program data fetches from the ledger by result",
            ["result"],
            registry=registry,
        )
        self._stale_age = Gauge(
            "doublezero_telemetry_programdata_stale_cache_age_seconds",
            "Age of the program data served while the ledger does not answer (0 when it is fresh)",
            registry=registry,
        )
        self._submissions = Counter(
            "doublezero_bgpstatus_submissions_total",
            "Users written onchain; error: the write failed, or its result is unknown",
            ["bgp_status", "result"],
            registry=registry,
        )
        self._submission_duration = Histogram(
            "doublezero_bgpstatus_submission_duration_seconds",
            "From the first signature of a user's write until its result was known",
            buckets=SUBMISSION_BUCKETS,
            registry=registry,
        )
        for fetch_result in FetchResult:
            self._fetches.labels(fetch_result.value)
        for status in (BgpStatus.UP, BgpStatus.DOWN):
            for result in ("success", "error"):
                self._submissions.labels(status.label, result)

    def _make_own(self) -> None:
        registry = self._registry
        self._passes = Counter(
            "dzbgp_passes_total", "Passes by result, an exit code in words", ["result"],
            registry=registry,
        )  # fmt: skip
        self._transactions = Counter(
            "dzbgp_transactions_total", "Transactions signed and sent", registry=registry
        )
        self._requests = Counter(
            "dzbgp_rpc_requests_total", "Requests to RPCs by method, retries included", ["method"],
            registry=registry,
        )  # fmt: skip
        self._retries = Counter(
            "dzbgp_rpc_retries_total", "Retries of requests to RPCs, by method", ["method"],
            registry=registry,
        )  # fmt: skip
        for code in ExitCode:
            self._passes.labels(result_word(code))

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges; called by the registry."""
        yield InfoMetricFamily("dzbgp_build", "The program's version", value={"version": __version__})
        if self._ledger_up is not None:
            yield GaugeMetricFamily(
                "dzbgp_ledger_up", "1 when the last program data fetch succeeded", value=self._ledger_up
            )
        yield from self._snapshot.families()

    def observe_fetch(self, event: FetchEvent) -> None:
        """Take in one fetch of the program data."""
        self._fetches.labels(event.result.value).inc()
        self._fetch_duration.observe(event.duration_s)
        self._stale_age.set(event.stale_age_s)
        self._ledger_up = event.result is FetchResult.SUCCESS

    def observe_rpc(self, requests: Mapping[str, int], retries: Mapping[str, int]) -> None:
        """Add requests and retries made since the last call, by method."""
        for counter, counts in ((self._requests, requests), (self._retries, retries)):
            for method, count in counts.items():
                counter.labels(method).inc(count)

    def observe_balances(self, lamports: Mapping[Pubkey, int]) -> None:
        """Take in the publishers' balances; those of others are forgotten."""
        with self._lock:
            self._snapshot = self._snapshot.with_balances(lamports)

    def observe_pass(self, report: Report, result: ExitCode) -> None:
        """Take in a pass that came to a report. Devices, users and publishers not in it are forgotten."""
        self._passes.labels(result_word(result)).inc()
        self._transactions.inc(report.transactions)
        statuses = {item.observation.user.pubkey: item.status for item in report.decisions}
        for submission in report.submissions.values():
            self._observe_submission(submission, submission.status or statuses.get(submission.user))
        with self._lock:
            self._snapshot = self._snapshot.after_pass(report, result, self._now())

    def observe_failed_pass(self, error: BaseException, duration_s: float, *, is_begun: bool = False) -> None:
        """Take in a pass that failed as a whole. Timestamps and balances stay; what it did not see goes.

        `is_begun`: it may have written.
        """
        result = error.exit_code if isinstance(error, DzbgpError) else ExitCode.COULD_NOT_RUN
        if is_begun and result is ExitCode.COULD_NOT_RUN:
            result = ExitCode.PARTIAL
        self._passes.labels(result_word(result)).inc()
        with self._lock:
            self._snapshot = self._snapshot.after_failure(result, duration_s, self._now())

    def resume(self, before: MetricsState) -> None:
        """Go on from what an earlier process left (metrics_textfile.read_back)."""
        with self._lock:
            self._snapshot = before

    def render(self) -> bytes:
        """Return the exposition in Prometheus' text format."""
        return generate_latest(self._registry)

    def write_textfile(self, file: Path) -> None:
        """Replace `file` as a whole by the exposition, for node_exporter. Raises OSError."""
        replace_file(file, self.render())

    def serve(self, address: str, health: Health | None = None) -> MetricsServer:
        """Serve /metrics, and with `health` /healthz, on HOST:PORT until the result is closed. Raises UsageError."""
        return MetricsServer(address, self._registry, health)

    def _observe_submission(self, submission: Submission, status: BgpStatus | None) -> None:
        if status is None:
            return
        result = "success" if submission.outcome in LANDED else "error"
        self._submissions.labels(status.label, result).inc()
        if submission.seconds is not None:
            self._submission_duration.observe(submission.seconds)
