"""Devices, users, tenants, neighbors and readings with the values that do not matter filled in."""

from collections.abc import Mapping
from typing import Any

from solders.pubkey import Pubkey

from dzbgp.models.ledger import (
    BgpStatus,
    CyoaType,
    Device,
    DeviceStatus,
    DeviceType,
    Net,
    Tenant,
    User,
    UserStatus,
    UserType,
)
from dzbgp.models.session import DeviceReading, DeviceResult, Neighbor, Vrf

NO_KEY = Pubkey.default()
PUBLIC_IP = "203.0.113.10"


def key(number: int) -> Pubkey:
    return Pubkey(number.to_bytes(32, "big"))


def net(text: str) -> Net:
    """Parse `169.254.0.0/31` as written, without clearing host bits."""
    address, _, prefix = text.partition("/")
    return Net(int.from_bytes(bytes(map(int, address.split("."))), "big"), int(prefix))


def make_device(number: int = 1, **changes: Any) -> Device:
    values: dict[str, Any] = {
        "pubkey": key(1_000 + number),
        "owner": key(1),
        "location_pk": key(2),
        "exchange_pk": key(3),
        "device_type": DeviceType.HYBRID,
        "public_ip": PUBLIC_IP,
        "status": DeviceStatus.ACTIVATED,
        "code": f"ams-dz-{number:03d}",
        "dz_prefixes": (),
        "metrics_publisher_pk": key(4),
        "contributor_pk": key(5),
        "mgmt_vrf": "",
    }
    return Device(**{**values, **changes})


def make_user(number: int = 1, tunnel: str = "169.254.0.0/31", **changes: Any) -> User:
    values: dict[str, Any] = {
        "pubkey": key(10_000 + number),
        "owner": key(1),
        "index": number,
        "bump_seed": 255,
        "user_type": UserType.IBRL,
        "tenant_pk": NO_KEY,
        "device_pk": key(1_001),
        "cyoa_type": CyoaType.GRE_OVER_DIA,
        "client_ip": "198.51.100.1",
        "dz_ip": "198.51.100.1",
        "tunnel_id": 500,
        "tunnel_net": net(tunnel),
        "status": UserStatus.ACTIVATED,
        "publishers": (),
        "subscribers": (),
        "validator_pubkey": NO_KEY,
        "tunnel_endpoint": "0.0.0.0",
        "tunnel_flags": 0,
        "bgp_status": BgpStatus.UNKNOWN,
        "last_bgp_up_at": 0,
        "last_bgp_reported_at": 0,
        "bgp_rtt_ns": 0,
        "feed_pks": (),
        "data_len": 206,
        "lamports": 0,
    }
    return User(**{**values, **changes})


def make_tenant(number: int, vrf_id: int) -> Tenant:
    return Tenant(key(20_000 + number), f"tenant-{number}", vrf_id)


def make_neighbor(address: str, *, vrf: str = "vrf1", up: bool = True, enabled: bool = True) -> Neighbor:
    return Neighbor(address, vrf, up, enabled, 3_600 if up else -1)


def make_reading(*neighbors: Neighbor, **changes: Any) -> DeviceReading:
    values: dict[str, Any] = {
        "host": "ams-1",
        "result": DeviceResult.OK,
        "device": make_device(),
        "vrfs": (Vrf("default", "10.0.0.1"), Vrf("vrf1", PUBLIC_IP), Vrf("vrf2", PUBLIC_IP)),
        "neighbors": neighbors,
    }
    return DeviceReading(**{**values, **changes})


def reduce_neighbors(answer: Mapping[str, Any]) -> tuple[tuple[Vrf, ...], tuple[Neighbor, ...]]:
    """Return the records of {vrf: {"router_id": ..., "peers": {address: {...}}}}, the form of NAPALM's answer."""
    names = {vrf: "default" if vrf == "global" else vrf for vrf in answer}
    vrfs = tuple(Vrf(names[vrf], shown.get("router_id", "")) for vrf, shown in answer.items())
    neighbors = tuple(
        Neighbor(
            address,
            names[vrf],
            is_up=peer["is_up"],
            is_enabled=peer["is_enabled"],
            uptime_s=peer["uptime"],
            description=peer.get("description", ""),
        )
        for vrf, shown in answer.items()
        for address, peer in shown["peers"].items()
    )
    return vrfs, neighbors
