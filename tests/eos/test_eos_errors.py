"""Every way in which a device fails, in one line of plain words that never holds the password."""

import http.client
import socket
import ssl
from typing import Any

import pytest
from napalm.base.exceptions import CommandErrorException, ModuleImportError, UnsupportedVersion
from napalm.eos.utils.versions import EOSVersion
from nornir.core.inventory import ConnectionOptions
from pyeapi.eapilib import CommandError, ConnectionError  # noqa: A004 - pyeapi's own

from dzbgp.eos.errors import explain

PASSWORD = "hunter2"
HERE = ConnectionOptions(
    hostname="192.0.2.1",
    port=8443,
    username="reader",
    password=PASSWORD,
    platform="eos",
    extras={"timeout": 3, "optional_args": {"enable_password": PASSWORD}},
)


def eapi(cause: BaseException, message: str = "Socket error during eAPI connection: x") -> BaseException:
    """The ConnectionError that pyeapi raises while it handles `cause`."""
    error: BaseException = ConnectionError("https://192.0.2.1:8443/command-api", message)
    error.__context__ = cause
    return error


def wrapped(cause: BaseException) -> BaseException:
    """What NAPALM's cli() makes of it."""
    error: BaseException = CommandErrorException(f"{{'show ...': 'Unable to execute: {cause}'}}")
    error.__context__ = cause
    return error


def refused_certificate() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")
    error.verify_message = "self-signed certificate"
    return error


NetmikoAuth: Any = type("NetmikoAuthenticationException", (Exception,), {})
NetmikoTimeout: Any = type("NetmikoTimeoutException", (Exception,), {})

CASES: dict[str, tuple[BaseException, str]] = {
    "refused": (
        eapi(ConnectionRefusedError(111, "Connection refused")),
        "connection refused: is `management api http-commands` on?",
    ),
    "name not known": (eapi(socket.gaierror(-2, "Name or service not known")), "the host name is not known"),
    "no route": (eapi(OSError(113, "No route to host")), "No route to host"),
    "unreachable": (eapi(OSError(101, "Network is unreachable")), "Network is unreachable"),
    "no answer": (eapi(TimeoutError("The read operation timed out")), "no answer in 3 s"),
    "reset": (eapi(ConnectionResetError(104, "Connection reset by peer")), "the connection broke"),
    "broken pipe": (eapi(BrokenPipeError(32, "Broken pipe")), "the connection broke"),
    "closed without an answer": (
        eapi(http.client.RemoteDisconnected("Remote end closed connection without response")),
        "the device closed the connection without an answer",
    ),
    "certificate": (eapi(refused_certificate()), "the certificate was refused: self-signed certificate"),
    "TLS": (eapi(ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")), "TLS failed ("),
    "wrong password": (
        eapi(ValueError(), f"Unauthorized. Unable to authenticate user: {PASSWORD}"),
        "user 'reader' was not accepted (HTTP 401): wrong name or password",
    ),
    "no JSON": (
        eapi(ValueError("Expecting value"), "unable to connect to eAPI"),
        "the answer is no eAPI (HTTP error page, or garbage)",
    ),
    "no UTF-8": (
        eapi(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"), "unable to connect to eAPI"),
        "the answer is no eAPI (HTTP error page, or garbage)",
    ),
    "cut short": (http.client.IncompleteRead(b"secret", 10), "the answer broke off in the middle"),
    "no HTTP": (http.client.BadStatusLine("hunter2"), "the answer is no HTTP (BadStatusLine)"),
    "command refused": (
        CommandError(1002, "CLI command 2 of 5 'show ip bgp' failed: invalid command", command_error="x"),
        "the device refused a command: Error [1002]: CLI command 2 of 5 'show ip bgp' failed: invalid command",
    ),
    "several lines": (CommandError(1000, "a\nb\r\n  c"), "the device refused a command: Error [1000]: a b c"),
    "refused to NAPALM's cli": (
        wrapped(CommandError(1002, "no")),
        "the device refused a command: Error [1002]",
    ),
    "NAPALM's cli unanswered": (wrapped(eapi(TimeoutError("hunter2"))), "no answer in 3 s"),
    "NAPALM's own": (CommandErrorException("hunter2"), "CommandErrorException"),
    "old EOS": (UnsupportedVersion(EOSVersion("4.20.1F")), "EOS 4.20.1F is older than 4.23.0"),
    "no driver": (ModuleImportError("x"), "NAPALM has no driver for platform 'eos'"),
    "odd neighbor": (KeyError("idleReason"), "the answer lacks 'idleReason', which NAPALM's get_bgp_neigh"),
    "extras that do not fit": (
        TypeError("EOSDriver.__init__() got an unexpected keyword argument 'bogus'"),
        "the inventory's extras do not fit NAPALM: EOSDriver.__init__() got an unexpected keyword argument",
    ),
    "SSH password": (NetmikoAuth("Authentication failed: hunter2"), "was not accepted over SSH"),
    "SSH silence": (NetmikoTimeout("hunter2"), "no answer over SSH in time"),
    "anything else": (RuntimeError("hunter2"), "RuntimeError"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_failure_is_told_in_one_line_of_plain_words_without_the_password(case: str) -> None:
    error, words = CASES[case]
    told = explain(error, HERE)
    assert told.startswith("192.0.2.1:8443: ")
    assert words in told
    assert "\n" not in told
    assert PASSWORD not in told
    assert "secret" not in told
    assert len(told) < 300


def test_without_a_port_the_host_alone_is_named() -> None:
    assert explain(TimeoutError(), ConnectionOptions(hostname="ams-1")) == "ams-1: no answer in time"


def test_a_timeout_of_an_odd_type_does_not_cost_the_explanation() -> None:
    odd = ConnectionOptions(hostname="ams-1", extras={"timeout": "3"})
    assert explain(TimeoutError(), odd) == "ams-1: no answer in 3 s"


def test_an_error_that_is_not_there_is_told_too() -> None:
    assert explain(None, HERE).startswith("192.0.2.1:8443: ")


def test_long_words_of_a_device_are_cut() -> None:
    assert len(explain(CommandError(1002, "x" * 5_000), HERE)) < 300
