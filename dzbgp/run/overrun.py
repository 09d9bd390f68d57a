"""Passes that take longer than the interval: said once while the first of them runs, and once when they are over."""

import logging
import math
import threading
import time

from dzbgp.console.words import duration

log = logging.getLogger(__name__)

_STOPPED_S = 2.0
"""A thread that wakes up later than this was stopped together with its process, and so was the pass."""


class Overrun:
    """Reports slow passes. `begin`, `pause` and `cancel` belong to the thread that does the passes."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._due = math.inf
        """When the pass begins to overrun; monotonic, as are all times here."""
        self._since: float | None = None
        """When passes began to overrun."""
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self.paused_s = 0.0
        """How long the pass was asked to wait, or was stopped with its process."""

    def begin(self) -> None:
        """Begin a pass."""
        self.paused_s = 0.0
        self._due = time.monotonic() + self._interval_s
        self._ended = threading.Event()
        if self._since is None:
            threading.Thread(target=self._look_on, args=(self._ended,), name="overrun", daemon=True).start()

    def pause(self, seconds: float) -> None:
        """Leave out of account that the pass waits for so long."""
        self.paused_s += seconds
        self._due += seconds

    def cancel(self) -> None:
        """End the pass, and say so if passes no longer overrun."""
        self._ended.set()
        with self._lock:
            if time.monotonic() < self._due and self._since is not None:
                lasted_s, self._since = time.monotonic() - self._since, None
                log.warning(
                    "a pass took less than the interval of %g s again, after %s",
                    self._interval_s,
                    duration(lasted_s),
                )

    def _look_on(self, ended: threading.Event) -> None:
        while not ended.wait(max(self._due - time.monotonic(), 0)):
            with self._lock:
                late_s = time.monotonic() - self._due
                if ended.is_set() or late_s < 0:
                    continue
                if late_s > _STOPPED_S:
                    self.paused_s += late_s
                    self._due += late_s + self._interval_s
                    continue
                self._since = self._due
            log.warning(
                "the pass is taking longer than the interval of %g s: passes that are due meanwhile are skipped",
                self._interval_s,
            )
            return
