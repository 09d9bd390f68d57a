"""What NAPALM makes of the devices' faults, and what eAPI answers to what it does not understand."""

import http.client
import json
import socket
import ssl
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pyeapi.eapilib
import pytest
from eos_lab import block, device, driver, raw, read, two_devices
from napalm import get_network_driver
from napalm.base.exceptions import CommandErrorException

from dzbgp.lab.eos.fleet import DeviceFault, EosFault, EosFleet


@pytest.fixture
def fleet() -> Iterator[EosFleet]:
    with two_devices() as it:
        yield it


def call(fleet: EosFleet, body: bytes, *, path: str = "/command-api", password: str = "secret") -> Any:
    """Sends `body` without NAPALM and gives the parsed answer."""
    it = fleet.device("one")
    login = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    url = f"https://{it.address}:{it.port}{path}"
    login.add_password(None, url, "reader", password)
    opener = urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=ssl.create_default_context(cadata=fleet.ca_pem)),
        urllib.request.HTTPBasicAuthHandler(login),
    )
    with opener.open(urllib.request.Request(url, body), timeout=5) as answer:
        return json.load(answer)


def test_http_to_the_https_port_is_closed_without_an_answer(fleet: EosFleet) -> None:
    with pytest.raises(pyeapi.eapilib.ConnectionError, match=r"closed connection without response|reset"):
        read(fleet, transport="http")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (DeviceFault.NO_ANSWER, "Socket error during eAPI connection: .*read operation timed out"),
        (DeviceFault.REFUSE, "Socket error during eAPI connection: .*Connection refused"),
        (DeviceFault.BAD_PASSWORD, "Unauthorized. Unable to authenticate user"),
        (DeviceFault.HTTP_500, "unable to connect to eAPI"),
        (DeviceFault.GARBAGE, "unable to connect to eAPI"),
        (DeviceFault.HANGUP, "Remote end closed connection without response"),
    ],
)
def test_a_connection_fault_is_pyeapis_connection_error_until_it_is_taken_back(
    fleet: EosFleet, kind: DeviceFault, message: str
) -> None:
    fleet.set_fault("one", kind)
    with pytest.raises(pyeapi.eapilib.ConnectionError, match=message):
        read(fleet, timeout=0.3 if kind is DeviceFault.NO_ANSWER else 5)
    assert "vrf1" in read(fleet, "two")
    fleet.set_fault("one", None)
    assert "vrf1" in read(fleet)


def test_the_wrong_password_is_refused(fleet: EosFleet) -> None:
    it = fleet.device("one")
    napalm = get_network_driver("eos")(it.address, "reader", "wrong", optional_args={"port": it.port})
    with pytest.raises(pyeapi.eapilib.ConnectionError, match=r"Unauthorized\. Unable to authenticate user"):
        napalm.open()


def test_a_slow_device_answers_rightly_unless_the_client_gives_up(fleet: EosFleet) -> None:
    fleet.set_fault("one", EosFault(DeviceFault.SLOW, delay_s=0.2))
    started = time.monotonic()
    assert "vrf1" in read(fleet)
    assert time.monotonic() - started >= 0.4
    with pytest.raises(pyeapi.eapilib.ConnectionError, match="timed out"):
        read(fleet, timeout=0.05)


def test_refused_commands_are_command_errors_and_other_commands_work(fleet: EosFleet) -> None:
    fleet.set_fault("one", DeviceFault.REFUSED_COMMAND)
    napalm = driver(fleet)
    napalm.open()
    with pytest.raises(pyeapi.eapilib.CommandError, match=r"CLI command 2 of 5 '.*' failed: invalid command"):
        napalm.get_bgp_neighbors()


def test_an_answer_cut_short_is_not_even_wrapped_by_pyeapi(fleet: EosFleet) -> None:
    fleet.set_fault("one", DeviceFault.TRUNCATED)
    with pytest.raises(http.client.IncompleteRead):
        read(fleet)


def test_the_empty_answer_is_no_error_at_all(fleet: EosFleet) -> None:
    fleet.set_fault("one", DeviceFault.EMPTY)
    assert read(fleet) == {}


def test_one_odd_neighbor_fails_napalms_getter_as_a_whole(fleet: EosFleet) -> None:
    fleet.set_fault("one", DeviceFault.ODD_NEIGHBOR)
    with pytest.raises(KeyError, match="state"):
        read(fleet)


def test_another_device_shows_in_its_router_ids(fleet: EosFleet) -> None:
    fleet.set_fault("one", EosFault(DeviceFault.WRONG_IDENTITY, router_id="203.0.113.77"))
    assert {table["router_id"] for table in read(fleet).values()} == {"203.0.113.77"}
    assert raw(fleet)["169.254.0.1"]["localRouterId"] == "203.0.113.77"


def test_a_missing_vrf_is_missing_everywhere(fleet: EosFleet) -> None:
    fleet.set_fault("one", EosFault(DeviceFault.MISSING_VRF, vrf="vrf2"))
    assert set(read(fleet)) == {"global", "vrf1"}


def test_a_refusing_device_can_be_started_and_comes_back_on_its_port() -> None:
    with EosFleet.start([device("one", f"{block()}.1", fault=EosFault(DeviceFault.REFUSE))]) as fleet:
        address = fleet.addresses["one"]
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, timeout=5)
        fleet.set_fault("one", None)
        assert fleet.addresses["one"] == address
        assert "vrf1" in read(fleet)


def test_text_commands_and_unknown_commands_are_answered_as_eos_does(fleet: EosFleet) -> None:
    napalm = driver(fleet)
    napalm.open()
    text = napalm.cli(["show ip bgp summary vrf all"])["show ip bgp summary vrf all"]
    assert "Router identifier 203.0.113.1, local AS number 65342" in text
    assert "Estab" in text
    assert "4.31.2F" in napalm.cli(["show version"])["show version"]
    assert napalm.cli(["show hostname"], encoding="json")["show hostname"]["hostname"] == "one"
    with pytest.raises(CommandErrorException, match="Invalid command"):
        napalm.cli(["show nonsense"])


def test_an_error_carries_eapis_code_and_the_answers_so_far(fleet: EosFleet) -> None:
    commands = ["enable", {"cmd": "show hostname"}, "show nonsense"]
    request = {"jsonrpc": "2.0", "method": "runCmds", "id": "7", "params": {"version": 1, "cmds": commands}}
    answer = call(fleet, json.dumps(request).encode())
    assert answer["id"] == "7"
    assert answer["error"]["code"] == 1002
    assert answer["error"]["message"] == "CLI command 3 of 3 'show nonsense' failed: invalid command"
    assert answer["error"]["data"][1]["hostname"] == "one"
    assert "errors" in answer["error"]["data"][2]


@pytest.mark.parametrize(
    "body",
    [b"", b"no json", b"[]", b"{}", b'{"params": {"cmds": [{}]}}', b"\xff"],
)
def test_a_malformed_request_is_answered_with_an_error(fleet: EosFleet, body: bytes) -> None:
    assert call(fleet, body)["error"]["code"] == -32600
    assert "vrf1" in read(fleet)


@pytest.mark.parametrize("command", ["", 7, None, [], "show  nonsense"])
def test_whatever_is_no_command_is_an_invalid_one(fleet: EosFleet, command: object) -> None:
    request = {"method": "runCmds", "params": {"cmds": [command]}}
    assert call(fleet, json.dumps(request).encode())["error"]["code"] == 1002
