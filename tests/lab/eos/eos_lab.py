"""Devices to test with, and NAPALM's eos driver to read them."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from napalm import get_network_driver

from dzbgp.lab.eos.fleet import EosDevice, EosFleet, EosPeer

NEIGHBORS = "show ip bgp neighbors vrf all"
USER_PEERS = [
    EosPeer("169.254.0.1", 65000, "vrf1", description="USER-500", interface="Tunnel500", rtt_us=4_287),
    EosPeer("169.254.0.3", 65000, "vrf2", description="USER-501", interface="Tunnel501", rtt_us=None),
    EosPeer("169.254.0.5", 65000, "default", interface="Tunnel502"),
    EosPeer("10.0.0.2", 65342, "default", description="other-dz-001"),
]


def block() -> str:
    """The first three numbers of loopback addresses that no other run is likely to use."""
    return f"127.{random.randint(110, 250)}.{random.randint(0, 255)}"


def device(code: str, address: str, **changes: Any) -> EosDevice:
    values: dict[str, Any] = {
        "code": code,
        "address": address,
        "port": 0,
        "username": "reader",
        "password": "secret",
        "router_id": "203.0.113.1",
        "peers": [replace(peer, changed_at=time.monotonic()) for peer in USER_PEERS],
        "vrfs": ("default", "vrf1", "vrf2"),
        "loopback": "10.0.0.1",
    }
    return EosDevice(**{**values, **changes})


@contextmanager
def two_devices() -> Iterator[EosFleet]:
    """A fleet of `one` and `two`."""
    net = block()
    with EosFleet.start(
        [device("one", f"{net}.1"), device("two", f"{net}.2", router_id="203.0.113.2")]
    ) as fleet:
        yield fleet


def driver(fleet: EosFleet, code: str = "one", timeout: float = 5, **optional: Any) -> Any:
    it = fleet.device(code)
    return get_network_driver("eos")(
        it.address, it.username, it.password, timeout=timeout, optional_args={"port": it.port, **optional}
    )


def read(fleet: EosFleet, code: str = "one", timeout: float = 5, **optional: Any) -> dict[str, Any]:
    napalm = driver(fleet, code, timeout, **optional)
    napalm.open()
    neighbors: dict[str, Any] = napalm.get_bgp_neighbors()
    return neighbors


def raw(fleet: EosFleet, code: str = "one") -> dict[str, dict[str, Any]]:
    """Every neighbor's own JSON, by address."""
    napalm = driver(fleet, code)
    napalm.open()
    answer = napalm.cli([NEIGHBORS], encoding="json")[NEIGHBORS]
    return {peer["peerAddress"]: peer for vrf in answer["vrfs"].values() for peer in vrf["peerList"]}
