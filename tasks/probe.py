"""Find out how far one comes with one device. Nothing on the device is changed."""

import http.client
import socket
import ssl
import time

import msgspec
from nornir.core.inventory import ConnectionOptions
from nornir.core.task import Result, Task

from dzbgp.eos.connection import CONNECTION, EosConnection, OddAnswerError, connect, disconnect
from dzbgp.eos.deadline import Deadline, run_within
from dzbgp.eos.decoding import CommandRefusedError, NotEapiError, read
from dzbgp.eos.eapi import PORTS, LoginRefusedError
from dzbgp.eos.errors import cause_of, explain
from dzbgp.eos.getter import read_bgp
from dzbgp.eos.probe import Probe, Step
from dzbgp.eos.tls import transport_of
from dzbgp.eos.trust import UntrustedDeviceError
from dzbgp.models.session import Seen

_NOT_ACCEPTED = frozenset({"NetmikoAuthenticationException", "AuthenticationException"})
_VERSION = "show version"


class _Version(msgspec.Struct):
    version: str


def probe(task: Task, timeout_s: float) -> Result:
    """Connect, log in, read the version and what a pass reads; the result is a `Probe`, whatever goes wrong."""
    tried = _Tried(task, Deadline(timeout_s))
    try:
        run_within(tried.deadline, tried.go, lambda: disconnect(task.host))
    except Exception as error:  # noqa: BLE001 - NAPALM and its drivers may raise anything
        told = explain(error, tried.options)
        check = failed_check(tried.step, error)
        return Result(host=task.host, result=Probe(tried.step, check, told, tried.slowest, tried.version))
    seen = tried.seen
    result = Probe(Step.DONE, "", "", tried.slowest, tried.version, seen.vrfs, seen.neighbors)
    return Result(host=task.host, result=result)


class _Tried:
    """How far one came, kept step by step: the thread that tries may be left alone."""

    def __init__(self, task: Task, deadline: Deadline) -> None:
        self.deadline = deadline
        self.options = task.host.get_connection_parameters(CONNECTION)
        self.step, self.slowest, self.version, self.seen = Step.CONNECT, 0.0, "", Seen()
        self._task = task

    def go(self) -> None:
        connection: EosConnection | None = None
        for step in (Step.CONNECT, Step.OPEN, Step.VERSION, Step.READ):
            self.step = step
            started = time.monotonic()
            if step is Step.CONNECT:
                _reach(self.options, self.deadline)
            elif step is Step.OPEN:
                connection = connect(self._task.host, self._task.nornir.config, self.deadline)
            elif connection is not None and step is Step.VERSION:
                self.version = _version(connection)
            elif connection is not None:
                self.seen = read_bgp(connection)
            self.slowest = max(self.slowest, time.monotonic() - started)


def failed_check(step: Step, error: Exception) -> str:
    """Return the name of the check at which a device failed."""
    from napalm.base import exceptions as napalm  # noqa: PLC0415 - loaded by whoever raised the error

    cause = cause_of(error)
    unfit = "unexpected keyword argument" in str(error) or str(error).startswith("Unknown transport")
    cases = (
        (isinstance(cause, ssl.SSLError | UntrustedDeviceError), "tls"),
        (step is Step.CONNECT or isinstance(cause, ConnectionRefusedError), "reachable"),
        (isinstance(cause, LoginRefusedError) or type(cause).__name__ in _NOT_ACCEPTED, "credentials"),
        (isinstance(cause, NotEapiError), "api"),
        (isinstance(cause, CommandRefusedError), "commands"),
        (isinstance(cause, napalm.UnsupportedVersion), "eos"),
        (unfit or isinstance(cause, napalm.ModuleImportError), "settings"),
        (isinstance(cause, napalm.ConnectionException), "reachable"),
        (isinstance(cause, OSError | http.client.HTTPException) or step is not Step.READ, "api"),
    )
    return next((check for so, check in cases if so), "bgp")


def _reach(connection: ConnectionOptions, deadline: Deadline) -> None:
    """Open a TCP connection, which tells a device that is not there from one that does not answer.

    Over SSH nothing is tried: the way may lead over another host, which only NAPALM's driver knows.
    """
    extras = connection.extras or {}
    transport = transport_of(connection)
    port = (extras.get("optional_args") or {}).get("port") or connection.port or PORTS.get(transport)
    if transport in PORTS and port and connection.hostname:
        socket.create_connection(
            (connection.hostname, int(port)), deadline.left(extras.get("timeout"))
        ).close()


def _version(connection: EosConnection) -> str:
    shown = read(connection.ask([_VERSION])[0], _Version)
    if shown is None:
        raise OddAnswerError(f"the answer to `{_VERSION}` holds no version that can be read")
    return shown.version[:40]
