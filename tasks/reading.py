"""What a pass asks of a device: its neighbors at the first look, its neighbors and their RTTs at the second.

Whatever goes wrong is told in words where it happens, on a cluster in another process: the result of a device that
failed is one line for people.
"""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from nornir.core.task import Result, Task

from dzbgp.eos.errors import explain
from dzbgp.models.session import Neighbor, Vrf
from dzbgp.tasks.bgp_neighbors import bgp_neighbors
from dzbgp.tasks.bgp_rtt import bgp_rtt

log = logging.getLogger("dzbgp.listing")

_CONNECTION = "napalm"

Seen = tuple[tuple[Vrf, ...], tuple[Neighbor, ...]]


@dataclass(frozen=True, slots=True)
class SecondAnswer:
    """What a device says at the second look."""

    seen: Seen | None = None
    """None: it was not asked for its neighbors again."""
    rtts: dict[str, int] = field(default_factory=dict)
    """By neighbor's address, in nanoseconds."""
    no_rtts: str = ""
    """Why there are none, where they were asked for."""


def first_look(task: Task) -> Result:
    """Asks for the neighbors; the result is a `Seen`."""
    try:
        return bgp_neighbors(task)
    except Exception as error:  # noqa: BLE001 - NAPALM and its drivers may raise anything
        return Result(host=task.host, result=_told(task, error), failed=True)


def second_look(task: Task, again: Collection[str], addresses: Mapping[str, Collection[str]]) -> Result:
    """Asks the hosts of `again` for their neighbors, those of `addresses` for these neighbors' RTTs.

    The result is a `SecondAnswer`. An RTT is worth having, not worth failing for.
    """
    name = task.host.name
    seen: Seen | None = None
    if name in again:
        try:
            seen = bgp_neighbors(task).result
        except Exception as error:  # noqa: BLE001 - as above
            return Result(host=task.host, result=_told(task, error), failed=True)
    if name not in addresses:
        return Result(host=task.host, result=SecondAnswer(seen))
    try:
        rtts = bgp_rtt(task, addresses[name]).result
    except Exception as error:  # noqa: BLE001 - as above
        return Result(host=task.host, result=SecondAnswer(seen, no_rtts=_told(task, error)))
    return Result(host=task.host, result=SecondAnswer(seen, rtts))


def _told(task: Task, error: Exception) -> str:
    log.debug("host %s", task.host.name, exc_info=error)
    return explain(error, task.host.get_connection_parameters(_CONNECTION))
