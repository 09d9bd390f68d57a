"""NAPALM's answer to get_bgp_neighbors, reduced."""

from typing import Any

import pytest

from dzbgp.models.session import Neighbor, Vrf
from dzbgp.tasks.bgp_neighbors import reduce_neighbors

# As NAPALM 5.2 gave it for a device with a unicast VRF; prefix counters shortened.
RECORDED: dict[str, Any] = {
    "vrf1": {
        "peers": {
            "169.254.0.1": {
                "local_as": 65342,
                "remote_as": 65000,
                "remote_id": "169.254.0.1",
                "is_up": True,
                "is_enabled": True,
                "description": "USER-500",
                "uptime": 86_400,
                "address_family": {"ipv4": {"received_prefixes": 1}},
            },
            "169.254.0.3": {
                "local_as": 65342,
                "remote_as": 65000,
                "remote_id": "0.0.0.0",
                "is_up": False,
                "is_enabled": False,
                "description": "",
                "uptime": -1,
                "address_family": {"ipv4": {"received_prefixes": 0}},
            },
        },
        "router_id": "203.0.113.10",
    },
    "vrf2": {"peers": {}, "router_id": "203.0.113.10"},
    "global": {
        "peers": {
            "10.66.0.2": {
                "is_up": True,
                "is_enabled": True,
                "description": "fra-dz-001",
                "uptime": 5,
            }
        },
        "router_id": "10.66.0.1",
    },
}


def test_every_vrf_and_neighbor_is_kept_and_the_default_vrf_gets_its_own_name_back() -> None:
    vrfs, neighbors = reduce_neighbors(RECORDED)
    assert vrfs == (
        Vrf("vrf1", "203.0.113.10"),
        Vrf("vrf2", "203.0.113.10"),
        Vrf("default", "10.66.0.1"),
    )
    assert neighbors == (
        Neighbor("169.254.0.1", "vrf1", is_up=True, is_enabled=True, uptime_s=86_400),
        Neighbor("169.254.0.3", "vrf1", is_up=False, is_enabled=False, uptime_s=-1),
        Neighbor("10.66.0.2", "default", is_up=True, is_enabled=True, uptime_s=5),
    )


def test_an_empty_answer_is_no_vrfs_and_no_neighbors() -> None:
    assert reduce_neighbors({}) == ((), ())


def test_a_vrf_without_a_router_id_is_shown_without() -> None:
    assert reduce_neighbors({"vrf1": {"peers": {}}}) == ((Vrf("vrf1", ""),), ())


@pytest.mark.parametrize("is_up", [None, 0, "True", "false", 1], ids=repr)
def test_a_session_is_up_only_when_napalm_says_so_outright(is_up: Any) -> None:
    peer = {"is_up": is_up, "is_enabled": True, "uptime": -1, "description": ""}
    _, (neighbor,) = reduce_neighbors({"vrf1": {"peers": {"169.254.0.1": peer}}})
    assert neighbor.is_up is False
