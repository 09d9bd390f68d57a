"""Every way in which a device fails, in one line of plain words that never holds the password."""

import http.client
import socket
import ssl
from typing import Any

import pytest
from napalm.base.exceptions import (
    CommandErrorException,
    ModuleImportError,
    UnsupportedVersion,
)
from napalm.eos.utils.versions import EOSVersion
from nornir.core.inventory import ConnectionOptions

from dzbgp.eos.connection import OddAnswerError
from dzbgp.eos.deadline import DeadlineError
from dzbgp.eos.decoding import CommandRefusedError, NotEapiError
from dzbgp.eos.eapi import LoginRefusedError
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
        ConnectionRefusedError(111, "Connection refused"),
        "connection refused: check that `management api http-commands` is enabled",
    ),
    "name not known": (socket.gaierror(-2, "Name or service not known"), "the host name is not known"),
    "no route": (OSError(113, "No route to host"), "No route to host"),
    "unreachable": (OSError(101, "Network is unreachable"), "Network is unreachable"),
    "no answer": (TimeoutError("The read operation timed out"), "no answer in 3 s"),
    "reset": (ConnectionResetError(104, "Connection reset by peer"), "the connection was lost"),
    "broken pipe": (BrokenPipeError(32, "Broken pipe"), "the connection was lost"),
    "closed without an answer": (
        http.client.RemoteDisconnected("Remote end closed connection without response"),
        "the device closed the connection without an answer",
    ),
    "certificate": (refused_certificate(), "the certificate was refused: self-signed certificate"),
    "TLS": (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), "TLS failed ("),
    "wrong password": (
        LoginRefusedError(PASSWORD),
        "user 'reader' was not accepted (HTTP 401): wrong name or password",
    ),
    "no eAPI": (
        NotEapiError(502),
        "not a valid eAPI response (HTTP 502): check that eAPI is enabled on this port",
    ),
    "too late": (DeadlineError("no complete answer in 25 s"), "no complete answer in 25 s"),
    "odd answer": (
        OddAnswerError("the answer to `show version` holds no version that can be read"),
        "the answer to `show version` holds no version",
    ),
    "cut short": (
        http.client.IncompleteRead(b"secret", 10),
        "the connection was closed in the middle of the answer",
    ),
    "no HTTP": (http.client.BadStatusLine("hunter2"), "the answer is not HTTP (BadStatusLine)"),
    "command refused": (
        CommandRefusedError("CLI command 2 of 3 'show ip bgp' failed: invalid command (error 1002)"),
        "the device refused a command: CLI command 2 of 3 'show ip bgp' failed: invalid command (error 1002)",
    ),
    "several lines": (CommandRefusedError("a\nb\r\n  c"), "the device refused a command: a b c"),
    "refused to NAPALM's cli": (wrapped(CommandRefusedError("no")), "the device refused a command: no"),
    "NAPALM's cli unanswered": (wrapped(TimeoutError("hunter2")), "no answer in 3 s"),
    "NAPALM's own": (CommandErrorException("hunter2"), "CommandErrorException"),
    "old EOS": (UnsupportedVersion(EOSVersion("4.20.1F")), "EOS 4.20.1F is older than 4.23.0"),
    "no driver": (ModuleImportError("x"), "NAPALM has no driver for platform 'eos'"),
    "extras that do not fit": (
        TypeError("EOSDriver.__init__() got an unexpected keyword argument 'bogus'"),
        "NAPALM does not accept the inventory's extras: EOSDriver.__init__() got an unexpected keyword argument",
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
    assert len(explain(CommandRefusedError("x" * 5_000), HERE)) < 300


def test_a_refused_command_shows_its_own_reason_and_nothing_of_the_other_answers() -> None:
    message = "CLI command 3 of 3 'show ip bgp neighbors vrf all' failed: invalid command"
    data = [{}, {"vrfs": {"vrf1": {"routerId": "192.0.2.9"}}}, {"errors": ["Invalid input (at token 2)"]}]
    told = str(CommandRefusedError.of(1002, message, data))
    assert told == f"{message} (error 1002): Invalid input (at token 2)"
    assert str(CommandRefusedError.of(1005, "insufficient permissions input=hunter2 x", ["text"])).startswith(
        "insufficient permissions input=(not shown) x (error 1005)"
    )
    assert str(CommandRefusedError.of(None, None, {"a": 1})) == "None (error None)"
