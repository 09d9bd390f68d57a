"""Reads the BGP sessions of one device."""

from typing import Any

from nornir.core.task import Result, Task

from dzbgp.models.session import Neighbor, Vrf

# NAPALM's EOS driver gives EOS's default VRF this name.
_NAPALM_DEFAULT_VRF = "global"


def bgp_neighbors(task: Task) -> Result:
    """Runs NAPALM's get_bgp_neighbors; the result is a pair of tuples: of `Vrf` and of `Neighbor`.

    NAPALM's large answer is reduced here, in the worker, so that a fleet's answers never pile up.
    Whatever NAPALM raises becomes the exception of the Nornir result.
    """
    from nornir_napalm.plugins.tasks import napalm_get  # noqa: PLC0415 - slow, and a run may end before it asks

    answer = napalm_get(task, getters=["get_bgp_neighbors"]).result["get_bgp_neighbors"]
    return Result(host=task.host, result=reduce_neighbors(answer))


def reduce_neighbors(answer: dict[str, Any]) -> tuple[tuple[Vrf, ...], tuple[Neighbor, ...]]:
    """Turns NAPALM's answer, {vrf: {"router_id": str, "peers": {address: {...}}}}, into records."""
    vrfs = []
    neighbors = []
    for vrf_name, vrf in answer.items():
        name = "default" if vrf_name == _NAPALM_DEFAULT_VRF else vrf_name
        vrfs.append(Vrf(name, vrf.get("router_id", "")))
        for address, peer in vrf["peers"].items():
            neighbors.append(
                Neighbor(
                    address=address,
                    vrf=name,
                    is_up=peer["is_up"] is True,
                    is_enabled=peer["is_enabled"] is not False,
                    uptime_s=peer["uptime"],
                )
            )
    return tuple(vrfs), tuple(neighbors)
