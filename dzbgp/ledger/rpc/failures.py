"""Failures of RPCs: their kinds and their messages. Pure rules, no I/O.

Two questions are kept apart. `is_transient`: is it worth asking this RPC again? `is_about_request`: would every RPC
refuse this request? If not, another RPC is asked.
"""

from collections.abc import Iterable

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
