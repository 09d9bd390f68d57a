"""Why a device could not be read, in one line of plain words.

The exceptions are our transport's, NAPALM's and netmiko's (NAPALM 5.2 and its development version). Their own texts are
used only where they cannot hold a credential or an answer's body.
"""

import http.client
import socket
import ssl
from collections.abc import Callable

from nornir.core.inventory import ConnectionOptions

from dzbgp.eos.connection import OddAnswerError
from dzbgp.eos.deadline import DeadlineError
from dzbgp.eos.decoding import AnswerTooLargeError, CommandRefusedError, NotEapiError
from dzbgp.eos.eapi import LoginRefusedError
from dzbgp.eos.trust import UntrustedDeviceError

RETRIED = (
    ConnectionRefusedError,
    ConnectionResetError,
    BrokenPipeError,
    http.client.IncompleteRead,
    ssl.SSLEOFError,
    ssl.SSLZeroReturnError,
)
"""What may be over in a moment: eAPI is being restarted."""


def cause_of(error: BaseException | None) -> BaseException | None:
    """Return what really happened: NAPALM's cli() wraps whatever it meets."""
    from napalm.base.exceptions import CommandErrorException  # noqa: PLC0415 - slow

    inner = error.__context__ if isinstance(error, CommandErrorException) else None
    return error if inner is None else inner


def explain(error: BaseException | None, connection: ConnectionOptions) -> str:
    """Return what `error` means for the device behind `connection`, in one line."""
    from napalm.base import exceptions as napalm  # noqa: PLC0415

    where = _where(connection)
    error = cause_of(error)
    if isinstance(error, napalm.UnsupportedVersion):
        found = getattr(error.args[0], "version", error.args[0]) if error.args else "of this device"
        return f"{where}: EOS {_one_line(found)} is older than 4.23.0, the oldest that NAPALM reads"
    if isinstance(error, napalm.ModuleImportError):
        return f"{where}: NAPALM has no driver for platform {connection.platform!r}"
    if isinstance(error, napalm.ConnectionException):
        # NAPALM's own words: "Cannot connect to HOST" over SSH, "Unknown transport: NAME".
        return f"{where}: {_one_line(error)}"
    if isinstance(error, TypeError) and "unexpected keyword argument" in str(error):
        return f"{where}: NAPALM does not accept the inventory's extras: {_one_line(error)}"
    return f"{where}: {_by_cause(error, connection) or type(error).__name__}"


def _by_cause(error: BaseException | None, connection: ConnectionOptions) -> str | None:
    user = connection.username
    timeout = (connection.extras or {}).get("timeout")
    cases: list[tuple[type[BaseException], Callable[[BaseException], str]]] = [
        (OddAnswerError, _one_line),
        (UntrustedDeviceError, str),
        (CommandRefusedError, lambda e: f"the device refused a command: {_one_line(e)}"),
        (LoginRefusedError, lambda _: f"user {user!r} was not accepted (HTTP 401): wrong name or password"),
        (NotEapiError, lambda e: f"not a valid eAPI response ({e}): check that eAPI is enabled on this port"),
        (DeadlineError, str),
        (ssl.SSLCertVerificationError, lambda e: f"the certificate was refused: {_verify_message(e)}"),
        (ssl.SSLError, lambda e: f"TLS failed ({getattr(e, 'reason', None) or 'no reason given'})"),
        (
            ConnectionRefusedError,
            lambda _: "connection refused: check that `management api http-commands` is enabled",
        ),
        (socket.gaierror, lambda _: "the host name is not known"),
        (http.client.RemoteDisconnected, lambda _: "the device closed the connection without an answer"),
        (http.client.IncompleteRead, lambda _: "the connection was closed in the middle of the answer"),
        (http.client.HTTPException, lambda e: f"the answer is not HTTP ({type(e).__name__})"),
        (AnswerTooLargeError, str),
        (TimeoutError, lambda _: f"no answer in {timeout} s" if timeout else "no answer in time"),
        (ConnectionError, lambda _: "the connection was lost"),
        (OSError, lambda e: _one_line(getattr(e, "strerror", None) or type(e).__name__)),
    ]
    for kind, words in cases:
        if isinstance(error, kind):
            return words(error)
    name = type(error).__name__
    if name in {"NetmikoAuthenticationException", "AuthenticationException"}:
        return f"user {user!r} was not accepted over SSH"
    if name in {"NetmikoTimeoutException", "ReadTimeout"}:
        return "no answer over SSH in time"
    return None


def _where(connection: ConnectionOptions) -> str:
    return f"{connection.hostname}:{connection.port}" if connection.port else str(connection.hostname)


def _verify_message(error: BaseException) -> str:
    return _one_line(getattr(error, "verify_message", None) or "not trusted")


def _one_line(text: object) -> str:
    """Return a device's words without what a terminal would take for control characters."""
    words = " ".join(str(text).split())[:200]
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in words
    )
