"""Readings of devices, in the form that NAPALM gives them, and what must be seen of each user in them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from core_builders import (
    NO_KEY,
    PUBLIC_IP,
    key,
    make_device,
    make_neighbor,
    make_reading,
    make_tenant,
    make_user,
    reduce_neighbors,
)
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from solders.pubkey import Pubkey

from dzbgp.decision.resolver import assess_credibility, resolve, users_by_device, vrf_of
from dzbgp.models.ledger import BgpStatus, Net, ProgramData, User, UserStatus, UserType, dotted
from dzbgp.models.session import DeviceReading, DeviceResult, Observation, Observed

ESTABLISHED, NOT_ESTABLISHED, ABSENT, UNKNOWN = (
    Observed.ESTABLISHED,
    Observed.NOT_ESTABLISHED,
    Observed.ABSENT,
    Observed.UNKNOWN,
)
LOOPBACK = "10.66.0.1"
TENANTS = {one.pubkey: one for one in (make_tenant(1, 1), make_tenant(2, 2), make_tenant(3, 77))}
SOLSTICE, MERIDIAN, FAR = TENANTS
STRANGER = key(20_099)


def peer(*, up: bool = True, enabled: bool = True, description: str = "USER-500") -> dict[str, Any]:
    """A neighbor in NAPALM's words."""
    counters = {"received_prefixes": 1, "accepted_prefixes": 1, "sent_prefixes": 412}
    return {
        "local_as": 65342,
        "remote_as": 65000,
        "remote_id": "169.254.0.1" if up else "0.0.0.0",
        "is_up": up,
        "is_enabled": enabled,
        "description": description,
        "uptime": 86_400 if up else -1,
        "address_family": {"ipv4": counters, "ipv6": dict.fromkeys(counters, 0)},
    }


UP, DOWN, SHUT = peer(), peer(up=False), peer(up=False, enabled=False)
IBGP = {"10.66.0.2": peer(description="fra-dz-001"), "10.66.0.3": peer(up=False, description="lon-dz-001")}


def answer(
    vrf1: Mapping[str, Any] | None = None,
    vrf2: Mapping[str, Any] | None = None,
    default: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A healthy device's answer: three VRFs, the device-to-device sessions in the default one."""
    return {
        "vrf1": {"router_id": PUBLIC_IP, "peers": dict(vrf1 or {})},
        "vrf2": {"router_id": PUBLIC_IP, "peers": dict(vrf2 or {})},
        "global": {"router_id": LOOPBACK, "peers": {**IBGP, **(default or {})}},
    }


def reading_of(recorded: dict[str, Any], **changes: Any) -> DeviceReading:
    vrfs, neighbors = reduce_neighbors(recorded)
    return make_reading(*neighbors, vrfs=vrfs, **changes)


@dataclass(frozen=True)
class Case:
    """One user on a device with this answer, and what must be seen of it."""

    name: str
    answer: dict[str, Any]
    observed: Observed
    tunnel: str = "169.254.0.0/31"
    user: dict[str, Any] = field(default_factory=dict)
    vrf: str | None = "vrf1"
    peer_ip: str | None = "169.254.0.1"
    why: str = ""
    reason: str = "unknown"


MULTICAST = {"user_type": UserType.MULTICAST}
NOT_UP = "the session is not Established"
CASES = [
    Case("established", answer({"169.254.0.1": UP}), ESTABLISHED),
    Case("configured, not up", answer({"169.254.0.1": DOWN}), NOT_ESTABLISHED, why=NOT_UP),
    Case(
        "admin-down",
        answer({"169.254.0.1": SHUT}),
        NOT_ESTABLISHED,
        why="the session is shut down (admin-down)",
    ),
    Case("no neighbor", answer(), ABSENT, why="the device has no neighbor in 169.254.0.0/31"),
    Case(
        "the devices own side of a /31",
        answer({"169.254.0.0": UP}),
        UNKNOWN,
        why="its neighbor has 169.254.0.0, the device's own side of the tunnel; expected 169.254.0.1",
        reason="wrong-side",
    ),
    Case("both sides of a /31", answer({"169.254.0.0": DOWN, "169.254.0.1": UP}), ESTABLISHED),
    Case(
        "the next tunnels neighbor",
        answer({"169.254.0.3": UP}),
        ABSENT,
        why="the device has no neighbor in 169.254.0.0/31",
    ),
    Case(
        "stored with the odd address",
        answer({"169.254.0.7": UP}),
        ESTABLISHED,
        tunnel="169.254.0.7/31",
        peer_ip="169.254.0.7",
    ),
    Case(
        "last tunnel of the block",
        answer({"169.254.255.255": UP}),
        ESTABLISHED,
        tunnel="169.254.255.254/31",
        peer_ip="169.254.255.255",
    ),
    *[
        Case(
            f"a tunnel of {tunnel}, which is not a /31",
            answer({"169.254.0.1": UP, "169.254.0.5": UP}),
            ABSENT,
            tunnel=tunnel,
            peer_ip=None,
            why=f"its tunnel net {tunnel} is not a /31, so no device has a neighbor for it",
        )
        for tunnel in (
            "169.254.0.4/30",
            "169.254.0.0/17",
            "169.254.0.0/16",
            "0.0.0.0/31",
            *(f"169.254.0.0/{length}" for length in (0, 32, 33, 255)),
        )
    ],
    Case(
        "the same address in a contributors VRF, up",
        answer({"169.254.0.1": DOWN}, {"169.254.0.1": peer(description="PARTNER")}),
        NOT_ESTABLISHED,
        why=NOT_UP,
    ),
    Case(
        "the same address in a contributors VRF, down",
        answer({"169.254.0.1": UP}, {"169.254.0.1": peer(up=False)}),
        ESTABLISHED,
    ),
    Case(
        "only a contributors peer has the address",
        answer(vrf2={"169.254.0.1": peer(description="PARTNER")}),
        UNKNOWN,
        why="169.254.0.1 is a neighbor in vrf2 that is not called USER-500; not in vrf1, the user's VRF",
        reason="wrong-vrf",
    ),
    Case(
        "the users neighbor in another VRF, by its description",
        answer(vrf2={"169.254.0.1": UP}),
        ESTABLISHED,
    ),
    Case(
        "the users neighbor in two other VRFs, which disagree",
        answer(vrf2={"169.254.0.1": UP}, default={"169.254.0.1": DOWN}),
        UNKNOWN,
        why="its neighbors 169.254.0.1 in vrf2 and 169.254.0.1 in default disagree",
        reason="ambiguous",
    ),
    Case(
        "a tenant that the ledger does not have, by its description",
        answer(vrf2={"169.254.0.1": UP}),
        ESTABLISHED,
        user={"tenant_pk": STRANGER},
        vrf=None,
    ),
    Case(
        "an IPv4-mapped address",
        answer({"::ffff:169.254.0.1": UP}),
        ESTABLISHED,
    ),
    Case(
        "a tenant in vrf1",
        answer({"169.254.0.1": UP}),
        ESTABLISHED,
        user={"tenant_pk": SOLSTICE},
    ),
    Case(
        "a tenant in vrf2",
        answer(vrf2={"169.254.0.1": UP}),
        ESTABLISHED,
        user={"tenant_pk": MERIDIAN},
        vrf="vrf2",
    ),
    Case(
        "the neighbor in another VRF than the users",
        answer({"169.254.0.1": UP}),
        ESTABLISHED,
        user={"tenant_pk": MERIDIAN},
        vrf="vrf2",
    ),
    Case(
        "a tenants VRF not shown",
        answer(),
        UNKNOWN,
        user={"tenant_pk": FAR},
        vrf="vrf77",
        why="ams-1 does not show vrf77, the user's VRF",
        reason="no-vrf",
    ),
    Case(
        "a tenant that the ledger does not have",
        answer(),
        UNKNOWN,
        user={"tenant_pk": STRANGER},
        vrf=None,
        why=f"its tenant {STRANGER} is not on the ledger, so its VRF is not known",
        reason="no-tenant",
    ),
    Case(
        "multicast in the default VRF",
        answer(default={"169.254.0.1": UP}),
        ESTABLISHED,
        user=MULTICAST,
        vrf="default",
    ),
    Case(
        "multicast of a tenant, still in the default VRF",
        answer(default={"169.254.0.1": DOWN}),
        NOT_ESTABLISHED,
        user={**MULTICAST, "tenant_pk": MERIDIAN},
        vrf="default",
        why=NOT_UP,
    ),
    Case(
        "multicast without a default VRF",
        {name: vrf for name, vrf in answer().items() if name != "global"},
        UNKNOWN,
        user=MULTICAST,
        vrf="default",
        why="ams-1 does not show default, the user's VRF",
        reason="no-vrf",
    ),
    Case(
        "allocated IP is unicast",
        answer({"169.254.0.1": UP}),
        ESTABLISHED,
        user={"user_type": UserType.IBRL_WITH_ALLOCATED_IP},
    ),
    Case(
        "IPv6 neighbors are nobodys",
        answer({"fe80::1": UP, "::a9fe:1": UP}),
        ABSENT,
        why="the device has no neighbor in 169.254.0.0/31",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_user_is_seen_as_the_devices_answer_says(case: Case) -> None:
    user = make_user(tunnel=case.tunnel, **case.user)
    (observation,) = resolve(reading_of(case.answer), [user], TENANTS)
    assert observation.user is user
    assert observation.host == "ams-1"
    assert observation.observed is case.observed
    assert (observation.vrf, observation.peer_ip) == (case.vrf, case.peer_ip)
    assert (observation.why, observation.reason) == (case.why, case.reason)
    if case.observed in {ESTABLISHED, NOT_ESTABLISHED}:
        assert observation.neighbor is not None
        assert observation.neighbor.address.removeprefix("::ffff:") == case.peer_ip
        assert observation.neighbor.is_up == (case.observed is ESTABLISHED)
    else:
        assert observation.neighbor is None


def test_an_admin_down_neighbor_is_told_from_one_that_is_merely_down() -> None:
    users = [make_user(1, "169.254.0.0/31"), make_user(2, "169.254.0.2/31")]
    down, shut = resolve(reading_of(answer({"169.254.0.1": DOWN, "169.254.0.3": SHUT})), users, {})
    assert "admin-down" not in down.why
    assert "admin-down" in shut.why


def test_the_sessions_between_devices_belong_to_nobody() -> None:
    users = [make_user(1), make_user(2, "169.254.0.2/31", **MULTICAST)]
    observations = resolve(reading_of(answer()), users, {})
    assert [one.observed for one in observations] == [ABSENT, ABSENT]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("169.254.0.0/31", "169.254.0.0/31"),
        ("169.254.0.0/31", "169.254.0.1/31"),
    ],
)
def test_two_users_of_one_tunnel_are_both_ambiguous(one: str, other: str) -> None:
    users = [make_user(1, one), make_user(2, other), make_user(3, "169.255.0.0/31")]
    up = answer({"169.254.0.1": UP, "169.254.0.3": UP, "169.255.0.1": UP})
    first, second, third = resolve(reading_of(up), users, {})
    assert (first.observed, first.reason) == (UNKNOWN, "ambiguous")
    assert (second.observed, second.reason) == (UNKNOWN, "ambiguous")
    assert str(users[1].pubkey) in first.why
    assert str(users[0].pubkey) in second.why
    assert third.observed is ESTABLISHED


def test_neighboring_tunnels_do_not_overlap() -> None:
    users = [make_user(1, "169.254.0.0/31"), make_user(2, "169.254.0.2/31"), make_user(3, "169.254.0.4/30")]
    assert {one.observed for one in resolve(reading_of(answer()), users, {})} == {ABSENT}


@pytest.mark.parametrize("odd", ["169.254.0.0/30", "169.254.9.9/16", "169.254.0.0/0", "169.254.0.1/32"])
def test_a_net_that_is_no_tunnel_competes_with_nobody(odd: str) -> None:
    users = [make_user(1, "169.254.0.0/31"), make_user(2, odd)]
    observations = resolve(reading_of(answer({"169.254.0.1": UP})), users, {})
    assert [one.observed for one in observations] == [ESTABLISHED, ABSENT]


def test_two_neighbors_of_one_address_in_the_users_vrf_must_agree() -> None:
    recorded = answer({"169.254.0.1": UP, "::ffff:169.254.0.1": DOWN})
    (seen,) = resolve(reading_of(recorded), [make_user()], {})
    assert (seen.observed, seen.reason) == (UNKNOWN, "ambiguous")


def test_a_neighbor_that_cannot_be_understood_leaves_its_user_unknown_and_no_other() -> None:
    reading = reading_of(answer({"169.254.0.1": UP, "169.254.0.3": UP}))
    odd = structs.replace(reading.neighbors[0], odd="its state is null")
    users = [make_user(1), make_user(2, "169.254.0.2/31")]
    first, second = resolve(replace(reading, neighbors=(odd, *reading.neighbors[1:])), users, {})
    assert (first.observed, first.reason) == (UNKNOWN, "odd-neighbor")
    assert first.why == "ams-1's entry of its neighbor 169.254.0.1 cannot be parsed: its state is null"
    assert second.observed is ESTABLISHED


def test_absence_from_a_vrf_that_is_shown_in_part_proves_nothing() -> None:
    reading = reading_of(answer())
    part = tuple(replace(vrf, is_shown=vrf.name != "vrf1") for vrf in reading.vrfs)
    (seen,) = resolve(replace(reading, vrfs=part), [make_user()], {})
    assert (seen.observed, seen.reason) == (UNKNOWN, "no-vrf")
    assert seen.why == "ams-1 shows only a part of vrf1, the user's VRF"


def test_a_vrf_without_any_peer_is_told_from_one_that_lacks_only_the_users() -> None:
    users = [make_user(1), make_user(2, "169.254.0.2/31", tenant_pk=MERIDIAN)]
    first, second = resolve(reading_of(answer({"169.254.0.9": UP})), users, TENANTS)
    assert (first.observed, first.in_empty_vrf) == (ABSENT, False)
    assert (second.observed, second.in_empty_vrf) == (ABSENT, True)


def test_a_drained_devices_shut_sessions_are_down_and_not_unknown() -> None:
    users = [make_user(number, f"169.254.0.{2 * number}/31", bgp_status=BgpStatus.UP) for number in range(3)]
    recorded = answer({f"169.254.0.{2 * number + 1}": SHUT for number in range(3)})
    reading = assess_credibility(reading_of(recorded), users)
    assert reading.result is DeviceResult.OK
    assert {one.observed for one in resolve(reading, users, {})} == {NOT_ESTABLISHED}


@pytest.mark.parametrize(
    ("result", "error", "reason"),
    [
        (DeviceResult.FAILED, "10.0.0.1: connection refused", "no-answer"),
        (DeviceResult.SUSPECT, "it is another device", "suspect-device"),
    ],
)
def test_without_a_credible_answer_nothing_is_known_of_any_user(
    result: DeviceResult, error: str, reason: str
) -> None:
    users = [make_user(1), make_user(2, "169.254.0.2/31", tenant_pk=MERIDIAN)]
    reading = reading_of(answer({"169.254.0.1": UP}), result=result, error=error)
    observations = resolve(reading, users, TENANTS)
    assert [one.observed for one in observations] == [UNKNOWN, UNKNOWN]
    assert [one.reason for one in observations] == [reason, reason]
    assert [one.vrf for one in observations] == ["vrf1", "vrf2"]
    assert observations[0].why == f"ams-1 gave no credible answer: {error}"
    assert observations[0].peer_ip == "169.254.0.1"


def test_a_host_that_is_no_device_has_no_users() -> None:
    reading = reading_of(answer(), device=None, result=DeviceResult.UNMATCHED)
    assert resolve(reading, [], {}) == []
    assert assess_credibility(reading, []) is reading


@pytest.mark.parametrize(
    ("user", "vrf"),
    [
        ({}, "vrf1"),
        ({"tenant_pk": SOLSTICE}, "vrf1"),
        ({"tenant_pk": FAR}, "vrf77"),
        ({"tenant_pk": STRANGER}, None),
        (MULTICAST, "default"),
        ({**MULTICAST, "tenant_pk": STRANGER}, "default"),
        ({"user_type": UserType.EDGE_FILTERING}, "vrf1"),
        ({"user_type": UserType(9)}, "vrf1"),
    ],
)
def test_a_user_belongs_to_its_tenants_vrf_or_to_the_default_one(
    user: dict[str, Any], vrf: str | None
) -> None:
    assert vrf_of(make_user(**user), TENANTS) == vrf


def test_only_activated_users_are_looked_at_and_each_on_its_device() -> None:
    other = key(1_002)
    users = [make_user(10 + status, status=UserStatus(status)) for status in range(12)]
    users += [make_user(1, device_pk=other)]
    data = ProgramData(
        slot=1,
        fetched_at=datetime.now(UTC),
        users={user.pubkey: user for user in users},
        devices={},
        tenants={},
    )
    grouped = users_by_device(data)
    assert {device: [user.index for user in own] for device, own in grouped.items()} == {
        make_device().pubkey: [11],
        other: [1],
    }


# What is credible.

USER, UP_USER = make_user(1), make_user(2, "169.254.0.2/31", bgp_status=BgpStatus.UP)
DOWN_USER = make_user(3, "169.254.0.4/31", bgp_status=BgpStatus.DOWN)


def without(name: str, recorded: dict[str, Any]) -> dict[str, Any]:
    return {vrf: table for vrf, table in recorded.items() if vrf != name}


def router_id(recorded: dict[str, Any], vrf: str, address: str) -> dict[str, Any]:
    return {**recorded, vrf: {**recorded[vrf], "router_id": address}}


def empty(recorded: dict[str, Any]) -> dict[str, Any]:
    return {vrf: {**table, "peers": {}} for vrf, table in recorded.items()}


ONE_UP = answer({"169.254.0.1": UP})
ONLY_DEFAULT = without("vrf1", without("vrf2", ONE_UP))


@pytest.mark.parametrize(
    ("recorded", "users", "suspicion"),
    [
        (ONE_UP, [USER, UP_USER], None),
        ({}, [USER], "no BGP at all"),
        ({}, [UP_USER], "no BGP at all"),
        ({}, [], None),
        (empty(answer()), [UP_USER, USER], "no BGP neighbor at all, although 1 of its users"),
        (empty(answer()), [USER, DOWN_USER], None),
        (empty(answer()), [], None),
        (answer(), [UP_USER], None),
        (router_id(ONE_UP, "vrf1", "192.0.2.250"), [USER], "another device: router-id 192.0.2.250 in vrf1"),
        (router_id(ONE_UP, "vrf2", "192.0.2.250"), [USER], "another device: router-id 192.0.2.250 in vrf2"),
        (router_id(ONE_UP, "vrf1", ""), [USER], r"router-id \(none\) in vrf1"),
        (router_id(ONE_UP, "global", "192.0.2.250"), [USER], None),
        (router_id(ONE_UP, "vrf1", "192.0.2.250"), [], None),
        (ONLY_DEFAULT, [USER], "no unicast VRF"),
        ({**ONLY_DEFAULT, "vrf-mgmt": ONE_UP["vrf1"]}, [USER], "no unicast VRF"),
        ({**ONE_UP, "mgmt": {"router_id": "192.0.2.250", "peers": {}}}, [USER], None),
        ({**ONE_UP, "vrf1-lab": {"router_id": "192.0.2.250", "peers": {}}}, [USER], None),
        ({"vrf1": {"peers": {"169.254.0.1": UP}}}, [USER], r"router-id \(none\)"),
    ],
    ids=[
        "healthy",
        "no VRFs",
        "no VRFs, users Up",
        "no VRFs, no users",
        "no neighbors, users Up",
        "no neighbors, no user Up",
        "no neighbors, no users",
        "device sessions only",
        "another routers vrf1",
        "another routers vrf2",
        "no router-id",
        "loopback in the default VRF",
        "another router, no users",
        "no unicast VRF",
        "a VRF called almost like a unicast one",
        "another router-id in a VRF of no concern",
        "another router-id in a VRF called almost like a unicast one",
        "router-id left out",
    ],
)
def test_an_answer_is_believed_only_when_it_can_be_that_devices(
    recorded: dict[str, Any], users: Sequence[User], suspicion: str | None
) -> None:
    reading = reading_of(recorded)
    assessed = assess_credibility(reading, users)
    if suspicion is None:
        assert assessed is reading
    else:
        assert assessed.result is DeviceResult.SUSPECT
        assert assessed.error is not None
        assert re.search(suspicion, assessed.error)
        assert {one.observed for one in resolve(assessed, users, {})} == {UNKNOWN}


@pytest.mark.parametrize(
    ("recorded", "result"),
    [
        (router_id(ONE_UP, "vrf1", "192.0.2.250"), DeviceResult.OK),
        (ONLY_DEFAULT, DeviceResult.OK),
        ({}, DeviceResult.SUSPECT),
        (empty(answer()), DeviceResult.SUSPECT),
    ],
    ids=["another router-id", "no unicast VRF", "no VRFs", "no neighbors, users Up"],
)
def test_without_the_identity_check_only_an_empty_answer_is_not_believed(
    recorded: dict[str, Any], result: DeviceResult
) -> None:
    assert assess_credibility(reading_of(recorded), [UP_USER], identity_check=False).result is result


def test_a_reading_that_failed_stays_failed() -> None:
    reading = reading_of({}, result=DeviceResult.FAILED, error="no answer in 3 s")
    assert assess_credibility(reading, [UP_USER]) is reading


# Properties.

tunnels = st.builds(Net, st.integers(0xA9FE0000, 0xA9FE0000 + 40), st.sampled_from([31, 31, 31, 30, 29, 28]))


@given(st.lists(tunnels, max_size=8))
def test_ambiguous_are_exactly_the_users_that_share_a_tunnel_with_another(nets: list[Net]) -> None:
    users = [make_user(number, tunnel_net=tunnel) for number, tunnel in enumerate(nets)]
    shared = {
        one.pubkey
        for one in users
        for other in users
        if one is not other
        and {one.tunnel_net.prefix_len, other.tunnel_net.prefix_len} == {31}
        and one.tunnel_net.address | 1 == other.tunnel_net.address | 1
    }
    observations = resolve(reading_of(answer()), users, {})
    assert {one.user.pubkey for one in observations if one.reason == "ambiguous"} == shared


addresses = st.integers(0xA9FE0000 - 2, 0xA9FE0000 + 42)
neighbors = st.lists(
    st.builds(
        lambda address, vrf, up: make_neighbor(dotted(address), vrf=vrf, up=up),
        addresses,
        st.sampled_from(["default", "vrf1", "vrf2", "vrf3"]),
        st.booleans(),
    ),
    max_size=12,
)


@given(
    st.builds(Net, st.integers(0, 2**32 - 1) | addresses, st.integers(0, 255) | st.sampled_from([30, 31])),
    neighbors,
    st.sampled_from([NO_KEY, *TENANTS, STRANGER]),
    st.sampled_from(list(UserType)),
)
def test_what_is_seen_is_what_the_neighbor_in_the_users_own_vrf_says(
    tunnel: Net, shown: list[Any], tenant: Pubkey, user_type: UserType
) -> None:
    user = make_user(tunnel_net=tunnel, tenant_pk=tenant, user_type=user_type)
    (seen,) = resolve(make_reading(*shown), [user], TENANTS)
    own = [
        one
        for one in shown
        if tunnel.prefix_len == 31 and one.address == dotted(tunnel.address | 1) and one.vrf == seen.vrf
    ]
    if seen.observed is ESTABLISHED:
        assert all(one.is_up for one in own)
        assert seen.neighbor in own
    elif seen.observed is NOT_ESTABLISHED:
        assert own
        assert not any(one.is_up for one in own)
    elif seen.observed is ABSENT:
        assert not own
    assert bool(seen.reason != "unknown") == (seen.observed is UNKNOWN)


@given(st.lists(tunnels, max_size=6), neighbors, st.permutations(range(6)))
def test_the_order_of_users_does_not_matter(nets: list[Net], shown: list[Any], order: list[int]) -> None:
    users = [make_user(number, tunnel_net=tunnel) for number, tunnel in enumerate(nets)]
    shuffled = [users[at] for at in order if at < len(users)]

    def verdicts(those: Sequence[User]) -> dict[Pubkey, tuple[Observed, str]]:
        seen: list[Observation] = resolve(make_reading(*shown), those, {})
        return {one.user.pubkey: (one.observed, one.reason) for one in seen}

    assert verdicts(users) == verdicts(shuffled)
