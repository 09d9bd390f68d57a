"""Why a device could not be read, in one line of plain words.

The exceptions are pyeapi's, NAPALM's and netmiko's; each was measured (pyeapi 1.0, NAPALM 5.2).
Their own texts are used only where they can not hold a credential or an answer's body.
"""

import http.client
import socket
import ssl
from collections.abc import Callable

from nornir.core.inventory import ConnectionOptions

from dzbgp.eos.eapi import AnswerTooLargeError

_OTHER_FORM = (AttributeError, LookupError, TypeError, ValueError, RecursionError)
"""What comes of reading an answer that is not what it was taken for."""


def explain(error: BaseException | None, connection: ConnectionOptions) -> str:
    """Says what `error` means for the device behind `connection`. Never more than one line."""
    from napalm.base import exceptions as napalm  # noqa: PLC0415 - loaded by whoever raised the error
    from pyeapi import eapilib  # noqa: PLC0415

    where = _where(connection)
    if isinstance(error, eapilib.ConnectionError):
        return _eapi_connection(error, where, connection)
    if isinstance(error, eapilib.CommandError):
        return f"{where}: the device refused a command: {_one_line(error.message)}"
    if isinstance(error, napalm.UnsupportedVersion):
        found = getattr(error.args[0], "version", error.args[0]) if error.args else "of this device"
        return f"{where}: EOS {_one_line(found)} is older than 4.23.0, the oldest that NAPALM reads"
    if isinstance(error, napalm.ModuleImportError):
        return f"{where}: NAPALM has no driver for platform {connection.platform!r}"
    if isinstance(error, napalm.ConnectionException):
        # NAPALM's own words: "Cannot connect to HOST" over SSH, "Unknown transport: NAME".
        return f"{where}: {_one_line(error)}"
    if isinstance(error, KeyError):
        # NAPALM indexes unguarded what a neighbor may lack.
        return f"{where}: the answer lacks {_one_line(error)}, which NAPALM's get_bgp_neighbors needs"
    if isinstance(error, TypeError) and "unexpected keyword argument" in str(error):
        return f"{where}: the inventory's extras do not fit NAPALM: {_one_line(error)}"
    if isinstance(error, napalm.CommandErrorException) and error.__context__ is not None:
        # NAPALM's cli() wraps whatever happens to it.
        return explain(error.__context__, connection)
    told = _by_cause(error, where, connection)
    if told is None and (isinstance(error, _OTHER_FORM) or type(error).__name__ == "AddrFormatError"):
        # NAPALM takes the form of an answer for granted; its words may hold parts of the answer.
        kind = type(error).__name__
        return f"{where}: the answer is not of the form that NAPALM's get_bgp_neighbors expects ({kind})"
    return told or f"{where}: {type(error).__name__}"


def _eapi_connection(error: Exception, where: str, connection: ConnectionOptions) -> str:
    cause = error.__context__
    if "Unauthorized" in str(error):
        return f"{where}: user {connection.username!r} was not accepted (HTTP 401): wrong name or password"
    if isinstance(cause, ValueError) and not isinstance(cause, OSError):
        return f"{where}: the answer is no eAPI (HTTP error page, or garbage): is it eAPI, and is it well?"
    return _by_cause(cause, where, connection) or f"{where}: {type(error).__name__}"


def _by_cause(cause: BaseException | None, where: str, connection: ConnectionOptions) -> str | None:
    timeout = (connection.extras or {}).get("timeout")
    cases: list[tuple[type[BaseException], Callable[[BaseException], str]]] = [
        (ssl.SSLCertVerificationError, lambda e: f"the certificate was refused: {_verify_message(e)}"),
        (ssl.SSLError, lambda e: f"TLS failed ({getattr(e, 'reason', None) or 'no reason given'})"),
        (ConnectionRefusedError, lambda _: "connection refused: is `management api http-commands` on?"),
        (socket.gaierror, lambda _: "the host name is not known"),
        (http.client.RemoteDisconnected, lambda _: "the device closed the connection without an answer"),
        (http.client.IncompleteRead, lambda _: "the answer broke off in the middle"),
        (http.client.HTTPException, lambda e: f"the answer is no HTTP ({type(e).__name__})"),
        (AnswerTooLargeError, str),
        (TimeoutError, lambda _: f"no answer in {timeout} s" if timeout else "no answer in time"),
        (ConnectionError, lambda _: "the connection broke"),
        (OSError, lambda e: _one_line(getattr(e, "strerror", None) or type(e).__name__)),
    ]
    for kind, words in cases:
        if isinstance(cause, kind):
            return f"{where}: {words(cause)}"
    name = type(cause).__name__
    if name in {"NetmikoAuthenticationException", "AuthenticationException"}:
        return f"{where}: user {connection.username!r} was not accepted over SSH"
    if name in {"NetmikoTimeoutException", "ReadTimeout"}:
        return f"{where}: no answer over SSH in time"
    return None


def _where(connection: ConnectionOptions) -> str:
    return f"{connection.hostname}:{connection.port}" if connection.port else str(connection.hostname)


def _verify_message(error: BaseException) -> str:
    return _one_line(getattr(error, "verify_message", None) or "not trusted")


def _one_line(text: object) -> str:
    """A device's words may hold what a terminal takes for orders."""
    words = " ".join(str(text).split())[:200]
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in words
    )
