"""From a device's answer to what was seen of each of its users.

Pure: no I/O, no clock. Whatever casts doubt (no answer, another device's answer, a missing VRF, two users on
one tunnel) makes an observation UNKNOWN, and nothing is ever written for that.
"""

import re
import socket
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

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
_IPV4_BITS = 32


def users_by_device(data: ProgramData) -> dict[Pubkey, list[User]]:
    """Gives the activated users of each device."""
    users: dict[Pubkey, list[User]] = defaultdict(list)
    for user in data.users.values():
        if user.status is UserStatus.ACTIVATED:
            users[user.device_pk].append(user)
    return users


def judge(reading: DeviceReading, users: Sequence[User], *, identity_check: bool = True) -> DeviceReading:
    """Makes an OK reading SUSPECT when it is not credible as the answer of its device.

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
    unicast = [vrf for vrf in reading.vrfs if _UNICAST_VRF.fullmatch(vrf.name)]
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
    """Says for each of `users`, the activated users of the reading's device, what was seen of its session."""
    device = reading.device
    if device is None:
        return []
    if reading.result is not DeviceResult.OK:
        reason = "suspect-device" if reading.result is DeviceResult.SUSPECT else "no-answer"
        why = f"{reading.host} gave no credible answer: {reading.error}"
        return [
            _unknown(user, device, reading.host, reason, why, vrf=vrf_of(user, tenants)) for user in users
        ]
    shown = {vrf.name for vrf in reading.vrfs if vrf.is_shown}
    index = _NeighborIndex(reading.neighbors)
    overlaps = overlapping(users)
    return [
        _observe(user, device, reading.host, vrf_of(user, tenants), shown, index, overlaps.get(user.pubkey))
        for user in users
    ]


def vrf_of(user: User, tenants: Mapping[Pubkey, Tenant]) -> str | None:
    """Gives the VRF that the controller puts the user in; None when the user's tenant is not known."""
    if user.user_type is UserType.MULTICAST:
        return "default"
    if user.tenant_pk == _NO_TENANT:
        return "vrf1"
    tenant = tenants.get(user.tenant_pk)
    return None if tenant is None else f"vrf{tenant.vrf_id}"


def _observe(
    user: User,
    device: Device,
    host: str,
    vrf: str | None,
    shown: set[str],
    index: "_NeighborIndex",
    rival: User | None,
) -> Observation:
    net = user.tunnel_net
    if not _is_tunnel(net):
        return _unknown(
            user, device, host, "bad-tunnel", f"its tunnel net {net} can hold no neighbor", vrf=vrf
        )
    if rival is not None:
        why = f"its tunnel net {net} overlaps {rival.tunnel_net} of user {rival.pubkey}"
        return _unknown(user, device, host, "ambiguous", why, vrf=vrf)
    if vrf is None:
        why = f"its tenant {user.tenant_pk} is not on the ledger, so its VRF is not known"
        return _unknown(user, device, host, "no-tenant", why)
    if vrf not in shown:
        why = f"{host} does not show {vrf}, the user's VRF"
        return _unknown(user, device, host, "no-vrf", why, vrf=vrf)
    candidates = index.inside(net)
    if not candidates:
        why = f"the device has no neighbor in {net}"
        return Observation(user, device, host, Observed.ABSENT, vrf, _peer_ip(net), why)
    neighbor = candidates[0]
    if len(candidates) > 1:
        neighbor = next((candidate for candidate in candidates if candidate.is_up), neighbor)
    if neighbor.odd:
        why = f"{host}'s entry of its neighbor {neighbor.address} cannot be understood: {neighbor.odd}"
        return _unknown(user, device, host, "odd-neighbor", why, vrf=vrf)
    if neighbor.is_up:
        return Observation(user, device, host, Observed.ESTABLISHED, vrf, neighbor.address, neighbor=neighbor)
    why = "the session is not Established" if neighbor.is_enabled else "the session is shut down (admin-down)"
    return Observation(
        user, device, host, Observed.NOT_ESTABLISHED, vrf, neighbor.address, why, neighbor=neighbor
    )


def _unknown(
    user: User,
    device: Device,
    host: str,
    reason: str,
    why: str,
    *,
    vrf: str | None = None,
) -> Observation:
    return Observation(user, device, host, Observed.UNKNOWN, vrf, _peer_ip(user.tunnel_net), why, reason)


def _is_tunnel(net: Net) -> bool:
    """A net with at least one address beside its own; 0.0.0.0 is what stands there before allocation."""
    return net.address != 0 and 0 < net.prefix_len < _IPV4_BITS


def bounds(net: Net) -> tuple[int, int]:
    """Gives first and last address of `net`, whose stored address may be any inside it."""
    size = 1 << (_IPV4_BITS - net.prefix_len)
    first = net.address & ~(size - 1)
    return first, first + size - 1


def _peer_ip(net: Net) -> str | None:
    """The neighbor's address, where the net alone tells it: the odd one of a /31."""
    return dotted(net.address | 1) if net.prefix_len == _POINT_TO_POINT and net.address else None


def overlapping(users: Iterable[User]) -> dict[Pubkey, User]:
    """Gives, for each user whose net overlaps another's, one of those others."""
    users = list(users)
    pairs = {user.tunnel_net.address | 1 for user in users if user.tunnel_net.prefix_len == _POINT_TO_POINT}
    if len(pairs) == len(users):
        return {}  # nothing but /31 nets, each another one: as good as always
    spans = sorted(
        ((*bounds(user.tunnel_net), user) for user in users if _is_tunnel(user.tunnel_net)),
        key=lambda span: span[:2],
    )
    rivals: dict[Pubkey, User] = {}
    reach, holder = -1, None
    for first, last, user in spans:
        if holder is not None and first <= reach:
            rivals[user.pubkey] = holder
            rivals.setdefault(holder.pubkey, user)
        if last > reach:
            reach, holder = last, user
    return rivals


class _NeighborIndex:
    """The IPv4 neighbors of a device by address, over all its VRFs (tunnel addresses are unique)."""

    def __init__(self, neighbors: Iterable[Neighbor]) -> None:
        self._by_address: dict[int, list[Neighbor]] = {}
        for neighbor in neighbors:
            if ":" not in neighbor.address:
                address = int.from_bytes(socket.inet_aton(neighbor.address), "big")
                if address in self._by_address:
                    self._by_address[address].append(neighbor)
                else:
                    self._by_address[address] = [neighbor]
        self._sorted: list[int] | None = None

    def inside(self, net: Net) -> list[Neighbor]:
        """Gives the neighbors inside `net`, its own address left out."""
        if net.prefix_len == _POINT_TO_POINT:
            return self._by_address.get(net.address | 1, [])
        first, last = bounds(net)
        if self._sorted is None:
            self._sorted = sorted(self._by_address)
        found: list[Neighbor] = []
        at = bisect_left(self._sorted, first + 1)
        while at < len(self._sorted) and self._sorted[at] <= last:
            found += self._by_address[self._sorted[at]]
            at += 1
        return found
