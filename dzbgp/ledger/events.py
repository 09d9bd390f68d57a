"""What layers tell whoever measures them, so that none of them need know what a metric is."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class FetchResult(StrEnum):
    """How a fetch of the program data ended. The words are upstream's."""

    SUCCESS = "success"
    ERROR_STALE = "error_stale"
    """It failed, and the last good answer was served instead."""
    ERROR_NO_CACHE = "error_no_cache"
    """It failed, and there was nothing to serve."""


@dataclass(frozen=True, slots=True)
class FetchEvent:
    """One fetch of the program data from the ledger; answers out of the cache are none. In seconds."""

    result: FetchResult
    duration_s: float
    stale_age_s: float = 0.0
    """The age of what was served instead; 0 unless ERROR_STALE."""


OnFetch = Callable[[FetchEvent], None]
"""Called in the ledger's event loop: it must neither block nor raise."""


def unobserved(event: FetchEvent) -> None:
    """Tells nobody."""
