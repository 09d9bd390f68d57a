"""A bound on what a device may answer: pyeapi takes in whatever comes, and for as long as it comes.

NAPALM finds pyeapi's connections by name in pyeapi's own table. `bound_answers` puts connections there that are
theirs but for two things: an answer that is too large, or that does not end in time, is refused; and no text is made of
what is said.
"""

import http.client
import time
from functools import partial
from typing import Any

import msgspec
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
    error: Exception | None
    socket_error: OSError | None

    def send(self, data: str) -> Any:
        """Does what pyeapi's own does, with its errors.

        That one writes each request and each answer out as text for a log that nobody keeps, with the enable password
        in it, which takes as long as all the rest; and it knows only Python's JSON.
        """
        try:
            return self._answer(data)
        except OSError as error:
            self.socket_error = self.error = error
            raise eapilib.ConnectionError(
                str(self), f"Socket error during eAPI connection: {error}"
            ) from error
        except ValueError as error:
            self.socket_error, self.error = None, error
            raise eapilib.ConnectionError(str(self), "unable to connect to eAPI") from error
        finally:
            self.transport.close()

    def _answer(self, data: str) -> Any:
        self.transport.response_class = partial(_BoundedResponse, self.transport.timeout)
        self.transport.putrequest("POST", "/command-api")
        self.transport.putheader("Content-type", "application/json-rpc")
        self.transport.putheader("Content-length", str(len(data)))
        if self._auth:
            self.transport.putheader(*self._auth)
        self.transport.endheaders(message_body=data.encode())
        response = self.transport.getresponse()
        content = response.read()
        if response.status == http.client.UNAUTHORIZED:
            told = content.decode(errors="replace")
            raise eapilib.ConnectionError(str(self), f"{response.reason}. {told}")
        try:
            answer = msgspec.json.decode(content)
        except msgspec.DecodeError:
            raise ValueError("the answer is no JSON") from None
        if "error" in answer:
            code, message, errors, output = self._parse_error_message(answer)
            raise eapilib.CommandError(code, message, command_error=errors, output=output)
        return answer


def bound_answers() -> None:
    """Lets every eAPI connection that is made from now on refuse answers that are too large. May be called again."""
    for name, kind in client.TRANSPORTS.items():
        if not issubclass(kind, _Bounded):
            client.TRANSPORTS[name] = type(f"Bounded{kind.__name__}", (_Bounded, kind), {})


def _too_large() -> AnswerTooLargeError:
    return AnswerTooLargeError(f"the answer is larger than {MAX_ANSWER_BYTES // 1024**2} MiB")
