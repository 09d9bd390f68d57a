"""Answers in the shapes that EOS gives, replayed: read right, or a device that failed and says why.

Each file in answers/ is one device: what it answers, and either what must be read off it or why it must fail. They
were written by hand from the public shapes of EOS's JSON.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from core_builders import make_device
from replay import answering, replaying

from dzbgp.fleet.fleet import Fleet
from dzbgp.lab.eos.answers import JSON_COMMANDS
from dzbgp.lab.eos.device import EosDevice, EosPeer
from dzbgp.models.session import DeviceReading, DeviceResult

RECORDED: dict[str, dict[str, Any]] = {
    file.stem: json.loads(file.read_text(encoding="utf-8"))
    for file in sorted((Path(__file__).parent / "answers").glob("*.json"))
}
READABLE = [name for name, recorded in RECORDED.items() if "sessions" in recorded]
UNREADABLE = [name for name, recorded in RECORDED.items() if "failed" in recorded]
THOUSANDS = 4_096
"""The users that the program allows a device."""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    devices = {name: answering(recorded["answers"]) for name, recorded in RECORDED.items()}
    with replaying(devices, tmp_path_factory.mktemp("replay")) as running:
        yield running


@pytest.fixture(scope="module")
def readings(fleet: Fleet) -> dict[str, DeviceReading]:
    return {reading.host: reading for reading in fleet.read(dict.fromkeys(RECORDED, make_device()))}


def sessions(reading: DeviceReading) -> dict[str, list[Any]]:
    return {
        neighbor.address: [neighbor.vrf, neighbor.is_up, neighbor.is_enabled, neighbor.uptime_s]
        for neighbor in reading.neighbors
    }


@pytest.mark.parametrize("name", READABLE)
def test_every_session_is_read_as_the_device_told_it(readings: dict[str, DeviceReading], name: str) -> None:
    reading, recorded = readings[name], RECORDED[name]
    assert (reading.result, reading.error) == (DeviceResult.OK, None), recorded["about"]
    assert sessions(reading) == recorded["sessions"], recorded["about"]
    assert {vrf.name: vrf.router_id for vrf in reading.vrfs} == recorded["router_ids"]
    assert {one.address: one.rtt_ns for one in reading.neighbors if one.rtt_ns} == recorded["rtts_ns"]


@pytest.mark.parametrize("name", READABLE)
def test_what_is_odd_costs_no_more_than_itself_and_is_noted(
    readings: dict[str, DeviceReading], name: str
) -> None:
    reading, recorded = readings[name], RECORDED[name]
    assert [one.address for one in reading.neighbors if one.odd] == recorded.get("odd", [])
    assert [vrf.name for vrf in reading.vrfs if not vrf.is_shown] == recorded.get("not_shown", [])
    assert list(reading.notes) == recorded.get("notes", [])


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_device_whose_answer_cannot_be_read_has_failed_and_says_why_in_one_line(
    readings: dict[str, DeviceReading], name: str
) -> None:
    reading, recorded = readings[name], RECORDED[name]
    assert reading.result is DeviceResult.FAILED, recorded["about"]
    assert reading.error is not None
    assert recorded["failed"] in reading.error
    assert "\n" not in reading.error
    assert not reading.neighbors


def test_thousands_of_neighbors_are_read(tmp_path: Path) -> None:
    peers = [
        EosPeer(
            f"169.254.{number // 128}.{number % 128 * 2 + 1}",
            65000,
            "vrf1",
            "Established" if number % 3 else "Active",
            rtt_us=1_000 + number,
        )
        for number in range(THOUSANDS)
    ]
    switch = EosDevice("big", "127.0.0.1", 0, "", "", "198.51.100.7", peers)
    answers = {command: answer(switch) for command, answer in JSON_COMMANDS.items()}
    with replaying({"big": answering(answers)}, tmp_path) as fleet:
        (reading,) = fleet.read({"big": make_device()})
    assert reading.error is None
    assert {address: session[1] for address, session in sessions(reading).items()} == {
        peer.address: peer.state == "Established" for peer in peers
    }
    assert {one.address: one.rtt_ns for one in reading.neighbors if one.rtt_ns} == {
        peer.address: (peer.rtt_us or 0) * 1000 for peer in peers if peer.state == "Established"
    }
