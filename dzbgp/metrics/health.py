"""Whether passes go on, for /healthz."""

import time
from collections.abc import Callable

from dzbgp.console.words import duration

_INTERVALS = 3


class Health:
    """Well while a pass has ended within three intervals, whatever it came to. May be used from any thread."""

    def __init__(self, interval_s: float, now: Callable[[], float] = time.monotonic) -> None:
        self._limit_s = _INTERVALS * interval_s
        self._now = now
        self._ended_at = now()

    def ended(self) -> None:
        """Note that a pass has ended."""
        self._ended_at = self._now()

    def problem(self) -> str:
        """Return what is wrong; an empty text if nothing is."""
        silent_s = self._now() - self._ended_at
        if silent_s <= self._limit_s:
            return ""
        return f"no pass has ended for {duration(silent_s)}, which is more than {_INTERVALS} intervals"
