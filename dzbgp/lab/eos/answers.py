"""EOS's answers to `show` commands, in EOS's own JSON shapes and, where people would look, as text.

Source of the shapes: the public answers of real devices in the test data of NAPALM's eos driver.
"""

import time
from collections.abc import Callable, Iterator

from dzbgp.lab.eos.device import ADMIN_DOWN, LOCAL_ASN, DeviceFault, EosDevice, EosFault, EosPeer
from dzbgp.lab.eos.neighbor import Json, neighbor

_ODD = EosPeer("169.254.255.255", 65000, "default", state="Idle", interface="Tunnel4095")


def _faulty(device: EosDevice, kind: DeviceFault) -> EosFault | None:
    return device.fault if device.fault is not None and device.fault.kind is kind else None


def _vrfs(device: EosDevice) -> Iterator[tuple[str, str, list[EosPeer]]]:
    """Yield name, router-id and neighbors of every VRF that the device shows."""
    if _faulty(device, DeviceFault.EMPTY):
        return
    missing = _faulty(device, DeviceFault.MISSING_VRF)
    other = _faulty(device, DeviceFault.WRONG_IDENTITY)
    for vrf in device.vrfs:
        if missing and vrf == missing.vrf:
            continue
        router_id = device.loopback if vrf == "default" else device.router_id
        yield vrf, other.router_id if other else router_id, [peer for peer in device.peers if peer.vrf == vrf]


def version(device: EosDevice) -> Json:
    """Answer `show version`."""
    return {
        "mfgName": "Arista",
        "modelName": device.model,
        "hardwareRevision": "11.01",
        "serialNumber": f"LAB{sum(device.code.encode()):08d}",
        "systemMacAddress": "02:1c:73:00:00:99",
        "hwMacAddress": "02:1c:73:00:00:99",
        "configMacAddress": "00:00:00:00:00:00",
        "version": device.eos_version,
        "architecture": "x86_64",
        "internalVersion": f"{device.eos_version}-35442176",
        "internalBuildId": "00000000-0000-4000-8000-000000000000",
        "imageFormatVersion": "3.0",
        "imageOptimization": "Default",
        "bootupTimestamp": 1_760_000_000.0,
        "uptime": 8_640_000.0,
        "memTotal": 32_458_208,
        "memFree": 24_300_120,
        "isIntlVersion": False,
    }


def hostname(device: EosDevice) -> Json:
    """Answer `show hostname`."""
    return {"hostname": device.code, "fqdn": f"{device.code}.lab.invalid"}


def summary(device: EosDevice) -> Json:
    """Answer `show ip bgp summary vrf all`."""
    return {
        "vrfs": {
            vrf: {
                "vrf": vrf,
                "routerId": router_id,
                "asn": str(LOCAL_ASN),
                "peers": {peer.address: _summary_peer(peer) for peer in peers},
            }
            for vrf, router_id, peers in _vrfs(device)
        }
    }


def summary_v6(device: EosDevice) -> Json:
    """Answer `show ipv6 bgp summary vrf all`: the same VRFs, no neighbors."""
    return {
        "vrfs": {
            vrf: {"vrf": vrf, "routerId": router_id, "asn": str(LOCAL_ASN), "peers": {}}
            for vrf, router_id, _ in _vrfs(device)
        }
    }


def neighbors(device: EosDevice) -> Json:
    """Answer `show ip bgp neighbors vrf all`; establishedTime is UPTIME_MARK."""
    shown: Json = {
        vrf: {"peerList": [neighbor(peer, router_id) for peer in peers]}
        for vrf, router_id, peers in _vrfs(device)
    }
    if _faulty(device, DeviceFault.ODD_NEIGHBOR):
        odd = neighbor(_ODD, device.loopback)
        del odd["state"]
        next(iter(shown.values()))["peerList"].append(odd)
    return {"vrfs": shown}


def neighbors_v6(device: EosDevice) -> Json:
    """Answer `show ipv6 bgp peers vrf all`."""
    return {"vrfs": {vrf: {"peerList": []} for vrf, _, _ in _vrfs(device)}}


def established(device: EosDevice) -> list[EosPeer]:
    """Return the Established neighbors in the order of their UPTIME_MARKs."""
    return [peer for _, _, peers in _vrfs(device) for peer in peers if peer.state == "Established"]


def _summary_peer(peer: EosPeer) -> Json:
    up = peer.state == "Established"
    shown: Json = {
        "version": 4,
        "msgReceived": 41_203 if up else 0,
        "msgSent": 41_377 if up else 0,
        "inMsgQueue": 0,
        "outMsgQueue": 0,
        "asn": str(peer.asn),
        "prefixAccepted": 1 if up else 0,
        "prefixReceived": 1 if up else 0,
        "upDownTime": round(time.time() - peer.uptime_s(), 6),
        "underMaintenance": False,
        "peerState": peer.state,
    }
    if peer.description:
        shown["description"] = peer.description
    if peer.state == "Idle":
        shown["peerStateIdleReason"] = "Admin" if peer.idle_reason == ADMIN_DOWN else "NoIf"
    return shown


def summary_text(device: EosDevice) -> str:
    """Answer `show ip bgp summary vrf all` as text."""
    lines = []
    for vrf, router_id, peers in _vrfs(device):
        lines += [
            f"BGP summary information for VRF {vrf}",
            f"Router identifier {router_id}, local AS number {LOCAL_ASN}",
            "Neighbor Status Codes: m - Under maintenance",
            f"  {'Description':24} {'Neighbor':16} V {'AS':>6} {'Up/Down':>10} State",
        ]
        for peer in peers:
            state = "Estab" if peer.state == "Established" else peer.state
            if peer.state == "Idle":
                state = "Idle(Admin)" if peer.idle_reason == ADMIN_DOWN else "Idle(NoIf)"
            lines.append(
                f"  {peer.description:24} {peer.address:16} 4 {peer.asn:>6} {peer.uptime_s():>9}s {state}"
            )
    return "\n".join(lines) + "\n"


JSON_COMMANDS: dict[str, Callable[[EosDevice], Json]] = {
    "enable": lambda _: {},
    "show version": version,
    "show hostname": hostname,
    "show ip bgp summary vrf all": summary,
    "show ipv6 bgp summary vrf all": summary_v6,
    "show ip bgp neighbors vrf all": neighbors,
    "show ipv6 bgp peers vrf all": neighbors_v6,
}
"""The commands that a device knows, with their answers in the JSON format."""

TEXT_COMMANDS: dict[str, Callable[[EosDevice], str]] = {
    "enable": lambda _: "",
    "show version": lambda device: f"Arista {device.model}\n\nSoftware image version: {device.eos_version}\n",
    "show hostname": lambda device: f"Hostname: {device.code}\nFQDN:     {device.code}.lab.invalid\n",
    "show ip bgp summary vrf all": summary_text,
}
"""The commands that a device answers in the text format too."""
