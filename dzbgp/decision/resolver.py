"""From a device's answer to what was seen of each of its users.

Pure: no I/O, no clock. Whatever casts doubt (no answer, another device's answer, a VRF that is not shown, two users on
one tunnel) makes an observation UNKNOWN, and nothing is ever written for that.
"""

import ipaddress
import re
import socket
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

from solders.pubkey import Pubkey

from dzbgp.models.ledger import (
    BgpStatus,
    Device,
    Net,
    ProgramData,
    Tenant,
    User,
    UserStatus,
    UserType,
    dotted,
)
from dzbgp.models.session import DeviceReading, DeviceResult, Neighbor, Observation, Observed

# The controller names a unicast VRF after the tenant's vrf_id.
_UNICAST_VRF = re.compile(r"vrf\d+")
_NO_TENANT = Pubkey.default()
_POINT_TO_POINT = 31

_rtt_ns = attrgetter("rtt_ns")


def users_by_device(data: ProgramData) -> dict[Pubkey, list[User]]:
    """Return the activated users of each device."""
    users: dict[Pubkey, list[User]] = defaultdict(list)
    for user in data.users.values():
        if user.status is UserStatus.ACTIVATED:
            users[user.device_pk].append(user)
    return users


def assess_credibility(
    reading: DeviceReading, users: Sequence[User], *, identity_check: bool = True
) -> DeviceReading:
    """Return an OK reading as SUSPECT when it is not credible as the answer of its device.

    Not credible: no VRF at all, or no neighbor at all although users are Up onchain (BGP not configured, or
    the agent restarting); a unicast VRF with another router-id than the device's public_ip; no unicast VRF
    whose router-id could prove which device it is. A device without users has nothing to be credible about.
    """
    device = reading.device
    if reading.result is not DeviceResult.OK or device is None or not users:
        return reading
    if not reading.vrfs:
        return _suspect(reading, "it shows no BGP at all (not configured, or its BGP agent is restarting)")
    if not reading.neighbors:
        up = sum(user.bgp_status is BgpStatus.UP for user in users)
        if up:
            return _suspect(
                reading, f"it shows no BGP neighbor at all, although {up} of its users are Up onchain"
            )
    if not identity_check:
        return reading
    # What is shown in part only may lack its router-id too.
    unicast = [
        vrf for vrf in reading.vrfs if _UNICAST_VRF.fullmatch(vrf.name) and (vrf.is_shown or vrf.router_id)
    ]
    for vrf in unicast:
        if vrf.router_id != device.public_ip:
            return _suspect(
                reading,
                f"it is another device: router-id {vrf.router_id or '(none)'} in {vrf.name}, but "
                f"{device.code} has {device.public_ip} (--no-identity-check for fleets that differ)",
            )
    if not unicast:
        return _suspect(
            reading,
            f"it shows no unicast VRF (vrf1, vrf2, ...) whose router-id could prove that it is {device.code} "
            "(--no-identity-check for fleets that differ)",
        )
    return reading


def _suspect(reading: DeviceReading, why: str) -> DeviceReading:
    return replace(reading, result=DeviceResult.SUSPECT, error=why)


def resolve(
    reading: DeviceReading, users: Sequence[User], tenants: Mapping[Pubkey, Tenant]
) -> list[Observation]:
    """Return for each of `users`, the activated users of the reading's device, what was seen of its session."""
    device = reading.device
    if device is None:
        return []
    if reading.result is not DeviceResult.OK:
        reason = "suspect-device" if reading.result is DeviceResult.SUSPECT else "no-answer"
        why = f"{reading.host} gave no credible answer: {reading.error}"
        return [
            Observation(
                user,
                device,
                reading.host,
                Observed.UNKNOWN,
                vrf_of(user, tenants),
                _peer_ip(user),
                why,
                reason,
            )
            for user in users
        ]
    answer = _Answer.of(reading, device, users)
    return [_observe(user, vrf_of(user, tenants), answer) for user in users]


def unexplained(reading: DeviceReading, users: Iterable[User]) -> set[tuple[Pubkey, int]]:
    """Return the device's IPv4 neighbors, by device and address, in whose /31 none of its `users` has a tunnel.

    A user that was activated a moment ago shows up like this, and so does a contributor's own peer.
    """
    if reading.device is None:
        return set()
    tunnels = {user.tunnel_net.address >> 1 for user in users}
    addresses = (_ipv4(neighbor.address) for neighbor in reading.neighbors)
    return {
        (reading.device.pubkey, address)
        for address in addresses
        if address is not None and address >> 1 not in tunnels
    }


def vrf_of(user: User, tenants: Mapping[Pubkey, Tenant]) -> str | None:
    """Return the VRF that the controller puts the user in; None when the user's tenant is not known."""
    if user.user_type is UserType.MULTICAST:
        return "default"
    if user.tenant_pk == _NO_TENANT:
        return "vrf1"
    tenant = tenants.get(user.tenant_pk)
    return None if tenant is None else f"vrf{tenant.vrf_id}"


@dataclass(frozen=True, slots=True)
class _Answer:
    """A device's answer, in the form in which users are looked up in it."""

    host: str
    device: Device
    neighbors: Mapping[int, Sequence[Neighbor]]
    """By IPv4 address."""
    vrfs: Mapping[str, bool]
    """By name: whether all of its neighbors are shown."""
    peopled: frozenset[str]
    """The VRFs with at least one neighbor."""
    sharers: Mapping[int, Sequence[User]]
    """The users of each /31, by the neighbor's address."""

    @classmethod
    def of(cls, reading: DeviceReading, device: Device, users: Iterable[User]) -> "_Answer":
        neighbors: dict[int, list[Neighbor]] = defaultdict(list)
        for neighbor in reading.neighbors:
            address = _ipv4(neighbor.address)
            if address is not None:
                neighbors[address].append(neighbor)
        sharers: dict[int, list[User]] = defaultdict(list)
        for user in users:
            if _is_tunnel(user.tunnel_net):
                sharers[user.tunnel_net.address | 1].append(user)
        return cls(
            reading.host,
            device,
            neighbors,
            {vrf.name: vrf.is_shown for vrf in reading.vrfs},
            frozenset(neighbor.vrf for neighbor in reading.neighbors),
            sharers,
        )

    def find(self, address: int, user: User, vrf: str | None) -> list[Neighbor]:
        """Return the neighbors at an address that are evidence of the user: in its own VRF, else by description."""
        found = self.neighbors.get(address, ())
        own = [neighbor for neighbor in found if neighbor.vrf == vrf]
        if own or not user.tunnel_id:
            return own
        return [neighbor for neighbor in found if neighbor.description == f"USER-{user.tunnel_id}"]


def _observe(user: User, vrf: str | None, answer: _Answer) -> Observation:
    net, peer_ip = user.tunnel_net, _peer_ip(user)

    def seen(observed: Observed, why: str, reason: str = "unknown", *, empty: bool = False) -> Observation:
        return Observation(
            user, answer.device, answer.host, observed, vrf, peer_ip, why, reason, in_empty_vrf=empty
        )

    if peer_ip is None:
        return seen(Observed.ABSENT, f"its tunnel net {net} is not a /31, so no device has a neighbor for it")
    odd = net.address | 1
    rival = next((one for one in answer.sharers[odd] if one is not user), None)
    if rival is not None:
        why = f"its tunnel net {net} is also that of user {rival.pubkey}"
        return seen(Observed.UNKNOWN, why, "ambiguous")
    evidence = answer.find(odd, user, vrf)
    if evidence:
        return _weigh(user, vrf, peer_ip, answer, evidence)
    if answer.find(odd - 1, user, vrf):
        why = f"its neighbor has {dotted(odd - 1)}, the device's own side of the tunnel; expected {peer_ip}"
        return seen(Observed.UNKNOWN, why, "wrong-side")
    elsewhere = answer.neighbors.get(odd)
    if elsewhere:
        own = f"not in {vrf}, the user's VRF" if vrf else "the user's tenant is not on the ledger"
        why = f"{peer_ip} is a neighbor in {elsewhere[0].vrf} that is not called USER-{user.tunnel_id}; {own}"
        return seen(Observed.UNKNOWN, why, "wrong-vrf")
    if vrf is None:
        why = f"its tenant {user.tenant_pk} is not on the ledger, so its VRF is not known"
        return seen(Observed.UNKNOWN, why, "no-tenant")
    if not answer.vrfs.get(vrf):
        shows = "shows only a part of" if vrf in answer.vrfs else "does not show"
        return seen(Observed.UNKNOWN, f"{answer.host} {shows} {vrf}, the user's VRF", "no-vrf")
    why = f"the device has no neighbor in {net}"
    return seen(Observed.ABSENT, why, empty=vrf not in answer.peopled)


def _weigh(
    user: User, vrf: str | None, peer_ip: str, answer: _Answer, evidence: Sequence[Neighbor]
) -> Observation:
    """Return what the neighbors in a user's tunnel say; nothing, if they disagree."""
    best = max(evidence, key=_rtt_ns)
    observed, why, reason = Observed.ESTABLISHED, "", "unknown"
    odd = next((neighbor.odd for neighbor in evidence if neighbor.odd), "")
    if odd:
        observed, reason = Observed.UNKNOWN, "odd-neighbor"
        why = f"{answer.host}'s entry of its neighbor {best.address} cannot be parsed: {odd}"
    elif any(neighbor.is_up is not best.is_up for neighbor in evidence):
        places = " and ".join(dict.fromkeys(f"{one.address} in {one.vrf}" for one in evidence))
        observed, why, reason = Observed.UNKNOWN, f"its neighbors {places} disagree", "ambiguous"
    elif not best.is_up:
        shut_down = not any(neighbor.is_enabled for neighbor in evidence)
        observed = Observed.NOT_ESTABLISHED
        why = "the session is shut down (admin-down)" if shut_down else "the session is not Established"
    neighbor = None if observed is Observed.UNKNOWN else best
    if best.address == peer_ip:
        # One text for both: a fleet has many.
        peer_ip = best.address
    return Observation(user, answer.device, answer.host, observed, vrf, peer_ip, why, reason, neighbor)


def _is_tunnel(net: Net) -> bool:
    """Whether the controller renders a neighbor for the net; 0.0.0.0 is the value before allocation."""
    return net.prefix_len == _POINT_TO_POINT and net.address != 0


def _peer_ip(user: User) -> str | None:
    """Return the neighbor's address: the odd one of the /31."""
    return dotted(user.tunnel_net.address | 1) if _is_tunnel(user.tunnel_net) else None


def _ipv4(address: str) -> int | None:
    """Return an IPv4 address, or one that is mapped into IPv6, as a number."""
    try:
        if ":" not in address:
            return int.from_bytes(socket.inet_aton(address), "big")
        mapped = ipaddress.IPv6Address(address).ipv4_mapped
    except (OSError, ValueError):
        return None
    return int(mapped) if mapped else None
