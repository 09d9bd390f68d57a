"""The metrics of a program that cron starts: a file that node_exporter's textfile collector reads."""

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from dzbgp.errors import ExitCode, UsageError
from dzbgp.metrics.gauges import BALANCE, LAST_COMPLETE, LAST_SUCCESS, DeviceLabels, MetricsState
from dzbgp.metrics.registry import Metrics
from dzbgp.models.report import Report

log = logging.getLogger(__name__)


class MetricsTextfile:
    """The metrics of one run, and the file that they go to at its end. Without a file it does nothing.

    What must be remembered from run to run is read back from the file: since when a device is silent, when a pass
    last came to a report, and balances. Any other gauge is of this run alone, and every counter starts at 0.
    """

    def __init__(self, file: Path | None) -> None:
        """Raise UsageError when the file could not be written at the end."""
        self._file = file
        self.metrics: Metrics | None = None
        if file is not None:
            _check(file)
            self.metrics = Metrics()
            self.metrics.resume(read_back(file))

    @contextlib.contextmanager
    def recording_failure(self, is_begun: Callable[[], bool] = lambda: False) -> Iterator[None]:
        """Write the file also if the whole pass inside fails; the error is raised again.

        `is_begun`: whether the pass may have written.
        """
        started = time.monotonic()
        try:
            yield
        except (Exception, KeyboardInterrupt) as error:
            if self.metrics is not None:
                self.metrics.observe_failed_pass(error, time.monotonic() - started, is_begun=is_begun())
                self._write()
            raise

    def finish(self, report: Report, result: ExitCode) -> bool:
        """Write the file after a pass that came to a report; return whether that went well."""
        if self.metrics is None:
            return True
        self.metrics.observe_pass(report, result)
        return self._write()

    def _write(self) -> bool:
        if self.metrics is None or self._file is None:
            return True
        try:
            self.metrics.write_textfile(self._file)
        except OSError as error:
            log.error("--metrics-textfile %s: %s", self._file, error.strerror)  # noqa: TRY400 - one line
            return False
        return True


def read_back(file: Path) -> MetricsState:
    """Return what an earlier run left in `file`; nothing when there is none or it is not of this program."""
    last_success_at: dict[DeviceLabels, float] = {}
    balances: dict[str, float] = {}
    last_complete_at = 0.0
    try:
        text = file.read_text(encoding="utf-8")
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if family.name == LAST_SUCCESS:
                    labels = DeviceLabels(sample.labels["device"], sample.labels["host"])
                    last_success_at[labels] = sample.value
                elif family.name == BALANCE:
                    balances[sample.labels["publisher"]] = sample.value
                elif family.name == LAST_COMPLETE:
                    last_complete_at = sample.value
    except FileNotFoundError:
        return MetricsState()
    except (OSError, ValueError, KeyError, IndexError) as error:
        log.warning("--metrics-textfile %s: started again, it cannot be read: %s", file, error)
        return MetricsState()
    return MetricsState(last_complete_at=last_complete_at, last_success_at=last_success_at, balances=balances)


def _check(file: Path) -> None:
    """Check before anything is written onchain that the metrics file can be written."""
    if file.suffix != ".prom":
        raise UsageError(
            f"--metrics-textfile {file}: expected a name that ends in .prom, the only files that node_exporter reads"
        )
    if file.is_dir() or not file.parent.is_dir() or not os.access(file.parent, os.W_OK):
        raise UsageError(f"--metrics-textfile {file}: expected a file in a directory that can be written to")
