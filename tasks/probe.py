"""Finds out how far one comes with one device. Nothing on the device is changed."""

import json
import socket
import time
from typing import Any

from nornir.core.inventory import ConnectionOptions
from nornir.core.task import Result, Task

from dzbgp.checking.probe import Probe, Step
from tasks.bgp_neighbors import bgp_neighbors

_CONNECTION = "napalm"
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
        return Result(host=task.host, result=Probe(step, error, slowest, version))
    return Result(host=task.host, result=Probe(Step.DONE, None, slowest, version, vrfs, neighbors))


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
