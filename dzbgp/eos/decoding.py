"""What a device answers: JSON, decoded within limits that hold over HTTP and SSH alike, and errors."""

import http.client
import json
import re
import threading
from typing import Any, TypeVar

import msgspec

MAX_ANSWER_BYTES = 18 * 1024 * 1024
"""A neighbor takes about 4 kB in EOS's JSON, and the program allows a device 4,096 users."""
MAX_OTHER_BYTES = 256 * 1024
"""For what is decoded into Python objects as it is, which can take 30 times the memory: `show version`."""
MAX_VALUES = 1_000_000
"""How many values an answer may hold; 4,096 neighbors have 700,000."""

DECODING = threading.RLock()
"""Held while an answer is decoded: that takes many times its size, and 20 devices may answer at once."""

T = TypeVar("T")

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


class AnswerTooLargeError(OSError):
    """A device's answer is beyond a limit."""


class NotEapiError(Exception):
    """What answered does not speak eAPI."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")


class CommandRefusedError(Exception):
    """The device refused a command. The message is EOS's own reason, and nothing of what other commands answered."""

    @classmethod
    def of(cls, code: Any, message: Any, data: Any) -> "CommandRefusedError":
        """Return the error of a JSON-RPC error object, whatever its members are."""
        # Code 1005 repeats what was typed, which may be the enable password.
        told = re.sub(r"input=\S+", "input=(not shown)", str(message))
        last = data[-1] if isinstance(data, list) and data else None
        errors = last.get("errors") if isinstance(last, dict) else [last] if isinstance(last, str) else None
        reasons = [one for one in errors if isinstance(one, str)] if isinstance(errors, list) else []
        return cls(f"{told} (error {code})" + (f": {'; '.join(reasons)}" if reasons else ""))


def too_large(limit: int) -> AnswerTooLargeError:
    """Return the error of an answer beyond so many bytes."""
    return AnswerTooLargeError(f"the answer is larger than {limit / 1024**2:g} MiB")


def strict(content: bytes | bytearray | msgspec.Raw) -> bytes:
    """Return JSON without what only EOS and Python make of it: NaN, 1e999, halves of surrogates, bytes of no UTF-8.

    Raises ValueError when it is still not JSON.
    """
    text = _SURROGATE.sub(rb"\\ufffd", bytes(content)).decode(errors="replace")
    try:
        return msgspec.json.encode(json.loads(text))
    except RecursionError:
        raise ValueError("nested too deeply") from None


class _Error(msgspec.Struct):
    code: Any = None
    message: Any = None
    data: Any = None


class _Reply(msgspec.Struct):
    result: list[msgspec.Raw] | None = None
    error: _Error | None = None


def decoded(content: bytes | bytearray) -> list[msgspec.Raw]:
    """Return the JSON of each result in an answer. Raises CommandRefusedError, NotEapiError, AnswerTooLargeError."""
    check_values(content)
    with DECODING:
        reply = read(content, _Reply)
    if reply is not None and reply.error is not None:
        raise CommandRefusedError.of(reply.error.code, reply.error.message, reply.error.data)
    if reply is None or reply.result is None:
        raise NotEapiError(http.client.OK)
    return reply.result


def check_values(content: bytes | bytearray) -> None:
    """Raise AnswerTooLargeError for an answer of more values than a device may have."""
    # No answer holds more values than bytes; counting takes as long as decoding.
    if len(content) > MAX_VALUES and sum(content.count(mark) for mark in (b",", b"[", b"{")) > MAX_VALUES:
        raise AnswerTooLargeError(f"the answer holds more than {MAX_VALUES:,} values")


def read(content: bytes | bytearray | msgspec.Raw, kind: type[T]) -> T | None:
    """Return what of a JSON text is asked for, None where it is of another form or no JSON."""
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.ValidationError, RecursionError):
        return None
    except (msgspec.DecodeError, UnicodeDecodeError):
        try:
            return msgspec.json.decode(strict(content), type=kind)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            # msgspec's errors are ValueErrors from release 0.20 on.
            return None
