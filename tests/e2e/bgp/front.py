"""eAPI in front of switches of FRR: their live state in EOS's shapes, over HTTPS, for an unmodified NAPALM.

It is the lab's simulated device, whose neighbors are read from the switch for every request.
"""

import asyncio
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from switch import Live, Switch

from dzbgp.lab.eos.device import ADMIN_DOWN, EosDevice, EosPeer
from dzbgp.lab.eos.fleet import EosFleet
from dzbgp.lab.eos.served import Served
from dzbgp.lab.eos.tls import make_tls
from dzbgp.lab.http import LoopThread, Request, Response


class _LiveDevice(Served):
    """A device whose BGP is that of a switch."""

    def __init__(self, device: EosDevice, switch: Switch) -> None:
        super().__init__(device)
        self._switch = switch

    async def handle(self, request: Request) -> Response:
        if b" bgp " in request.body:
            live = await asyncio.to_thread(self._switch.live)
            # Only here, between two awaits: nobody sees half of it.
            self.device.vrfs = tuple(live.router_ids)
            self.device.loopback = live.router_ids.get("default", "")
            self.device.router_id = _unicast_router_id(live)
            self.device.peers = [*_peers(live)]
            self.forget()
        return await super().handle(request)


@contextmanager
def fronted(switches: Mapping[str, Switch], devices: Mapping[str, EosDevice]) -> Iterator[EosFleet]:
    """Lets every switch answer as the device of its code: where it listens, and who may log in."""
    served = {code: _LiveDevice(devices[code], switch) for code, switch in switches.items()}
    tls = make_tls(one.device.address for one in served.values())

    async def listen() -> None:
        for one in served.values():
            one.tls = tls.contexts[one.device.address]
            await one.listen()

    thread = LoopThread("eapi-front")
    with EosFleet(thread, dict(served), tls.ca_pem) as fleet:
        thread.call(listen())
        yield fleet


def _unicast_router_id(live: Live) -> str:
    router_ids = {router_id for vrf, router_id in live.router_ids.items() if vrf != "default"}
    assert len(router_ids) <= 1, (
        f"the lab's devices have one router-id in all unicast VRFs: {live.router_ids}"
    )
    return next(iter(router_ids), "")


def _peers(live: Live) -> Iterator[EosPeer]:
    for vrf, neighbors in live.neighbors.items():
        for address, shown in neighbors.items():
            up = shown["bgpState"] == "Established"
            yield EosPeer(
                address=address,
                asn=shown["remoteAs"],
                vrf=vrf,
                state=shown["bgpState"],
                description=shown.get("nbrDesc", ""),
                idle_reason=ADMIN_DOWN if shown.get("adminShutDown") else "",
                established_s=_uptime_s(shown) if up else 0.0,
                rtt_us=_rtt_us(live, address),
                transitions=shown["connectionsEstablished"],
                interface=_interface(shown.get("nbrDesc", "")),
            )


def _uptime_s(shown: dict[str, Any]) -> float:
    return float(shown["bgpTimerUpMsec"]) / 1000


def _rtt_us(live: Live, address: str) -> int | None:
    """EOS shows whole microseconds."""
    return math.ceil(live.rtts[address]) if address in live.rtts else None


def _interface(description: str) -> str:
    numbered = re.fullmatch(r"USER-(\d+)", description)
    return f"Tunnel{numbered[1]}" if numbered else ""
