"""Events that the ledger reports to metrics, so that it needs no metrics library."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class FetchResult(StrEnum):
    """Result of fetching the program data. The words are upstream's."""

    SUCCESS = "success"
    ERROR_STALE = "error_stale"
    """The fetch failed; the last good answer was served."""
    ERROR_NO_CACHE = "error_no_cache"
    """The fetch failed, and no earlier answer exists."""


@dataclass(frozen=True, slots=True)
class FetchEvent:
    """One fetch of the program data from the ledger (cached answers are not events). In seconds."""

    result: FetchResult
    duration_s: float
    stale_age_s: float = 0.0
    """The age of what was served instead; 0 unless ERROR_STALE."""


OnFetch = Callable[[FetchEvent], None]
"""Called in the ledger's event loop: it must neither block nor raise."""


def unobserved(event: FetchEvent) -> None:
    """Ignore the event."""
