"""A fleet of hosts: whose device each is, and what simulated devices answer through NAPALM as installed."""

import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
import ruamel.yaml
from core_builders import key, make_device, make_user
from nornir import InitNornir
from nornir_napalm.plugins.tasks import napalm_get
from report_builders import mixed

from dzbgp.decision.resolver import assess_credibility, resolve
from dzbgp.decision.rules import Limits
from dzbgp.eos.connection import CONNECTION
from dzbgp.eos.trust import EXPECTED
from dzbgp.errors import ExitCode, InventoryError, UsageError
from dzbgp.fleet.fleet import Fleet
from dzbgp.fleet.load import load_inventory
from dzbgp.fleet.options import FleetRequest
from dzbgp.lab.eos.fleet import ADMIN_DOWN, DeviceFault, EosDevice, EosFault, EosFleet, EosPeer
from dzbgp.ledger.errors import RpcTransportError
from dzbgp.models.exit import exit_reasons
from dzbgp.models.ledger import Contributor, Device
from dzbgp.models.session import DeviceReading, DeviceResult, Observed
from dzbgp.models.summary import totals

USERNAME, PASSWORD = "reader", "hunter2-of-the-lab"


def block() -> str:
    """The first three numbers of loopback addresses that no other run is likely to use."""
    return f"127.{random.randint(110, 250)}.{random.randint(0, 255)}"


def eos(code: str, address: str, number: int, **changes: Any) -> EosDevice:
    values: dict[str, Any] = {
        "code": code,
        "address": address,
        "port": 0,
        "username": USERNAME,
        "password": PASSWORD,
        "router_id": f"203.0.113.{number}",
        "peers": [
            EosPeer("169.254.0.1", 65000, "vrf1", description=f"USER-{number}", rtt_us=4_287 + number),
            EosPeer("169.254.0.3", 65000, "vrf1", rtt_us=None),
            EosPeer("169.254.0.5", 65000, "default", state="Active"),
            EosPeer("169.254.0.7", 65000, "vrf1", state="OpenSent", rtt_us=5_000),
            EosPeer("169.254.0.9", 65000, "vrf1", state="Idle", idle_reason=ADMIN_DOWN),
            EosPeer("10.0.0.2", 65342, "default"),
        ],
    }
    return EosDevice(**{**values, **changes})


def put(directory: Path, hosts: dict[str, Any], **files: Any) -> Path:
    defaults = {"platform": "eos", "username": USERNAME, "password": PASSWORD}
    for name, content in {"hosts": hosts, "groups": {}, "defaults": defaults, **files}.items():
        with (directory / f"{name}.yaml").open("w", encoding="utf-8") as file:
            ruamel.yaml.YAML(typ="safe").dump(content, file)
    return directory


def fleet_of(directory: Path, **hosts: Any) -> Fleet:
    return Fleet(load_inventory(put(directory, {name.replace("_", "-"): one for name, one in hosts.items()})))


# Whose device is it?

AMS = make_device(1, code="ams-dz-001", public_ip="203.0.113.1")
FRA = make_device(2, code="fra-dz-001", public_ip="203.0.113.2")
DEVICES = {AMS.pubkey: AMS, FRA.pubkey: FRA}


@pytest.mark.parametrize(
    ("name", "host", "device"),
    [
        ("r1", {"data": {"dz_device": str(AMS.pubkey)}}, AMS),
        ("r1", {"data": {"dz_device": "ams-dz-001"}}, AMS),
        ("ams-dz-001", {}, AMS),
        ("r1", {"hostname": "203.0.113.1"}, AMS),
        ("fra-dz-001", {"data": {"dz_device": "ams-dz-001"}}, AMS),
        ("ams-dz-001", {"hostname": "203.0.113.2"}, AMS),
        ("r1", {"hostname": "203.0.113.2", "data": {"dz_device": "ams-dz-001"}}, AMS),
        ("r1", {"hostname": "203.0.113.99"}, None),
        ("ams-dz-001", {"data": {"dz_device": "ams-dz-01"}}, None),
        ("ams-dz-001", {"data": {"dz_device": str(key(7))}}, None),
        ("AMS-DZ-001", {}, None),
    ],
    ids=[
        "pubkey",
        "code",
        "host name",
        "public_ip",
        "code before host name",
        "host name before public_ip",
        "code before public_ip",
        "nothing",
        "a code that no device has, though the name fits",
        "a pubkey that no device has, though the name fits",
        "another spelling",
    ],
)
def test_a_host_is_the_device_that_it_names_else_is_called_like_else_has_the_address_of(
    tmp_path: Path, name: str, host: dict[str, Any], device: Device | None
) -> None:
    other = "fra-dz-001" if name != "fra-dz-001" else "frankfurt"
    others = {other: {"data": {"dz_device": "fra-dz-001"}}}
    fleet = Fleet(load_inventory(put(tmp_path, {name: host, **others})))
    assert fleet.match(DEVICES) == {name: device, other: FRA}
    assert set(fleet.scope(DEVICES)) == {FRA.pubkey, *([device.pubkey] if device else [])}


def test_a_group_may_say_which_device_its_one_host_is(tmp_path: Path) -> None:
    put(tmp_path, {"r1": {"groups": ["g"]}}, groups={"g": {"data": {"dz_device": "ams-dz-001"}}})
    assert Fleet(load_inventory(tmp_path)).match(DEVICES) == {"r1": AMS}


@pytest.mark.parametrize(
    "hosts",
    [
        {"ams_dz_001": {}, "r2": {"hostname": "203.0.113.1"}},
        {"ams_dz_001": {}, "r2": {"data": {"dz_device": str(AMS.pubkey)}}},
        {"r1": {"data": {"dz_device": "ams-dz-001"}}, "r2": {"data": {"dz_device": str(AMS.pubkey)}}},
    ],
)
def test_two_hosts_that_are_one_device_are_refused_by_name(tmp_path: Path, hosts: dict[str, Any]) -> None:
    one, other = (name.replace("_", "-") for name in hosts)
    with pytest.raises(InventoryError) as caught:
        fleet_of(tmp_path, **hosts).match(DEVICES)
    assert str(caught.value) == (
        f"hosts '{one}' and '{other}' are both device ams-dz-001; expected one host for each device"
    )
    assert caught.value.exit_code is ExitCode.USAGE


def test_an_inventory_that_is_no_device_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match="no host of 2 is one of the program's 2 devices"):
        fleet_of(tmp_path, r1={}, r2={}).match(DEVICES)


def test_a_host_that_two_accounts_fit_is_unmatched_alone_and_the_message_names_both(tmp_path: Path) -> None:
    twin = make_device(3, code="ams-dz-001", public_ip="203.0.113.3")
    fleet = fleet_of(tmp_path, ams_dz_001={}, fra_dz_001={})
    matched = fleet.match({one.pubkey: one for one in (AMS, FRA, twin)})
    assert matched == {"ams-dz-001": None, "fra-dz-001": FRA}
    (reading,) = fleet.read({"ams-dz-001": None})
    assert reading.result is DeviceResult.UNMATCHED
    assert reading.error is not None
    assert str(AMS.pubkey) in reading.error
    assert str(twin.pubkey) in reading.error


# Whose devices are asked?

OURS, THEIRS = Contributor(key(50), "ours"), Contributor(key(51), "")
OUR_AMS, THEIR_FRA = replace(AMS, contributor_pk=OURS.pubkey), replace(FRA, contributor_pk=THEIRS.pubkey)
OWNED = {AMS.pubkey: OUR_AMS, FRA.pubkey: THEIR_FRA}


@pytest.mark.parametrize(
    ("wanted", "hosts"),
    [
        ((), {"ams-dz-001", "fra-dz-001", "stranger"}),
        (("OURS",), {"ams-dz-001"}),
        ((str(THEIRS.pubkey),), {"fra-dz-001"}),
        (("ours", str(THEIRS.pubkey)), {"ams-dz-001", "fra-dz-001"}),
    ],
)
def test_a_contributor_chooses_the_hosts_whose_devices_are_its_own(
    tmp_path: Path, wanted: tuple[str, ...], hosts: set[str]
) -> None:
    fleet = fleet_of(tmp_path, ams_dz_001={}, fra_dz_001={}, stranger={})
    fleet.choose_contributors(wanted, [OURS, THEIRS])
    assert fleet.match(OWNED).keys() == hosts


def test_a_device_that_changes_hands_is_followed_with_each_reading(tmp_path: Path) -> None:
    fleet = fleet_of(tmp_path, ams_dz_001={}, fra_dz_001={})
    fleet.choose_contributors(["ours"], [OURS, THEIRS])
    swapped = {
        AMS.pubkey: replace(AMS, contributor_pk=THEIRS.pubkey),
        FRA.pubkey: replace(FRA, contributor_pk=OURS.pubkey),
    }
    assert fleet.match(OWNED).keys() == {"ams-dz-001"}
    assert fleet.match(swapped).keys() == {"fra-dz-001"}
    assert fleet.match(OWNED).keys() == {"ams-dz-001"}


def test_nothing_of_another_contributors_hosts_can_stop_a_run(tmp_path: Path) -> None:
    twins = {"dz_device": "fra-dz-001", "dz_max_down": "much", "dz_identity_check": "no"}
    other = {"platform": "junos", "hostname": "192.0.2.9"}
    fleet = fleet_of(tmp_path, ams_dz_001={}, r1={"data": twins}, r2={"data": twins}, r3=other)
    fleet.choose_contributors(["ours"], [OURS, THEIRS])
    assert fleet.match(OWNED) == {"ams-dz-001": OUR_AMS}
    assert (fleet.limits(Limits(0.3, 10)), fleet.identity_checks()) == ({}, {})
    assert fleet.read({}) == []


def test_a_host_that_may_be_a_contributors_is_unmatched_and_not_left_out(tmp_path: Path) -> None:
    twin = make_device(3, code="ams-dz-001", public_ip="203.0.113.3", contributor_pk=THEIRS.pubkey)
    fleet = fleet_of(tmp_path, ams_dz_001={}, fra_dz_001={})
    fleet.choose_contributors(["ours"], [OURS, THEIRS])
    assert fleet.match({**OWNED, twin.pubkey: twin}) == {"ams-dz-001": None}


def test_a_contributor_without_a_host_is_a_usage_error_and_a_wrong_inventory_is_told_first(
    tmp_path: Path,
) -> None:
    fleet = fleet_of(tmp_path, ams_dz_001={}, stranger={})
    fleet.choose_contributors([str(THEIRS.pubkey)], [OURS, THEIRS])
    with pytest.raises(UsageError, match=f"^--contributor {THEIRS.pubkey}: no host matches$"):
        fleet.match(OWNED)
    with pytest.raises(InventoryError, match="no host of 2 is one of the program's 0 devices"):
        fleet.match({})


def test_of_many_contributors_an_unknown_name_is_told_the_nearest(tmp_path: Path) -> None:
    many = [Contributor(key(100 + number), f"contributor-{number}") for number in range(30)]
    with pytest.raises(UsageError) as caught:
        fleet_of(tmp_path, ams_dz_001={}).choose_contributors(["our"], [*many, OURS])
    told = "--contributor: unknown name 'our': expected the code or the key of a contributor (nearest: ours, "
    assert str(caught.value).startswith(told)
    assert str(caught.value).count("contributor-") == 11


def test_hosts_may_have_rules_of_their_own(tmp_path: Path) -> None:
    groups = {"small": {"data": {"dz_max_down_min": 2, "dz_identity_check": False}}}
    hosts = {"r1": {"groups": ["small"]}, "r2": {"data": {"dz_max_down": 0.5}}, "r3": {}}
    fleet = Fleet(load_inventory(put(tmp_path, hosts, groups=groups)))
    assert fleet.limits(Limits(0.3, 10)) == {"r1": Limits(0.3, 2), "r2": Limits(0.5, 10)}
    assert fleet.identity_checks() == {"r1": False}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"dz_max_down": 30}, "host 'r1': dz_max_down: 30, expected a number from 0 to 1"),
        ({"dz_max_down": "0.3"}, "host 'r1': dz_max_down: '0.3', expected a number from 0 to 1"),
        ({"dz_max_down_min": True}, "host 'r1': dz_max_down_min: True, expected a whole number"),
        ({"dz_identity_check": "no"}, "host 'r1': dz_identity_check: 'no', expected true or false"),
    ],
)
def test_rules_of_a_host_that_make_no_sense_are_refused(
    tmp_path: Path, data: dict[str, Any], words: str
) -> None:
    fleet = fleet_of(tmp_path, r1={"data": data})
    with pytest.raises(InventoryError) as caught:
        (fleet.limits(Limits(0.3, 10)), fleet.identity_checks())
    assert str(caught.value) == words


# Three ports behind one address.

PORTS = ("nyc-dz-001", "chi-dz-001", "lax-dz-001")


@pytest.fixture(scope="module")
def three_ports() -> Iterator[EosFleet]:
    address = f"{block()}.1"
    with EosFleet.start([eos(code, address, number) for number, code in enumerate(PORTS, 1)]) as it:
        yield it


def one_group(directory: Path, fleet: EosFleet, place: str) -> Path:
    """Three hosts, told apart by nothing but the port, whose extras stand in one `place`."""
    options = {"napalm": {"extras": {"timeout": 3, "optional_args": {"transport": "https"}}}}
    hosts = {
        code: {"hostname": address, "port": port, "groups": ["tidewater"]}
        for code, (address, port) in fleet.addresses.items()
    }
    groups = {"tidewater": {"connection_options": options} if place == "group" else {}}
    defaults: dict[str, Any] = {"platform": "eos", "username": USERNAME, "password": PASSWORD}
    if place == "defaults":
        defaults["connection_options"] = options
    return put(directory, hosts, groups=groups, defaults=defaults)


def own_router_ids() -> dict[str, str]:
    return {code: f"203.0.113.{number}" for number, code in enumerate(PORTS, 1)}


def router_ids(directory: Path, workers: int) -> dict[str, str]:
    """Ask as the fleet does, and return, by host, the router-id of the device that answered."""
    devices = [make_device(number, code=code) for number, code in enumerate(PORTS, 1)]
    with Fleet(load_inventory(directory, FleetRequest(workers=workers))) as fleet:
        readings = fleet.read(fleet.match({device.pubkey: device for device in devices}))
    assert [reading.error for reading in readings] == [None] * 3
    return {one.host: next(vrf.router_id for vrf in one.vrfs if vrf.name == "vrf1") for one in readings}


@pytest.mark.parametrize("workers", [1, 20])
@pytest.mark.parametrize("place", ["group", "defaults"])
def test_three_hosts_of_one_group_are_each_asked_on_their_own_port(
    tmp_path: Path, three_ports: EosFleet, place: str, workers: int
) -> None:
    assert router_ids(one_group(tmp_path, three_ports, place), workers) == own_router_ids()


@pytest.mark.parametrize("place", ["group", "defaults"])
def test_nornir_napalm_alone_asks_them_all_on_the_port_of_the_first(
    tmp_path: Path, three_ports: EosFleet, place: str
) -> None:
    # If this fails, nornir-napalm has been cured and the cure here may go.
    directory = one_group(tmp_path, three_ports, place)
    files = {f"{name}_file": str(directory / f"{name}s.yaml") for name in ("host", "group")}
    options = {**files, "defaults_file": str(directory / "defaults.yaml")}
    nornir = InitNornir(
        inventory={"plugin": "SimpleInventory", "options": options},
        runner={"plugin": "serial"},
        logging={"enabled": False},
    )
    result = nornir.run(task=napalm_get, getters=["get_bgp_neighbors"])
    answered = {name: one[0].result["get_bgp_neighbors"]["vrf1"]["router_id"] for name, one in result.items()}
    first = next(iter(nornir.inventory.hosts))
    assert answered == dict.fromkeys(PORTS, own_router_ids()[first])


# What devices answer, rightly and wrongly.

FAULTS: dict[str, tuple[EosFault | DeviceFault | None, dict[str, Any], str]] = {
    "no-answer": (DeviceFault.NO_ANSWER, {}, "no answer in 1 s"),
    "slow": (EosFault(DeviceFault.SLOW, delay_s=30), {}, "no answer in 1 s"),
    "refused": (
        DeviceFault.REFUSE,
        {},
        "connection refused: check that `management api http-commands` is enabled",
    ),
    "bad-password": (
        DeviceFault.BAD_PASSWORD,
        {},
        "user 'reader' was not accepted (HTTP 401): wrong name or password",
    ),
    "refused-command": (
        DeviceFault.REFUSED_COMMAND,
        {},
        "the device refused a command: CLI command 2 of 3 'show ip bgp summary vrf all' failed: invalid",
    ),
    "http-500": (DeviceFault.HTTP_500, {}, "not a valid eAPI response (HTTP 500)"),
    "garbage": (DeviceFault.GARBAGE, {}, "not a valid eAPI response (HTTP 200)"),
    "hangup": (DeviceFault.HANGUP, {}, "the device closed the connection without an answer"),
    "truncated": (DeviceFault.TRUNCATED, {}, "the connection was closed in the middle of the answer"),
    "certificate": (
        None,
        {"extras": {"timeout": 1, "optional_args": {"enforce_verification": True}}},
        "the certificate was refused: ",
    ),
    "http-to-https": (
        None,
        {"extras": {"timeout": 1, "optional_args": {"transport": "http"}}},
        # A server that closes with a request unread may reset the connection.
        "the device closed the connection without an answer / the connection was lost",
    ),
    "bad-extras": (None, {"extras": {"bogus": 1}}, "NAPALM does not accept the inventory's extras: "),
    "bad-transport": (
        None,
        {"extras": {"optional_args": {"transport": "telnet"}}},
        "Unknown transport: telnet",
    ),
    "old-eos": (None, {}, "EOS 4.20.1F is older than 4.23.0, the oldest that NAPALM reads"),
    "wrong-password": (None, {"password": "wrong-hunter2"}, "user 'reader' was not accepted (HTTP 401)"),
}
ANSWERS: dict[str, EosFault | DeviceFault | None] = {
    "healthy": None,
    "odd-neighbor": DeviceFault.ODD_NEIGHBOR,
    "late": EosFault(DeviceFault.SLOW, delay_s=0.1),
    "empty": DeviceFault.EMPTY,
    "wrong-identity": DeviceFault.WRONG_IDENTITY,
    "missing-vrf": DeviceFault.MISSING_VRF,
}


class Answers:
    """One reading of a device with every fault there is, and what else was noticed."""

    def __init__(self, directory: Path) -> None:
        net = block()
        faults = {**{name: fault for name, (fault, _, _) in FAULTS.items()}, **ANSWERS, "unmatched": None}
        devices = [
            eos(
                name,
                f"{net}.{number}",
                number,
                fault=EosFault(fault) if isinstance(fault, DeviceFault) else fault,
                eos_version="4.20.1F" if name == "old-eos" else "4.31.2F",
            )
            for number, (name, fault) in enumerate(faults.items(), 1)
        ]
        self.progress: list[str] = []
        self.devices = {
            device.code: make_device(number, code=device.code, public_ip=device.router_id)
            for number, device in enumerate(devices, 1)
            if device.code != "unmatched"
        }
        with EosFleet.start(devices) as fleet:
            hosts = {
                name: {
                    "hostname": address,
                    "port": port,
                    "connection_options": {
                        "napalm": {"extras": {"timeout": 1}, **(FAULTS[name][1] if name in FAULTS else {})}
                    },
                }
                for name, (address, port) in fleet.addresses.items()
            }
            self.where = {name: f"{address}:{port}: " for name, (address, port) in fleet.addresses.items()}
            nornir = load_inventory(put(directory, hosts))
            with Fleet(nornir) as under_test:
                matched = under_test.match({one.pubkey: one for one in self.devices.values()})
                readings = under_test.read(matched, self.progress.append)
                self.progress_again: list[str] = []
                due = {name: device for name, device in matched.items() if device is not None}
                self.again = under_test.recheck(due, self.progress_again.append)
                self.open = [name for name, host in nornir.inventory.hosts.items() if host.connections]
            self.left_open = [name for name, host in nornir.inventory.hosts.items() if host.connections]
            self.requests = {name: fleet.requests(name) for name in hosts}
        self.readings = {reading.host: reading for reading in readings}
        self.order = [reading.host for reading in readings]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    return Answers(tmp_path_factory.mktemp("answers"))


@pytest.mark.parametrize("name", FAULTS)
def test_a_device_that_fails_is_told_in_one_line_of_plain_words(answers: Answers, name: str) -> None:
    reading = answers.readings[name]
    assert reading.result is DeviceResult.FAILED
    assert reading.device is answers.devices[name]
    assert reading.error is not None
    assert reading.error.startswith(answers.where[name])
    assert any(words in reading.error for words in FAULTS[name][2].split(" / "))
    assert "\n" not in reading.error
    assert "Traceback" not in reading.error
    assert "hunter2" not in repr(reading)
    assert (reading.vrfs, reading.neighbors) == ((), ())


def seen(answers: Answers, name: str, tunnel: str = "169.254.0.0/31", **user: Any) -> Observed:
    device = answers.devices[name]
    users = [make_user(1, tunnel, device_pk=device.pubkey, **user)]
    (observation,) = resolve(assess_credibility(answers.readings[name], users), users, {})
    return observation.observed


@pytest.mark.parametrize("name", ["healthy", "late"])
def test_a_device_that_answers_is_read_whole(answers: Answers, name: str) -> None:
    reading = answers.readings[name]
    assert (reading.result, reading.error) == (DeviceResult.OK, None)
    assert {vrf.name: vrf.router_id for vrf in reading.vrfs} == {
        "default": "10.0.0.1",
        "vrf1": answers.devices[name].public_ip,
    }
    assert {(one.address, one.vrf, one.is_up, one.is_enabled) for one in reading.neighbors} == {
        ("169.254.0.1", "vrf1", True, True),
        ("169.254.0.3", "vrf1", True, True),
        ("169.254.0.5", "default", False, True),
        ("169.254.0.7", "vrf1", False, True),
        ("169.254.0.9", "vrf1", False, False),
        ("10.0.0.2", "default", True, True),
    }
    assert seen(answers, name) is Observed.ESTABLISHED
    assert seen(answers, name, "169.254.0.6/31") is Observed.NOT_ESTABLISHED
    assert seen(answers, name, "169.254.0.8/31") is Observed.NOT_ESTABLISHED
    assert seen(answers, name, "169.254.0.10/31") is Observed.ABSENT


@pytest.mark.parametrize("name", ["empty", "wrong-identity", "missing-vrf"])
def test_an_answer_that_proves_nothing_says_nothing_about_a_user(answers: Answers, name: str) -> None:
    assert answers.readings[name].result is DeviceResult.OK
    assert seen(answers, name) is Observed.UNKNOWN


def test_a_host_that_is_no_device_is_reported_and_not_asked(answers: Answers) -> None:
    reading = answers.readings["unmatched"]
    assert (reading.result, reading.device) == (DeviceResult.UNMATCHED, None)
    assert "dz_device" in (reading.error or "")
    assert answers.progress.count("unmatched") == 0


def test_readings_come_in_the_order_of_the_inventory_and_each_asked_host_is_told_once(
    answers: Answers,
) -> None:
    assert answers.order == sorted([*FAULTS, *ANSWERS, "unmatched"])
    assert sorted(answers.progress) == sorted([*FAULTS, *ANSWERS])


def test_a_device_is_asked_for_its_version_once_and_in_one_request_a_look(answers: Answers) -> None:
    assert answers.requests["healthy"] == 3
    assert answers.requests["late"] == 3


def test_leaving_the_fleet_closes_what_was_open(answers: Answers) -> None:
    assert "healthy" in answers.open
    assert answers.left_open == []


@pytest.mark.parametrize("name", ["healthy", "late"])
def test_a_second_look_brings_rtts_where_an_established_session_has_a_sample(
    answers: Answers, name: str
) -> None:
    number = int(answers.devices[name].public_ip.rpartition(".")[2])
    assert {one.address: one.rtt_ns for one in answers.again[name].neighbors if one.rtt_ns} == {
        "169.254.0.1": (4_287 + number) * 1_000,
        "10.0.0.2": 12_000_000,
    }


def test_a_second_look_reads_every_device_asked_for_and_tells_each_host_once(answers: Answers) -> None:
    assert set(answers.again) == {*FAULTS, *ANSWERS}
    assert answers.again["healthy"].result is DeviceResult.OK
    assert {(one.address, one.is_up) for one in answers.again["healthy"].neighbors} == {
        (one.address, one.is_up) for one in answers.readings["healthy"].neighbors
    }
    for name in ("no-answer", "hangup"):
        assert (answers.again[name].result, answers.again[name].error) == (
            DeviceResult.FAILED,
            answers.readings[name].error,
        )
    assert sorted(answers.progress_again) == sorted([*FAULTS, *ANSWERS])


# One device again and again.


@pytest.fixture
def one(tmp_path: Path) -> Iterator[tuple[EosFleet, Callable[[], DeviceReading], Fleet]]:
    address = f"{block()}.1"
    with EosFleet.start([eos("ams-dz-001", address, 1)]) as it:
        _, port = it.addresses["ams-dz-001"]
        extras = {"timeout": 1, "optional_args": {"enable_password": "s3cret", "force_no_enable": True}}
        host = {"hostname": address, "port": port, "connection_options": {"napalm": {"extras": extras}}}
        with Fleet(load_inventory(put(tmp_path, {"ams-dz-001": host}))) as fleet:
            matched = fleet.match({AMS.pubkey: AMS})
            yield it, lambda: fleet.read(matched)[0], fleet


def test_a_device_that_failed_is_asked_again_the_next_time(
    one: tuple[EosFleet, Callable[[], DeviceReading], Fleet],
) -> None:
    devices, read, _ = one
    results = []
    for fault in (DeviceFault.REFUSE, None, DeviceFault.HTTP_500, None, DeviceFault.REFUSED_COMMAND, None):
        devices.set_fault("ams-dz-001", fault)
        results.append(read().result is DeviceResult.OK)
    assert results == [False, True] * 3


def test_an_attempt_that_failed_leaves_the_next_one_all_its_options(
    one: tuple[EosFleet, Callable[[], DeviceReading], Fleet],
) -> None:
    devices, read, fleet = one
    devices.set_fault("ams-dz-001", DeviceFault.HANGUP)
    assert read().result is DeviceResult.FAILED
    extras = fleet.hosts["ams-dz-001"].get_connection_parameters(CONNECTION).extras
    assert extras == {
        "timeout": 1,
        "optional_args": {
            "enable_password": "s3cret",
            "force_no_enable": True,
            "context": ANY,
            EXPECTED: ANY,
        },
    }


def test_the_next_reading_shows_what_has_changed(
    one: tuple[EosFleet, Callable[[], DeviceReading], Fleet],
) -> None:
    devices, read, fleet = one
    assert {peer.is_up for peer in read().neighbors if peer.address == "169.254.0.1"} == {True}
    devices.set_state("ams-dz-001", "169.254.0.1", "Idle")
    assert {peer.is_up for peer in read().neighbors if peer.address == "169.254.0.1"} == {False}
    assert {
        (one.is_up, one.rtt_ns)
        for one in fleet.recheck({"ams-dz-001": AMS})["ams-dz-001"].neighbors
        if one.address == "169.254.0.1"
    } == {(False, 0)}


def test_nobody_to_ask_is_no_error(one: tuple[EosFleet, Callable[[], DeviceReading], Fleet]) -> None:
    devices, _, fleet = one
    assert fleet.read({"ams-dz-001": None})[0].result is DeviceResult.UNMATCHED
    assert fleet.recheck({}) == {}
    assert devices.requests("ams-dz-001") == 0


def test_a_run_that_was_given_up_begins_no_host_more_and_the_next_one_waits_for_it(tmp_path: Path) -> None:
    net = block()
    devices = [eos(f"r{number}", f"{net}.{number}", number) for number in (1, 2, 3)]
    with EosFleet.start(devices) as made:
        login = {"platform": "eos", "username": USERNAME, "password": PASSWORD}
        hosts = {
            code: {"hostname": address, "port": port, **login}
            for code, (address, port) in made.addresses.items()
        }
        for code in made.addresses:
            made.set_fault(code, EosFault(DeviceFault.SLOW, delay_s=1.0))
        nornir = load_inventory(put(tmp_path, hosts), FleetRequest(workers=1))
        matched = {code: make_device(number) for number, code in enumerate(made.addresses, 1)}

        def never() -> None:
            raise RpcTransportError("the ledger does not answer")

        with Fleet(nornir) as fleet:
            with pytest.raises(RpcTransportError):
                fleet.read(matched, check=never)
            assert [made.requests(code) for code in made.addresses] == [1, 0, 0]
            for code in made.addresses:
                made.set_fault(code, None)
            readings = fleet.read(matched)
        assert [reading.result for reading in readings] == [DeviceResult.OK] * 3
        # The first one's two, of the run that was given up, and two of each.
        assert [made.requests(code) for code in made.addresses][1:] == [2, 2]


# Hosts of other platforms.


def test_a_host_of_another_platform_is_reported_and_not_asked(tmp_path: Path) -> None:
    address = f"{block()}.1"
    with EosFleet.start([eos("ams-dz-001", address, 1)]) as it:
        _, port = it.addresses["ams-dz-001"]
        hosts = {
            "ams-dz-001": {"hostname": address, "port": port},
            "spine-1": {"hostname": "192.0.2.1", "platform": "junos"},
        }
        with Fleet(load_inventory(put(tmp_path, hosts))) as fleet:
            read = fleet.read({"ams-dz-001": make_device(1, code="ams-dz-001")})
    assert [(one.host, one.result) for one in read] == [
        ("ams-dz-001", DeviceResult.OK),
        ("spine-1", DeviceResult.UNSUPPORTED),
    ]
    assert read[1].error == "platform 'junos' is not supported, only 'eos' is"
    told = replace(
        mixed(dry_run=True), devices=tuple(read), decisions=(), submissions={}, skipped_accounts=()
    )
    counted = totals(told)
    assert (counted.devices, counted.devices_failed, counted.devices_unsupported) == (1, 0, 1)
    assert exit_reasons(told) == []


def test_a_steady_fleet_opens_one_connection_a_device_and_none_in_later_passes(tmp_path: Path) -> None:
    net = block()
    codes = [f"r-{number}" for number in range(1, 6)]
    with EosFleet.start([eos(code, f"{net}.{number}", number) for number, code in enumerate(codes, 1)]) as it:
        hosts = {code: {"hostname": address, "port": port} for code, (address, port) in it.addresses.items()}
        devices = {code: make_device(number, code=code) for number, code in enumerate(codes, 1)}
        with Fleet(load_inventory(put(tmp_path, hosts))) as fleet:
            for _ in range(3):
                assert {one.result for one in fleet.read(devices)} == {DeviceResult.OK}
        assert {code: it.connections(code) for code in codes} == dict.fromkeys(codes, 1)


def test_one_device_that_drips_costs_itself_and_the_others_are_read(tmp_path: Path) -> None:
    """A byte of its head every now and then: a socket's timeout alone would wait for it without end."""
    stopped = threading.Event()

    def drip(listening: socket.socket) -> None:
        client, _ = listening.accept()
        with suppress(OSError):
            client.sendall(b"HTTP/1.1 200 OK\r\nx: ")
            while not stopped.wait(0.05):
                client.sendall(b"x")

    net = block()
    with (
        EosFleet.start([eos("ams-dz-001", f"{net}.1", 1)]) as it,
        socket.create_server((f"{net}.2", 0)) as listening,
    ):
        threading.Thread(target=drip, args=(listening,), daemon=True).start()
        _, port = it.addresses["ams-dz-001"]
        plain = {"napalm": {"extras": {"timeout": 20, "optional_args": {"transport": "http"}}}}
        hosts = {
            "ams-dz-001": {"hostname": f"{net}.1", "port": port},
            "fra-dz-001": {
                "hostname": f"{net}.2",
                "port": listening.getsockname()[1],
                "connection_options": plain,
            },
        }
        devices = {name: make_device(number, code=name) for number, name in enumerate(hosts, 1)}
        request = FleetRequest(device_timeout_s=2)
        with Fleet(load_inventory(put(tmp_path, hosts), request)) as fleet:
            good, bad = fleet.read(devices)
        stopped.set()
    assert good.result is DeviceResult.OK
    assert (bad.result, (bad.error or "").rpartition(": ")[2]) == (
        DeviceResult.FAILED,
        "no complete answer in 2 s",
    )


# Devices that are slow.


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[tuple[EosFleet, dict[str, Device], Callable[[int], Fleet]]]:
    net = block()
    devices = [eos(f"r{number}", f"{net}.{number}", number) for number in (1, 2, 3)]
    with EosFleet.start(devices) as made:
        login = {"platform": "eos", "username": USERNAME, "password": PASSWORD}
        hosts = {
            code: {"hostname": address, "port": port, **login}
            for code, (address, port) in made.addresses.items()
        }
        matched = {code: make_device(number) for number, code in enumerate(made.addresses, 1)}
        path = put(tmp_path, hosts)
        yield made, matched, lambda workers: Fleet(load_inventory(path, FleetRequest(workers=workers)))


def test_a_device_that_is_slow_is_late_and_delays_no_other_in_this_round_or_the_next(
    slow: tuple[EosFleet, dict[str, Device], Callable[[int], Fleet]],
) -> None:
    made, matched, fleet_of_workers = slow
    made.set_fault("r2", EosFault(DeviceFault.SLOW, delay_s=4.0))
    with fleet_of_workers(3) as fleet:
        for read in (
            lambda: fleet.read(matched, within_s=2.0),
            lambda: fleet.recheck(matched, within_s=1.0),
        ):
            found = read()
            readings = list(found.values()) if isinstance(found, dict) else found
            assert [one.result is DeviceResult.OK for one in readings] == [True, False, True]
            assert [one.is_late for one in readings] == [False, True, False]
            assert (readings[1].error or "").startswith("no answer within")


def test_hosts_that_a_round_has_no_time_for_are_asked_in_the_next_one(
    slow: tuple[EosFleet, dict[str, Device], Callable[[int], Fleet]],
) -> None:
    made, matched, fleet_of_workers = slow
    with fleet_of_workers(1) as fleet:
        assert {one.result for one in fleet.read(matched)} == {DeviceResult.OK}
        made.set_fault("r1", EosFault(DeviceFault.SLOW, delay_s=3.0))
        first = fleet.recheck(matched, within_s=1.0)
        assert [(host, one.is_late) for host, one in first.items()] == [("r1", True)]
        left = {host: device for host, device in matched.items() if host not in first}
        assert [one.result for one in fleet.recheck(left).values()] == [DeviceResult.OK] * 2


def test_a_first_look_goes_on_until_every_host_was_asked(
    slow: tuple[EosFleet, dict[str, Device], Callable[[int], Fleet]],
) -> None:
    made, matched, fleet_of_workers = slow
    made.set_fault("r1", EosFault(DeviceFault.SLOW, delay_s=3.0))
    with fleet_of_workers(1) as fleet:
        readings = fleet.read(matched, within_s=1.0)
    assert [one.is_late for one in readings] == [True, False, False]
    assert [one.host for one in readings] == ["r1", "r2", "r3"]
