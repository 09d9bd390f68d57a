"""When a signal may end what is going on: after a write has begun, the report comes first."""

import signal
import threading
from collections.abc import Callable
from types import FrameType

_LIBRARY = threading.__file__.removesuffix("threading.py")
_FRAGILE = frozenset(
    _LIBRARY + name
    for name in (
        "threading.py",
        "queue.py",
        "concurrent/futures/_base.py",
        "concurrent/futures/thread.py",
        "logging/__init__.py",
        "_weakrefset.py",
        "weakref.py",
    )
)
"""Python's code that an exception out of nowhere breaks, or that swallows it."""
_LOOK_S = 0.002
_LOOKS = 50
"""Code that has not moved for so many looks waits for something."""


class CarefulHandler:
    """Handles signals by a call that may raise a KeyboardInterrupt, made when that does no harm.

    In Python's own locks it would: a Condition that takes its lock at that moment has it for ever, or raises a
    RuntimeError because it has not, and nobody catches that as an interrupt; where objects are freed any exception is
    lost. Such code is left in peace as long as it moves. Code that does not move waits, which can be interrupted.
    """

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act
        self._place: tuple[FrameType, int] | None = None
        self._looks = 0

    def __call__(self, _: int, frame: FrameType | None) -> None:
        """Handle a signal that came in this frame, now or soon; the timer's signals too."""
        if frame is not None and _is_fragile(frame) and self._is_moving(frame):
            signal.signal(signal.SIGALRM, self)
            signal.setitimer(signal.ITIMER_REAL, _LOOK_S, _LOOK_S)
            return
        signal.setitimer(signal.ITIMER_REAL, 0)
        # A frame keeps all of its objects.
        self._place = None
        self._act()

    def _is_moving(self, frame: FrameType) -> bool:
        place = (frame, frame.f_lasti)
        self._looks = self._looks + 1 if place == self._place else 0
        self._place = place
        return self._looks < _LOOKS


def _is_fragile(frame: FrameType) -> bool:
    if frame.f_code.co_filename in _FRAGILE:
        return True
    caller: FrameType | None = frame
    while caller is not None and caller.f_code.co_name != "__del__":
        caller = caller.f_back
    return caller is not None


class Interrupts:
    """Delays no signal: a Python program has its own signal handlers."""

    is_begun = False
    """Whether a write may have been sent."""

    def begin(self) -> None:
        """Note that a write is about to be made. A signal stops it early."""
        self.is_begun = True

    def hold(self) -> None:
        """Let a signal wait from here on."""

    def release(self) -> bool:
        """Let a signal end what is going on again. Return False if one came meanwhile; they are held then still."""
        return True
