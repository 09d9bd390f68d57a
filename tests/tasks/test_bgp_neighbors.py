"""One look at one device: what it shows, or one line of why not, by its deadline at the latest."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from nornir.core.configuration import Config
from nornir.core.inventory import ConnectionOptions, Host
from nornir.core.processor import Processors
from nornir.core.state import GlobalState
from nornir.core.task import Result, Task

from dzbgp.eos.connection import CONNECTION, EosConnection, connect
from dzbgp.lab.eos.device import DeviceFault, EosDevice, EosFault, EosPeer
from dzbgp.lab.eos.fleet import EosFleet
from dzbgp.models.session import Neighbor, Seen, Vrf
from dzbgp.tasks.bgp_neighbors import bgp_neighbors

CODE, ADDRESS = "ams-1", "127.0.0.1"


@pytest.fixture
def fleet() -> Iterator[EosFleet]:
    peers = [EosPeer("169.254.0.1", 65000, "vrf1", description="USER-500", rtt_us=4_000)]
    device = EosDevice(CODE, ADDRESS, 0, "u", "p", "203.0.113.1", peers)
    with EosFleet.start([device]) as running:
        yield running


class _Nornir:
    config = Config()


def task_for(port: int, **options: Any) -> Task:
    extras = {"timeout": 20, "optional_args": {"transport": "https", **options}}
    connection = ConnectionOptions(ADDRESS, port, "u", "p", "eos", extras)
    task = Task(bgp_neighbors, _Nornir(), GlobalState(), Processors(), name="look")  # type: ignore[arg-type]
    task.host = Host(CODE, connection_options={CONNECTION: connection})
    return task


def look(task: Task, timeout_s: float = 20) -> Result:
    return bgp_neighbors(task, timeout_s)


def test_what_a_device_shows_is_read_over_one_connection_at_every_look(fleet: EosFleet) -> None:
    task = task_for(fleet.addresses[CODE][1])
    for _ in range(3):
        seen = look(task).result
        assert isinstance(seen, Seen)
        assert seen.vrfs == (Vrf("default", "10.0.0.1"), Vrf("vrf1", "203.0.113.1"))
        (neighbor,) = seen.neighbors
        assert neighbor == Neighbor(
            "169.254.0.1", "vrf1", True, True, neighbor.uptime_s, "USER-500", 4_000_000
        )
    # `show version` once, and each look in one request.
    assert (fleet.connections(CODE), fleet.requests(CODE)) == (1, 4)
    assert isinstance(task.host.connections[CONNECTION], EosConnection)


def test_a_connection_that_the_device_closed_between_two_looks_is_no_failure(fleet: EosFleet) -> None:
    task = task_for(fleet.addresses[CODE][1])
    assert not look(task).failed
    fleet.hang_up(CODE)
    assert not look(task).failed
    assert fleet.connections(CODE) == 2


@pytest.mark.parametrize("kind", [DeviceFault.NO_ANSWER, DeviceFault.SLOW])
def test_a_device_that_is_too_slow_has_failed_at_the_deadline(fleet: EosFleet, kind: DeviceFault) -> None:
    fleet.set_fault(CODE, EosFault(kind, delay_s=60))
    task = task_for(fleet.addresses[CODE][1])
    result = look(task, 0.3)
    assert result.failed
    assert result.result == f"{ADDRESS}:{fleet.addresses[CODE][1]}: no complete answer in 0.3 s"
    assert CONNECTION not in task.host.connections
    fleet.set_fault(CODE, None)
    assert not look(task).failed


def test_a_thread_that_is_late_is_left_alone_and_its_connection_closed(
    fleet: EosFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a name server does not answer, which nothing can interrupt."""
    going_on, ended = threading.Event(), threading.Event()

    def slow(*args: Any) -> EosConnection:
        going_on.wait(20)
        try:
            return connect(*args)
        finally:
            ended.set()

    monkeypatch.setattr("dzbgp.tasks.bgp_neighbors.connect", slow)
    task = task_for(fleet.addresses[CODE][1])
    assert look(task, 0.2).failed
    going_on.set()
    assert ended.wait(20)
    assert CONNECTION not in task.host.connections
    assert fleet.requests(CODE) == 0


class _Flaky:
    """Refuses the first connections, and hands the others on to a device."""

    def __init__(self, port: int, refused: int) -> None:
        self.connections = 0
        self._target, self._refused = port, refused
        self._listening = socket.create_server((ADDRESS, 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listening.accept()
            self.connections += 1
            if self.connections <= self._refused:
                client.close()
                continue
            server = socket.create_connection((ADDRESS, self._target))
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=_pump, args=(one, other), daemon=True).start()


def _pump(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)


def test_a_device_that_resets_once_is_asked_once_more(
    fleet: EosFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dzbgp.tasks.bgp_neighbors._PAUSE_S", 0.01)
    front = _Flaky(fleet.addresses[CODE][1], refused=1)
    assert not look(task_for(front.port)).failed
    assert front.connections == 2


def test_a_device_that_resets_twice_has_failed(fleet: EosFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dzbgp.tasks.bgp_neighbors._PAUSE_S", 0.01)
    front = _Flaky(fleet.addresses[CODE][1], refused=9)
    result = look(task_for(front.port))
    assert result.failed
    assert front.connections == 2


def test_a_wrong_password_is_not_sent_twice(fleet: EosFleet) -> None:
    fleet.set_fault(CODE, DeviceFault.BAD_PASSWORD)
    result = look(task_for(fleet.addresses[CODE][1]))
    assert "was not accepted (HTTP 401)" in str(result.result)
    assert fleet.requests(CODE) == 1


def test_pyeapis_table_of_transports_stays_as_it_is(fleet: EosFleet) -> None:
    from pyeapi import client, eapilib  # noqa: PLC0415

    assert not look(task_for(fleet.addresses[CODE][1])).failed
    assert client.TRANSPORTS["https"] is eapilib.HttpsEapiConnection
