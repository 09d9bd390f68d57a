"""Failures of RPCs: how they are told apart and worded. Pure rules, no I/O.

Two questions are kept apart. `is_transient`: is it worth asking this RPC again? `is_about_request`: would every RPC
refuse this request? If not, another RPC is asked.
"""

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from dzbgp.ledger.errors import LedgerError, RpcError, RpcProtocolError, RpcStatusError, RpcTransportError

NODE_BEHIND = -32005
BLOCK_NOT_AVAILABLE = -32004
MIN_CONTEXT_SLOT_NOT_REACHED = -32016
RATE_LIMITED = -32429
INTERNAL_ERROR = -32603
SERVER_ERROR = -32000
"""Providers use it with words such as "overloaded" or "timed out"."""

RETRIED_STATUS = frozenset({408, 429, 500, 502, 503, 504, *range(520, 531)})
"""Also as the code of a JSON-RPC error: RPC pools report 503 and 429 in the body of an HTTP 200."""
RETRIED_CODES = frozenset(
    {
        NODE_BEHIND,
        BLOCK_NOT_AVAILABLE,
        MIN_CONTEXT_SLOT_NOT_REACHED,
        RATE_LIMITED,
        INTERNAL_ERROR,
        SERVER_ERROR,
    }
)

_BAD_REQUEST = 400
REQUEST_CODES = frozenset({-32700, -32600, -32602, -32002, -32003, -32006, -32013, -32015})
"""Parse error, invalid request or parameters, preflight failure, bad signatures, transaction version."""

MAX_WORDS = 200
"""Characters of an RPC's own words in a message."""
_MIN_SECRET = 4


def is_transient(error: Exception) -> bool:
    """Return whether the same RPC may well answer if it is asked again."""
    if isinstance(error, RpcStatusError):
        return error.status in RETRIED_STATUS
    if isinstance(error, RpcError):
        return error.code in RETRIED_CODES or error.code in RETRIED_STATUS
    return isinstance(error, RpcTransportError | RpcProtocolError)


def is_about_request(error: Exception) -> bool:
    """Return whether the request itself is refused, so that another RPC would refuse it too."""
    if isinstance(error, RpcStatusError):
        return error.status == _BAD_REQUEST
    return isinstance(error, RpcError) and error.code in REQUEST_CODES


def worth_raising(failures: Iterable[LedgerError]) -> LedgerError:
    """Return, of the failures of all RPCs, the one that says best whether and when to try again."""
    last, *others = reversed(list(failures))
    transient = [error for error in (last, *others) if is_transient(error)]
    return min(transient, key=_asked_wait, default=last)


def _asked_wait(error: LedgerError) -> float:
    return (error.retry_after_s or 0.0) if isinstance(error, RpcStatusError) else 0.0


class Redactor:
    """Makes the words of an RPC fit to be shown.

    They may hold control characters, and a proxy may repeat the path of the request, which is an access token.
    """

    def __init__(self, urls: Iterable[str]) -> None:
        secrets = sorted({secret for url in urls for secret in _secrets(url)}, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, secrets)), re.IGNORECASE) if secrets else None

    def text(self, words: object) -> str:
        """Return `words` printable, on one line, without any part of the URLs, at most MAX_WORDS characters."""
        clean = self.line(words)
        return clean if len(clean) <= MAX_WORDS else f"{clean[: MAX_WORDS - 3]}..."

    def line(self, words: object) -> str:
        """Do the same at any length."""
        printable = "".join(char if char.isprintable() else " " for char in str(words))
        clean = " ".join(printable.split())
        return self._pattern.sub("***", clean) if self._pattern else clean

    def json(self, value: Any) -> Any:
        """Return a JSON value with all of its texts made fit to be shown."""
        if isinstance(value, str):
            return self.line(value)
        if isinstance(value, list):
            return [self.json(item) for item in value]
        if isinstance(value, dict):
            return {self.line(key): self.json(item) for key, item in value.items()}
        return value


def _secrets(url: str) -> set[str]:
    """Return every part of a URL but scheme, host and port, as written and decoded."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return set()
    user_info = parts.netloc.rpartition("@")[0]
    texts = {user_info, *user_info.split(":", 1), *parts.path.split("/"), parts.query, parts.fragment}
    texts |= {text for pair in parse_qsl(parts.query, keep_blank_values=True) for text in pair}
    texts |= {text for pair in parts.query.split("&") for text in pair.split("=", 1)}
    texts |= {unquote(text) for text in texts}
    return {text for text in texts if len(text) >= _MIN_SECRET} | ({parts.path} - {"", "/"})
