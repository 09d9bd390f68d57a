"""Errors between dzbgp and the ledger, split by who failed.

    LedgerError (exit code 1)
    |-- RpcTransportError      no answer: refused, timed out, closed early, cut short
    |-- RpcStatusError         an HTTP status other than 200
    |-- RpcProtocolError       the answer is not JSON-RPC, or belongs to another request
    |-- RpcSizeError           an answer beyond the limit
    |-- RpcError               a JSON-RPC error: `code`, `data`
    |   `-- LedgerBehindError  this RPC's ledger does not advance, is behind, or differs from this machine's clock
    |-- EmptyProgramError      the program has no accounts: a wrong program ID, never an empty fleet
    |-- ClusterMismatchError   the RPC serves another cluster than the one asked for
    |-- LedgerReplacedError    another ledger is served than at the start
    `-- WriteInterruptedError  exit code 3: interrupted before the result of a sent transaction was known

No message shows more of an RPC URL than scheme and host: the path is an access token.
"""

from typing import Any

from dzbgp.errors import DzbgpError, ExitCode


class LedgerError(DzbgpError):
    """The ledger could not be read or written."""


class RpcTransportError(LedgerError):
    """No answer came. A transaction that was sent may still land."""


class RpcStatusError(LedgerError):
    """An HTTP status other than 200. `retry_after_s`: the wait that the server asked for, if any."""

    def __init__(self, message: str, status: int, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s


class RpcProtocolError(LedgerError):
    """The answer is not JSON-RPC, has an unexpected form, or belongs to another request."""


class RpcSizeError(LedgerError):
    """The answer is larger than any expected answer."""


class RpcError(LedgerError):
    """The node answered with a JSON-RPC error."""

    def __init__(self, message: str, code: int, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data


class LedgerBehindError(RpcError):
    """The RPC's ledger does not advance, is behind, or its time differs from this machine's clock."""


class EmptyProgramError(LedgerError):
    """The program has no accounts of a kind that every cluster has."""


class ClusterMismatchError(LedgerError):
    """The RPC serves another cluster than the one asked for."""


class LedgerReplacedError(LedgerError):
    """Another ledger is served than at the start. What is remembered is not of it."""


class WriteInterruptedError(LedgerError):
    """The pass ended while transactions were in flight: some may have been written."""

    exit_code = ExitCode.PARTIAL
