"""One absolute deadline for everything that is asked of a device at a look."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TypeVar

T = TypeVar("T")

_GRACE_S = 0.05


class DeadlineError(TimeoutError):
    """The deadline of a look at a device has passed."""


class Deadline:
    """A point in time, `seconds` from now."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._ends_at = time.monotonic() + seconds

    def left(self, most: float | None = None) -> float:
        """Return the seconds that are left, `most` at most. Raises DeadlineError when none are."""
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise DeadlineError(f"no complete answer in {self.seconds:g} s")
        return left if most is None else min(left, most)


def run_within(deadline: Deadline, work: Callable[[], T], abandon: Callable[[], None]) -> T:
    """Return what `work` returns, or raise what it raises. Raises DeadlineError at the deadline at the latest.

    `work` runs in a thread of its own, because some of what it calls (name resolution, SSH) knows no absolute deadline.
    A thread that is late is left alone after `abandon`, which has to make it end: it closes the socket.
    """
    future = begin(work, "device")
    try:
        # A little later than the deadline itself, so that the code that knows the late request reports it.
        return future.result(deadline.left() + _GRACE_S)
    except FutureTimeoutError:
        if future.done():
            raise
        abandon()
        raise DeadlineError(f"no complete answer in {deadline.seconds:g} s") from None


def begin(work: Callable[[], T], name: str) -> "Future[T]":
    """Run `work` in a thread of this name, which does not keep the process from ending."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
