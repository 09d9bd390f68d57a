"""A bound on what a device may answer: pyeapi takes in whatever comes, and for as long as it comes.

NAPALM finds pyeapi's connections by name in pyeapi's own table. `bound_answers` puts connections there that are
theirs but for one thing: an answer that is too large, or that does not end in time, is refused.
"""

import http.client
import time
from functools import partial
from typing import Any

from pyeapi import client, eapilib

MAX_ANSWER_BYTES = 32 * 1024 * 1024
"""A neighbor takes about 4 kB in EOS's JSON, and the program allows a device 4,096 users: twice as much as that."""

_PIECE = 64 * 1024


class AnswerTooLargeError(OSError):
    """A device's answer is beyond the limit. An OSError, because pyeapi lets go of nothing else it did not expect."""


class _BoundedResponse(http.client.HTTPResponse):
    """Reads a body up to a size, and for `timeout_s` at most: the socket's own timeout is one for each piece."""

    def __init__(self, timeout_s: float | None, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timeout_s = timeout_s

    def read(self, amt: int | None = None) -> bytes:
        if amt is not None:
            return super().read(amt)
        ends_at = None if self._timeout_s is None else time.monotonic() + self._timeout_s
        # http.client counts it down, and does not mind when the connection ends before it is 0.
        announced = self.length
        if announced is not None and announced > MAX_ANSWER_BYTES:
            raise _too_large()
        pieces = []
        size = 0
        while piece := self.read1(_PIECE):
            size += len(piece)
            if size > MAX_ANSWER_BYTES:
                raise _too_large()
            if ends_at is not None and time.monotonic() > ends_at:
                raise TimeoutError("the answer did not end in time")
            pieces.append(piece)
        if announced is not None and size < announced:
            raise http.client.IncompleteRead(b"", announced - size)
        return b"".join(pieces)


class _Bounded(eapilib.EapiConnection):  # type: ignore[misc] # pyeapi has no types
    def send(self, data: str) -> Any:
        self.transport.response_class = partial(_BoundedResponse, self.transport.timeout)
        return super().send(data)


def bound_answers() -> None:
    """Lets every eAPI connection that is made from now on refuse answers that are too large. May be called again."""
    for name, kind in client.TRANSPORTS.items():
        if not issubclass(kind, _Bounded):
            client.TRANSPORTS[name] = type(f"Bounded{kind.__name__}", (_Bounded, kind), {})


def _too_large() -> AnswerTooLargeError:
    return AnswerTooLargeError(f"the answer is larger than {MAX_ANSWER_BYTES // 1024**2} MiB")
