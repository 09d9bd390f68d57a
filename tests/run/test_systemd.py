import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from dzbgp.run.systemd import Notifier


class Manager:
    """Stands for systemd: a datagram socket that is read when asked."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self.socket.setblocking(False)

    def heard(self) -> list[str]:
        said = []
        while True:
            try:
                said.append(self.socket.recv(65536).decode())
            except BlockingIOError:
                return said


@pytest.fixture
def address(tmp_path: Path) -> str:
    return str(tmp_path / "notify")


@pytest.fixture
def manager(address: str) -> Iterator[Manager]:
    listening = Manager(address)
    yield listening
    listening.socket.close()


def test_every_state_arrives_as_sd_notify_spells_it(manager: Manager, address: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": address})
    notifier.ready()
    before = time.monotonic_ns() // 1000
    notifier.reloading()
    notifier.status("last pass ok: users=3")
    notifier.stopping()
    ready, reloading, status, stopping = manager.heard()
    assert (ready, status, stopping) == ("READY=1", "STATUS=last pass ok: users=3", "STOPPING=1")
    head, at = reloading.split("\nMONOTONIC_USEC=")
    assert head == "RELOADING=1"
    assert before <= int(at) <= time.monotonic_ns() // 1000


def test_an_address_in_the_abstract_namespace_is_understood(tmp_path: Path) -> None:
    address = f"@dzbgp-{tmp_path.name}-{time.monotonic_ns()}"
    manager = Manager(address)
    Notifier({"NOTIFY_SOCKET": address}).ready()
    assert manager.heard() == ["READY=1"]
    manager.socket.close()


def test_a_status_stays_one_assignment_whatever_is_in_it(manager: Manager, address: str) -> None:
    Notifier({"NOTIFY_SOCKET": address}).status("failed: no\nREADY=1")
    assert manager.heard() == ["STATUS=failed: no READY=1"]


def test_the_watchdog_is_fed_at_once_and_then_four_times_an_interval(
    manager: Manager, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "250000"})
    assert notifier.feed_s == 1 / 16
    for sixty_fourth in range(17):
        clock = SimpleNamespace(monotonic=lambda at=sixty_fourth / 64: at)
        monkeypatch.setattr("dzbgp.run.systemd.time", clock)
        notifier.alive()
    assert manager.heard() == ["WATCHDOG=1"] * 5


@pytest.mark.parametrize("usec", ["", "0", "soon", "-1", "²"])
def test_without_a_watchdog_nothing_is_fed(manager: Manager, address: str, usec: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": usec})
    notifier.alive()
    assert manager.heard() == []


def test_without_systemd_nothing_is_said() -> None:
    notifier = Notifier({})
    notifier.ready()
    notifier.alive()
    notifier.stopping()


def test_a_service_manager_that_has_gone_away_is_no_fault(address: str) -> None:
    Notifier({"NOTIFY_SOCKET": address}).ready()


def test_a_service_manager_that_does_not_read_holds_nobody_up(manager: Manager, address: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": address})
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sender.setblocking(False)
    with pytest.raises(BlockingIOError):  # noqa: PT012 - until its queue is full
        while True:
            sender.sendto(b"STATUS=full", address)
    sender.close()
    began = time.monotonic()
    notifier.ready()
    assert time.monotonic() - began < 5
