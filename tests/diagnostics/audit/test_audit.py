import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from core_builders import NO_KEY, key, make_device, make_neighbor, make_reading, make_user
from rich.console import Console
from solders.pubkey import Pubkey

from dzbgp.diagnostics.audit.devices import audit
from dzbgp.diagnostics.audit.findings import Audit, AuditInput, AuditRules, Finding, FindingKind, Severity
from dzbgp.diagnostics.audit.render import render_json, render_table
from dzbgp.ledger.program.snapshot import Names, Snapshot
from dzbgp.models.ledger import BgpStatus, Device, DeviceStatus, ProgramData, User, UserStatus
from dzbgp.models.session import DeviceReading, DeviceResult

NOW = 10_000_000
HOUR = 9_000
"""An hour in slots of 400 ms."""
PUBLISHER = key(4)


def healthy(number: int = 1, **changes: Any) -> User:
    """A user that nothing is odd about."""
    values: dict[str, Any] = {
        "tunnel": f"169.254.0.{2 * number}/31",
        "tunnel_id": 500 + number,
        "client_ip": f"81.2.3.{number}",
        "dz_ip": f"81.2.3.{number}",
        "bgp_status": BgpStatus.UP,
        "last_bgp_up_at": NOW - HOUR,
        "last_bgp_reported_at": NOW - HOUR,
    }
    return make_user(number, **{**values, **changes})


def look(
    *users: User,
    devices: tuple[Device, ...] = (make_device(),),
    rules: AuditRules | None = None,
    readings: tuple[DeviceReading, ...] | None = None,
    **more: Any,
) -> Audit:
    data = ProgramData(
        slot=NOW,
        fetched_at=datetime(2026, 3, 1, tzinfo=UTC),
        users={user.pubkey: user for user in users},
        devices={device.pubkey: device for device in devices},
        tenants={},
    )
    snapshot = Snapshot("testnet", "x", data, Names())
    return audit(AuditInput(snapshot, rules or AuditRules(), readings=readings, **more))


def kinds(found: Audit) -> list[tuple[FindingKind, str]]:
    return [(item.kind, item.subject) for item in found.findings]


def only(found: Audit) -> Finding:
    (item,) = found.findings
    return item


def test_nothing_is_odd_about_healthy_users() -> None:
    assert look(healthy(1), healthy(2)).findings == ()


def test_a_user_that_was_never_reported_was_never_up() -> None:
    user = healthy(bgp_status=BgpStatus.UNKNOWN, last_bgp_up_at=0, last_bgp_reported_at=0)
    found = only(look(user))
    assert (found.kind, found.subject, found.device) == (FindingKind.NEVER_UP, str(user.pubkey), "ams-dz-001")
    assert found.detail == "It was never Up, and never reported."
    assert found.severity is Severity.WARNING


def test_a_user_that_was_only_ever_reported_down_was_never_up() -> None:
    user = healthy(bgp_status=BgpStatus.DOWN, last_bgp_up_at=0)
    assert only(look(user)).detail == "It was never Up; Down was last reported 60 min ago."


@pytest.mark.parametrize(("hours", "odd"), [(24, False), (25, True)])
def test_a_user_is_down_for_long_when_it_was_last_up_longer_ago_than_down_for(hours: int, odd: bool) -> None:
    user = healthy(bgp_status=BgpStatus.DOWN, last_bgp_up_at=NOW - hours * HOUR)
    found = look(user)
    assert kinds(found) == ([(FindingKind.DOWN_LONG, str(user.pubkey))] if odd else [])
    if odd:
        assert only(found).detail == "It is Down, and was last reported Up 25.0 h ago."


def test_how_long_is_too_long_can_be_set() -> None:
    user = healthy(bgp_status=BgpStatus.DOWN, last_bgp_up_at=NOW - 2 * HOUR)
    assert kinds(look(user, rules=AuditRules(down_for_s=3600))) == [(FindingKind.DOWN_LONG, str(user.pubkey))]


@pytest.mark.parametrize(("hours", "odd"), [(12, False), (13, True)])
def test_a_report_is_stale_when_it_is_older_than_stale_after(hours: int, odd: bool) -> None:
    user = healthy(last_bgp_reported_at=NOW - hours * HOUR)
    found = look(user)
    assert [item.detail for item in found.findings] == (["It was last reported 13.0 h ago, as up."] * odd)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"tunnel_id": 0}, "its tunnel_id is 0"),
        ({"client_ip": "0.0.0.0"}, "its client_ip is 0.0.0.0"),
        ({"dz_ip": "0.0.0.0"}, "its dz_ip is 0.0.0.0"),
        ({"dz_ip": "10.1.2.3"}, "its dz_ip 10.1.2.3 is martian"),
        ({"dz_ip": "100.64.0.1"}, "its dz_ip 100.64.0.1 is martian"),
        ({"dz_ip": "192.0.2.1"}, "its dz_ip 192.0.2.1 is martian"),
        ({"dz_ip": "240.0.0.1"}, "its dz_ip 240.0.0.1 is martian"),
        ({"tunnel": "169.254.0.0/30"}, "its tunnel_net 169.254.0.0/30 is not a /31"),
        ({"tunnel": "0.0.0.0/0"}, "its tunnel_net 0.0.0.0/0 is not a /31"),
        (
            {"tunnel_id": 0, "client_ip": "0.0.0.0", "dz_ip": "0.0.0.0"},
            "its tunnel_id is 0, its client_ip is 0.0.0.0, its dz_ip is 0.0.0.0",
        ),
    ],
)
def test_a_user_that_the_controller_does_not_render_is_an_error(changes: dict[str, Any], why: str) -> None:
    found = only(look(healthy(**changes)))
    assert (found.kind, found.severity) == (FindingKind.NOT_RENDERED, Severity.ERROR)
    assert found.detail == f"The controller renders no neighbor for it: {why}."


def test_a_tunnel_id_beyond_the_slots_is_odd_unless_the_user_is_up() -> None:
    down = {"bgp_status": BgpStatus.DOWN, "last_bgp_reported_at": NOW, "last_bgp_up_at": NOW}
    found = only(look(healthy(tunnel_id=628, **down)))
    assert found.kind is FindingKind.NOT_RENDERED
    assert "its tunnel_id 628 is beyond a device's 128 slots (up to 627 by default)" in found.detail
    assert look(healthy(tunnel_id=627, **down)).findings == ()
    assert look(healthy(tunnel_id=628)).findings == ()


@pytest.mark.parametrize("address", ["198.18.0.1", "8.8.8.8", "172.32.0.1"])
def test_an_address_that_the_controller_accepts_is_not_odd(address: str) -> None:
    assert look(healthy(dz_ip=address)).findings == ()


def test_addresses_for_documentation_are_not_odd_where_networks_are_made_of_them() -> None:
    rules = AuditRules(documentation_is_martian=False)
    assert look(healthy(dz_ip="198.51.100.7"), rules=rules).findings == ()
    assert len(look(healthy(dz_ip="10.0.0.7"), rules=rules).findings) == 1


def test_a_tunnel_id_that_two_users_of_a_device_share_is_odd_about_both() -> None:
    one, other = healthy(1, tunnel_id=500), healthy(2, tunnel_id=500)
    found = look(one, other)
    assert kinds(found) == [(FindingKind.DUPLICATE_TUNNEL_ID, str(user.pubkey)) for user in (one, other)]
    assert found.findings[0].detail.endswith("too: the controller renders only one.")


def test_a_tunnel_id_may_be_used_again_on_another_device() -> None:
    other = make_device(2, public_ip="203.0.113.11")
    users = healthy(1, tunnel_id=500), healthy(2, tunnel_id=500, device_pk=other.pubkey)
    assert look(*users, devices=(make_device(), other)).findings == ()


def test_tunnel_nets_that_overlap_are_odd_across_devices_too() -> None:
    other = make_device(2)
    one = healthy(1, tunnel="169.254.0.2/31")
    two = healthy(2, tunnel="169.254.0.2/31", device_pk=other.pubkey)
    found = look(one, two, devices=(make_device(), other))
    assert [item.kind for item in found.findings] == [FindingKind.TUNNEL_OVERLAP] * 2
    assert found.findings[0].detail == (
        f"Its tunnel net 169.254.0.2/31 overlaps 169.254.0.2/31 of user {two.pubkey}."
    )


def test_users_that_are_not_activated_are_not_odd() -> None:
    odd = {"tunnel_id": 0, "last_bgp_reported_at": 1, "last_bgp_up_at": 0, "device_pk": key(9)}
    assert look(*(healthy(n, status=UserStatus(n), **odd) for n in (0, 2, 3, 6, 8))).findings == ()


def test_a_user_whose_device_is_gone_is_an_error_and_nothing_more_is_said_of_it() -> None:
    user = healthy(device_pk=key(9), tunnel_id=0, last_bgp_reported_at=1)
    found = only(look(user))
    assert (found.kind, found.device) == (FindingKind.DEVICE_GONE, str(key(9)))
    assert found.detail == f"Its device {key(9)} is not on the ledger."


@pytest.mark.parametrize(
    ("publisher", "who"),
    [(NO_KEY, "nobody can report"), (key(1), f"only its owner's key {key(1)} can report")],
)
def test_a_device_whose_publisher_is_zero_or_its_owner_has_none(publisher: Pubkey, who: str) -> None:
    device = make_device(metrics_publisher_pk=publisher)
    found = only(look(healthy(), devices=(device,), held={publisher}))
    assert (found.kind, found.subject) == (FindingKind.NO_PUBLISHER, str(device.pubkey))
    assert found.detail == f"No metrics publisher was ever set for it; {who} its 1 activated user."


def test_a_publisher_whose_key_is_not_here_is_odd_only_when_keys_were_given() -> None:
    assert look(healthy()).findings == ()
    assert look(healthy(), held={PUBLISHER}).findings == ()
    found = only(look(healthy(), held={key(77)}))
    assert (found.kind, found.severity) == (FindingKind.PUBLISHER_NOT_HELD, Severity.WARNING)
    assert str(PUBLISHER) in found.detail


def test_of_the_publishers_whose_keys_are_not_here_only_those_of_the_fleet_are_odd() -> None:
    other = make_device(2)
    found = look(healthy(), devices=(make_device(), other), held=set(), readings=(make_reading(),))
    assert [item.device for item in found.findings] == ["ams-dz-001"]


def test_a_device_that_another_writer_reports_on_is_named() -> None:
    found = only(look(healthy(1), others={make_device().pubkey: 1}))
    assert (found.kind, found.subject) == (FindingKind.OTHER_WRITER, str(make_device().pubkey))
    assert found.severity is Severity.WARNING
    assert found.detail.startswith(
        "1 user reported by another writer since the last write or pass of dzbgp here"
    )
    assert look(healthy(1), others={make_device().pubkey: 1}, scope=frozenset()).findings == ()


@pytest.mark.parametrize("status", [DeviceStatus.PENDING, DeviceStatus.DELETING, DeviceStatus.REJECTED])
def test_a_device_that_is_not_at_work_needs_no_publisher(status: DeviceStatus) -> None:
    assert look(devices=(make_device(status=status, metrics_publisher_pk=NO_KEY),)).findings == ()


def test_the_audit_can_be_about_some_devices_only() -> None:
    other = make_device(2, metrics_publisher_pk=NO_KEY)
    users = healthy(1), healthy(2, device_pk=other.pubkey, tunnel_id=0), healthy(3, device_pk=key(9))
    devices = make_device(), other
    assert len(look(*users, devices=devices).findings) == 3
    found = look(*users, devices=devices, scope=frozenset({make_device().pubkey}))
    assert (found.findings, found.users, found.devices) == ((), 1, 1)


def neighbors_of(*users: User, addresses: Mapping[str, bool], **more: Any) -> Audit:
    shown = [make_neighbor(address, up=up) for address, up in addresses.items()]
    return look(*users, readings=(make_reading(*shown),), **more)


def test_the_neighbors_of_activated_users_are_not_odd() -> None:
    found = neighbors_of(healthy(1), healthy(2), addresses={"169.254.0.3": True, "169.254.0.5": False})
    assert found.findings == ()
    assert found.devices_read == 1


def test_a_neighbor_in_the_tunnels_address_space_that_belongs_to_no_user_is_odd() -> None:
    found = only(neighbors_of(healthy(1), addresses={"169.254.9.9": True}))
    assert (found.kind, found.subject, found.device) == (
        FindingKind.UNKNOWN_NEIGHBOR,
        "169.254.9.9",
        "ams-dz-001",
    )
    assert found.detail == "Neighbor 169.254.9.9 in vrf1 (Established) belongs to no user of the ledger."


@pytest.mark.parametrize("address", ["10.66.0.2", "172.16.0.1", "203.0.113.77", "fe80::1"])
def test_sessions_outside_the_tunnels_address_space_are_not_odd(address: str) -> None:
    assert neighbors_of(healthy(1), addresses={address: False}).findings == ()


def test_a_neighbor_of_a_user_that_is_not_activated_was_left_over() -> None:
    user = healthy(1, status=UserStatus.BANNED)
    found = only(neighbors_of(user, addresses={"169.254.0.3": False}))
    assert found.kind is FindingKind.LEFTOVER_NEIGHBOR
    assert found.detail == (
        f"Neighbor 169.254.0.3 in vrf1 (not Established) belongs to user {user.pubkey}, which is banned."
    )


def test_a_neighbor_of_another_devices_user_is_odd() -> None:
    other = make_device(2)
    user = healthy(1, device_pk=other.pubkey)
    found = only(neighbors_of(user, addresses={"169.254.0.3": True}, devices=(make_device(), other)))
    assert found.kind is FindingKind.FOREIGN_NEIGHBOR
    assert f"belongs to user {user.pubkey} of device ams-dz-002." in found.detail


def test_an_even_address_is_nobodys_neighbor() -> None:
    assert (
        only(neighbors_of(healthy(1), addresses={"169.254.0.2": True})).kind is FindingKind.UNKNOWN_NEIGHBOR
    )


@pytest.mark.parametrize("result", [DeviceResult.FAILED, DeviceResult.SUSPECT])
def test_a_device_without_a_credible_answer_is_told_and_compared_with_nothing(result: DeviceResult) -> None:
    reading = make_reading(make_neighbor("169.254.9.9"), result=result, error="no answer in 30 s")
    found = look(healthy(), readings=(reading,))
    assert only(found).kind is FindingKind.DEVICE_NOT_READ
    assert only(found).detail == "Host ams-1 could not be compared: no answer in 30 s."
    assert found.devices_read == 0


def test_a_host_that_is_no_device_is_told() -> None:
    reading = make_reading(result=DeviceResult.UNMATCHED, device=None, error="no device is called so")
    found = only(look(healthy(), readings=(reading,)))
    assert (found.kind, found.subject, found.device) == (FindingKind.HOST_UNMATCHED, "ams-1", None)


def test_errors_come_before_warnings() -> None:
    users = healthy(1, last_bgp_reported_at=1), healthy(2, tunnel_id=0)
    assert [item.severity for item in look(*users).findings] == [Severity.ERROR, Severity.WARNING]


def odd() -> Audit:
    users = healthy(1, last_bgp_reported_at=NOW - 20 * HOUR), healthy(2, tunnel_id=0), healthy(3)
    found = look(*users, readings=(make_reading(make_neighbor("169.254.9.9")),))
    return replace(found, source=replace(found.source, notes=("A note.",)))


def test_the_json_has_every_key_and_no_other() -> None:
    document = json.loads(render_json(odd()))
    assert document.pop("findings")[0] == {
        "kind": "not-rendered",
        "severity": "error",
        "subject": str(healthy(2).pubkey),
        "device": "ams-dz-001",
        "detail": "The controller renders no neighbor for it: its tunnel_id is 0.",
    }
    assert document == {
        "schema_version": 1,
        "env": "testnet",
        "program_id": "x",
        "slot": NOW,
        "seconds_per_slot": 0.4,
        "fetched_at": "2026-03-01T00:00:00Z",
        "users": 3,
        "devices": 1,
        "devices_read": 1,
        "summary": {
            "findings": 3,
            "error": 1,
            "warning": 2,
            "kinds": {"not-rendered": 1, "stale-report": 1, "unknown-neighbor": 1},
        },
        "notes": ["A note."],
    }


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_the_table_fits_and_tells_every_finding(columns: int) -> None:
    console = Console(file=StringIO(), width=columns, color_system=None)
    render_table(odd(), console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, text.splitlines())) <= columns
    flowed = " ".join(text.split())
    assert "Users that the controller renders no neighbor for: 1 (not-rendered, error)" in flowed
    assert "Users whose report is stale: 1 (stale-report, warning)" in flowed
    assert "Neighbors that belong to no user: 1 (unknown-neighbor, warning)" in flowed
    assert "3 activated users on 1 device" in flowed
    assert "1 error" in flowed
    assert "2 warnings" in flowed
    assert "- A note." in flowed


def test_the_table_says_when_nothing_is_odd() -> None:
    console = Console(file=StringIO(), width=80, color_system=None)
    render_table(look(healthy()), console)
    last = console.file.getvalue().splitlines()[-1]  # type: ignore[attr-defined]
    assert last == "1 activated user on 1 device · no device was asked · nothing is odd"


def test_every_kind_has_its_words() -> None:
    assert all(kind.words for kind in FindingKind)
