"""What can go wrong between us and the ledger, split by who failed.

    LedgerError (exit code 1)
    |-- RpcTransportError      no answer: refused, timed out, closed in the middle, cut short
    |-- RpcStatusError         an HTTP status other than 200
    |-- RpcProtocolError       an answer that is no JSON-RPC, or one to another request
    |-- RpcSizeError           an answer beyond the limit
    |-- RpcError               a JSON-RPC error: `code`, `data`
    |-- EmptyProgramError      the program has no accounts: a wrong program id, never an empty fleet
    |-- ClusterMismatchError   the RPC serves another cluster than the one asked for
    `-- WriteInterruptedError  exit code 3: nobody waited for the fate of what was sent

No message shows more of an RPC URL than scheme and host: the path is an access token.
"""

from typing import Any

from dzbgp.errors import DzbgpError, ExitCode


class LedgerError(DzbgpError):
    """The ledger could not be read or written."""


class RpcTransportError(LedgerError):
    """No answer came. For a send this says nothing about the transaction's fate."""


class RpcStatusError(LedgerError):
    """An HTTP status other than 200. `retry_after_s` is what the server asked us to wait, if it did."""

    def __init__(self, message: str, status: int, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s


class RpcProtocolError(LedgerError):
    """The answer can't be understood: no JSON-RPC, of another form than expected, or to another request."""


class RpcSizeError(LedgerError):
    """The answer is larger than anything that was asked for can be."""


class RpcError(LedgerError):
    """The node answered with a JSON-RPC error."""

    def __init__(self, message: str, code: int, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data


class EmptyProgramError(LedgerError):
    """The program has no accounts of a kind that every cluster has."""


class ClusterMismatchError(LedgerError):
    """The RPC serves another cluster than the one asked for."""


class WriteInterruptedError(LedgerError):
    """The pass was ended while transactions were under way: some may have been written."""

    exit_code = ExitCode.PARTIAL
