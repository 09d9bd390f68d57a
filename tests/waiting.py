"""Waiting for a condition, with a deadline."""

import time
from collections.abc import Callable

PATIENCE_S = 60.0
"""For a busy machine: whoever waits for so long has found a fault."""


def until(condition: Callable[[], bool], what: str = "", within_s: float = PATIENCE_S) -> None:
    """Waits for something that is about to happen; `what` is it, for the message if it does not."""
    ends = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < ends, f"it never happened: {what}" if what else "it never happened"
        time.sleep(0.005)
