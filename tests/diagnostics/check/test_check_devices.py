"""Every way in which a device can fail, as a line that says which and what to do."""

import ssl
from collections.abc import Callable
from typing import Any

import pytest
from check_lab import TIMEOUT_S, Checked
from core_builders import make_device
from e2e_lab import E2eLab, edited
from nornir.core.inventory import ConnectionOptions

from dzbgp.diagnostics.check.devices import check_addresses
from dzbgp.eos.tls import is_verified
from dzbgp.lab.eos.fleet import DeviceFault, EosDevice, EosFault

AMS = "ams-dz-001"
Check = Callable[..., Checked]


def test_a_fleet_that_is_well_has_nothing_that_fails(checked: Check) -> None:
    done = checked()
    assert done.code == 0, done.result.output
    assert [item for item in done.warned if item["section"] == "devices"] == []
    assert [item["check"] for item in done.found(subject=AMS)] == [
        "reachable",
        "tls",
        "credentials",
        "eos",
        "commands",
        "bgp",
        "identity",
    ]


@pytest.mark.parametrize(
    ("fault", "check", "detail", "hint"),
    [
        (DeviceFault.REFUSE, "reachable", "connection refused", "management api http-commands"),
        (DeviceFault.NO_ANSWER, "api", f"no answer in {TIMEOUT_S} s", "timeout"),
        (
            EosFault(DeviceFault.SLOW, delay_s=1.5 * TIMEOUT_S),
            "api",
            f"no answer in {TIMEOUT_S} s",
            "timeout",
        ),
        (DeviceFault.HTTP_500, "api", "not a valid eAPI response", "show management api"),
        (DeviceFault.GARBAGE, "api", "not a valid eAPI response", "show management api"),
        (DeviceFault.HANGUP, "api", "closed the connection", "show management api"),
        (DeviceFault.TRUNCATED, "api", "closed in the middle", "show management api"),
        (DeviceFault.BAD_PASSWORD, "credentials", "user 'dzbgp' was not accepted", "DZBGP_EOS_PASSWORD"),
        (DeviceFault.REFUSED_COMMAND, "commands", "refused a command", "role dzbgp"),
        (DeviceFault.EMPTY, "bgp", "no BGP at all", "show ip bgp summary"),
        (DeviceFault.WRONG_IDENTITY, "identity", "it is another device", "dz_device"),
    ],
)
def test_a_device_that_fails_is_told_with_the_check_it_failed_and_a_hint(
    lab: E2eLab, checked: Check, fault: DeviceFault | EosFault, check: str, detail: str, hint: str
) -> None:
    lab.fleet.set_fault(AMS, fault)
    done = checked()
    item = done.only_failure()
    assert (item["section"], item["subject"], item["check"]) == ("devices", AMS, check)
    assert detail in item["detail"]
    assert hint in item["hint"]
    assert done.code == 3


def test_an_odd_neighbor_costs_no_device(lab: E2eLab, checked: Check) -> None:
    lab.fleet.set_fault(AMS, DeviceFault.ODD_NEIGHBOR)
    assert checked().code == 0


def test_every_fault_of_a_device_is_tested_here() -> None:
    tested = {
        *("refuse", "no_answer", "slow", "http_500", "garbage", "hangup", "truncated", "bad_password"),
        *("refused_command", "empty", "odd_neighbor", "wrong_identity", "missing_vrf"),
    }
    assert {kind.value for kind in DeviceFault} == tested


def test_a_device_whose_password_is_refused_was_reachable_and_nothing_later_is_claimed(
    lab: E2eLab, checked: Check
) -> None:
    lab.fleet.set_fault(AMS, DeviceFault.BAD_PASSWORD)
    checks = {item["check"]: item["verdict"] for item in checked().found(subject=AMS)}
    assert checks == {"reachable": "ok", "tls": "ok", "credentials": "fail"}


def test_a_read_only_user_is_explained_where_a_command_is_refused(lab: E2eLab, checked: Check) -> None:
    lab.fleet.set_fault(AMS, DeviceFault.REFUSED_COMMAND)
    hint = checked().only_failure()["hint"]
    for part in (
        "read-only user is enough",
        "permit mode exec command show version",
        "privilege 1",
        "secret",
    ):
        assert part in hint


def test_a_vrf_that_users_are_in_and_that_is_not_shown_is_a_warning(lab: E2eLab, checked: Check) -> None:
    lab.fleet.set_fault("fra-dz-001", EosFault(DeviceFault.MISSING_VRF, vrf="vrf2"))
    done = checked()
    (item,) = done.found(check="vrf")
    assert (item["verdict"], item["subject"]) == ("warning", "frankfurt-1")
    assert item["detail"].startswith("vrf2 is not shown: nothing is written for ")
    assert done.code == 0


def test_a_device_that_nearly_takes_its_timeout_is_slow(lab: E2eLab, checked: Check) -> None:
    lab.fleet.set_fault(AMS, EosFault(DeviceFault.SLOW, delay_s=0.6 * TIMEOUT_S))
    done = checked("--limit", AMS)
    (item,) = done.found(check="slow")
    assert (item["verdict"], done.code) == ("warning", 0)
    assert f"{TIMEOUT_S} s is the limit" in item["detail"]


def test_an_eos_too_old_for_napalm_is_told_with_its_version(lab: E2eLab, checked: Check) -> None:
    def put(version: str) -> Callable[[EosDevice], None]:
        return lambda device: setattr(device, "eos_version", version)

    lab.fleet.change(AMS, put("4.20.1F"))
    try:
        item = checked("--limit", AMS).only_failure()
    finally:
        lab.fleet.change(AMS, put("4.31.2F"))
    assert item["check"] == "eos"
    assert "4.20.1F is older than 4.23.0" in item["detail"]


def test_a_host_name_that_nobody_knows_is_not_reachable(lab: E2eLab, checked: Check) -> None:
    with edited(lab.inventory / "hosts.yaml") as hosts:
        address, hosts[AMS]["hostname"] = hosts[AMS]["hostname"], "no-such-host.invalid"
    try:
        item = checked("--limit", AMS).only_failure()
    finally:
        with edited(lab.inventory / "hosts.yaml") as hosts:
            hosts[AMS]["hostname"] = address
    assert item["check"] == "reachable"
    assert "the host name is not known" in item["detail"]


@pytest.mark.parametrize(
    ("extras", "check", "detail"),
    [
        ({"enforce_verification": True}, "tls", "the certificate was refused"),
        ({"transport": "http"}, "api", "connection"),  # closed or reset, as the two sides race
        ({"transport": "carrier-pigeon"}, "settings", "Unknown transport"),
    ],
)
def test_what_the_inventory_says_of_the_transport_is_tested_too(
    lab: E2eLab, checked: Check, extras: dict[str, Any], check: str, detail: str
) -> None:
    with edited(lab.inventory / "hosts.yaml") as hosts:
        options = {"napalm": {"extras": {"timeout": TIMEOUT_S, "optional_args": extras}}}
        hosts[AMS]["connection_options"] = options
    try:
        item = checked("--limit", AMS).only_failure()
    finally:
        with edited(lab.inventory / "hosts.yaml") as hosts:
            del hosts[AMS]["connection_options"]
    assert (item["check"], detail in item["detail"]) == (check, True), item


def test_devices_are_asked_side_by_side(lab: E2eLab, checked: Check) -> None:
    for spec in lab.world.devices:
        lab.fleet.set_fault(spec.code, DeviceFault.NO_ANSWER)
    done = checked()
    assert len(done.failed) == len(lab.world.devices)
    # One after another they would take eight times as long.
    assert done.document["duration_s"] < 4 * TIMEOUT_S


def test_with_no_identity_check_another_router_id_is_fine(lab: E2eLab, checked: Check) -> None:
    lab.fleet.set_fault(AMS, DeviceFault.WRONG_IDENTITY)
    assert checked("--no-identity-check").code == 0


def test_a_host_that_is_no_device_fails_and_is_not_asked(lab: E2eLab, checked: Check) -> None:
    with edited(lab.inventory / "hosts.yaml") as hosts:
        hosts[AMS]["data"]["dz_device"] = "no-such-device"
    before = lab.fleet.requests(AMS)
    try:
        item = (done := checked()).only_failure()
    finally:
        with edited(lab.inventory / "hosts.yaml") as hosts:
            del hosts[AMS]["data"]["dz_device"]
    assert (item["section"], item["subject"], item["check"]) == ("inventory", AMS, "device")
    assert "dz_device" in item["hint"]
    assert (done.code, lab.fleet.requests(AMS)) == (3, before)


@pytest.mark.parametrize(
    ("options", "verified"),
    [
        ({}, False),
        ({"transport": "https"}, False),
        ({"enforce_verification": True}, True),
        ({"transport": "https", "context": ssl.create_default_context()}, True),
        ({"context": ssl._create_unverified_context()}, False),
        ({"transport": "http", "enforce_verification": True}, False),
        ({"eos_transport": "http", "enforce_verification": True}, False),
        ({"transport": "https_certs"}, False),
        ({"transport": "https_certs", "ca_file": "/ca.pem"}, True),
        ({"transport": "ssh"}, False),
        ({"transport": "ssh", "ssh_strict": True}, True),
    ],
)
def test_only_a_device_that_must_prove_itself_counts_as_verified(
    options: dict[str, Any], verified: bool
) -> None:
    assert is_verified(ConnectionOptions(extras={"optional_args": options})) is verified


def test_devices_at_their_public_address_are_told_once_for_the_whole_fleet() -> None:
    device = make_device(1)
    connections = {
        "a": ConnectionOptions(hostname=device.public_ip),
        "b": ConnectionOptions(hostname="b.mgmt"),
    }
    (item,) = check_addresses({"a": device, "b": device}, connections)
    assert "1 of 2 are asked at their public_ip" in item.detail
    assert "vrf MGMT" in item.hint


def test_unverified_devices_are_told_once_for_the_whole_fleet(checked: Check) -> None:
    (item,) = checked("--state", "none").found(subject="fleet")
    assert item["detail"].startswith("certificates are not verified (https, 8 of 8)")
    assert "--tls-verify" in item["hint"]
