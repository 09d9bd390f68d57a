"""Finds out how far one comes with one device. Nothing on the device is changed."""

import http.client
import json
import socket
import ssl
import time
from typing import Any

from nornir.core.inventory import ConnectionOptions
from nornir.core.task import Result, Task

from dzbgp.eos.errors import explain
from dzbgp.eos.probe import Probe, Step
from dzbgp.tasks.bgp_neighbors import bgp_neighbors

_CONNECTION = "napalm"
_NOT_ACCEPTED = frozenset({"NetmikoAuthenticationException", "AuthenticationException"})
_PORTS = {"http": 80, "https": 443, "https_certs": 443}
_VERSION = "show version"


def probe(task: Task) -> Result:
    """Connects, logs in, reads the version and what a pass reads; the result is a `Probe`, whatever goes wrong."""
    step, slowest, version = Step.CONNECT, 0.0, ""
    try:
        for step in (Step.CONNECT, Step.OPEN, Step.VERSION, Step.READ):
            started = time.monotonic()
            if step is Step.CONNECT:
                _connect(task.host.get_connection_parameters(_CONNECTION))
            elif step is Step.OPEN:
                task.host.get_connection(_CONNECTION, task.nornir.config)
            elif step is Step.VERSION:
                version = _version(task)
            else:
                vrfs, neighbors = bgp_neighbors(task).result
            slowest = max(slowest, time.monotonic() - started)
    except Exception as error:  # noqa: BLE001 - NAPALM and its drivers may raise anything
        told = explain(error, task.host.get_connection_parameters(_CONNECTION))
        return Result(host=task.host, result=Probe(step, failed_check(step, error), told, slowest, version))
    return Result(host=task.host, result=Probe(Step.DONE, "", "", slowest, version, vrfs, neighbors))


def failed_check(step: Step, error: Exception) -> str:
    """Gives the name of the check at which a device failed."""
    from napalm.base import exceptions as napalm  # noqa: PLC0415 - loaded by whoever raised the error
    from pyeapi import eapilib  # noqa: PLC0415

    if isinstance(error, napalm.CommandErrorException) and isinstance(error.__context__, Exception):
        error = error.__context__
    cause = error.__context__ if isinstance(error, eapilib.ConnectionError) else error
    unfit = "unexpected keyword argument" in str(error) or str(error).startswith("Unknown transport")
    cases = (
        (isinstance(cause, ssl.SSLError), "tls"),
        (step is Step.CONNECT or isinstance(cause, ConnectionRefusedError), "reachable"),
        (type(error).__name__ in _NOT_ACCEPTED, "credentials"),
        (isinstance(error, eapilib.ConnectionError) and "Unauthorized" in str(error), "credentials"),
        (isinstance(error, eapilib.ConnectionError), "api"),
        (isinstance(error, eapilib.CommandError), "commands"),
        (isinstance(error, napalm.UnsupportedVersion), "eos"),
        (unfit or isinstance(error, napalm.ModuleImportError), "settings"),
        (isinstance(error, napalm.ConnectionException), "reachable"),
        (isinstance(error, OSError | http.client.HTTPException) or step is not Step.READ, "api"),
    )
    return next((check for so, check in cases if so), "bgp")


def _connect(connection: ConnectionOptions) -> None:
    """Opens a TCP connection, which tells a device that is not there from one that does not answer.

    Over SSH nothing is tried: the way may lead over another host, which only NAPALM's driver knows.
    """
    extras = connection.extras or {}
    options = extras.get("optional_args") or {}
    transport = options.get("transport", options.get("eos_transport", "https"))
    port = options.get("port") or connection.port or _PORTS.get(str(transport))
    if transport in _PORTS and port and connection.hostname:
        socket.create_connection((connection.hostname, int(port)), extras.get("timeout")).close()


def _version(task: Task) -> str:
    device = task.host.get_connection(_CONNECTION, task.nornir.config)
    answer: Any = device.cli([_VERSION], encoding="json")[_VERSION]
    # Over SSH NAPALM hands out the text as EOS printed it.
    shown = json.loads(answer) if isinstance(answer, str) else answer
    return str(shown["version"])[:40]
