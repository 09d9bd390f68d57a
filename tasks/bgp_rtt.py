"""Reads the TCP round-trip time of a few BGP sessions of one device."""

import json
from collections.abc import Collection
from typing import Any

from nornir.core.task import Result, Task

_CONNECTION = "napalm"
_COMMAND = "show ip bgp neighbors vrf all"
_LONGEST_US = 3_600_000_000
"""Beyond an hour it is no sample but nonsense, which might not even fit the instruction."""


def bgp_rtt(task: Task, addresses: Collection[str]) -> Result:
    """Gives {neighbor's address: smoothed RTT in nanoseconds} for those of `addresses` that have a sample.

    NAPALM's getters leave the RTT out; EOS shows it per peer as peerTcpInfo.sndRtt, in microseconds, for as
    long as the TCP connection is up.
    """
    device = task.host.get_connection(_CONNECTION, task.nornir.config)
    answer = device.cli([_COMMAND], encoding="json")[_COMMAND]
    # Over SSH NAPALM hands out the text as EOS printed it.
    shown = json.loads(answer) if isinstance(answer, str) else answer
    return Result(host=task.host, result=pick_rtts(shown, addresses))


def pick_rtts(shown: dict[str, Any], addresses: Collection[str]) -> dict[str, int]:
    """Picks the RTTs, in nanoseconds, out of EOS's answer; a peer without a positive sample is left out."""
    rtts = {}
    for vrf in shown.get("vrfs", {}).values():
        for peer in vrf.get("peerList", []):
            address = peer.get("peerAddress")
            if address not in addresses or peer.get("state") != "Established":
                continue
            microseconds = (peer.get("peerTcpInfo") or {}).get("sndRtt")
            if not isinstance(microseconds, int | float) or isinstance(microseconds, bool):
                continue
            if 0 < microseconds <= _LONGEST_US:
                rtts[address] = round(microseconds * 1000)
    return rtts
