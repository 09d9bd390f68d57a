"""What is odd about devices: their publishers and their neighbors."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from solders.pubkey import Pubkey

from dzbgp.console.words import amount
from dzbgp.diagnostics.audit.findings import Audit, AuditInput, Finding, FindingKind, ordered
from dzbgp.diagnostics.audit.tunnels import bounds
from dzbgp.diagnostics.audit.users import active_users, audit_users
from dzbgp.listing.devices import has_publisher
from dzbgp.listing.model import source_of
from dzbgp.models.ledger import Device, DeviceStatus, User, UserStatus
from dzbgp.models.session import DeviceReading, DeviceResult, Neighbor

# The range of users' tunnels. Sessions with other devices and with carriers have other addresses.
_TUNNELS = IPv4Network("169.254.0.0/16")
_IN_SERVICE = frozenset(
    {
        DeviceStatus.ACTIVATED,
        DeviceStatus.DRAINED,
        DeviceStatus.DEVICE_PROVISIONING,
        DeviceStatus.LINK_PROVISIONING,
    }
)
_IPV4_BITS = 32


def audit(evidence: AuditInput) -> Audit:
    """Return everything that is odd."""
    devices = [item for item in evidence.snapshot.data.devices.values() if evidence.covers(item.pubkey)]
    asked = None
    if evidence.readings is not None:
        asked = sum(reading.result is DeviceResult.OK for reading in evidence.readings)
    findings = [*audit_users(evidence), *_audit_publishers(evidence, devices), *_audit_fleet(evidence)]
    return Audit(
        source=source_of(evidence.snapshot, evidence.rules.stale_after_s),
        users=len(active_users(evidence)),
        devices=len(devices),
        devices_read=asked,
        findings=ordered(findings),
    )


def _name(device: Device) -> str:
    return device.code or str(device.pubkey)


def _audit_publishers(evidence: AuditInput, devices: Sequence[Device]) -> Iterator[Finding]:
    """Find devices without a usable publisher, and devices that another writer reports on.

    A missing key counts only for a device of the fleet.
    """
    fleet = {device.pubkey for device in devices}
    if evidence.readings is not None:
        fleet = {reading.device.pubkey for reading in evidence.readings if reading.device}
    waiting: defaultdict[Pubkey, int] = defaultdict(int)
    for user in active_users(evidence):
        waiting[user.device_pk] += 1
    for device in devices:
        if count := evidence.others.get(device.pubkey):
            detail = (
                f"{amount(count, 'user')} reported by another writer since the last write or pass of dzbgp here, with "
                f"the key of {device.metrics_publisher_pk}."
            )
            yield Finding(FindingKind.OTHER_WRITER, str(device.pubkey), _name(device), detail)
        if device.status not in _IN_SERVICE:
            continue
        key, users = str(device.pubkey), amount(waiting[device.pubkey], "activated user")
        publisher = device.metrics_publisher_pk
        if not has_publisher(device):
            who = f"only its owner's key {publisher} can" if publisher == device.owner else "nobody can"
            detail = f"No metrics publisher was ever set for it; {who} report its {users}."
            yield Finding(FindingKind.NO_PUBLISHER, key, _name(device), detail)
        elif evidence.held is not None and publisher not in evidence.held and device.pubkey in fleet:
            detail = f"The key of its metrics publisher {publisher} is not in --keypair; it has {users}."
            yield Finding(FindingKind.PUBLISHER_NOT_HELD, key, _name(device), detail)


def _audit_fleet(evidence: AuditInput) -> Iterator[Finding]:
    """Compare the neighbors that devices show with the users of the ledger."""
    owners = _by_address(evidence.snapshot.data.users)
    for reading in evidence.readings or ():
        device = reading.device
        if reading.result is DeviceResult.UNSUPPORTED:
            continue
        if reading.result is DeviceResult.UNMATCHED or device is None:
            if evidence.scope is None:
                detail = f"It could not be compared: {reading.error or 'it is not a device of the ledger'}."
                yield Finding(FindingKind.HOST_UNMATCHED, reading.host, None, detail)
        elif not evidence.covers(device.pubkey):
            continue
        elif reading.result is not DeviceResult.OK:
            detail = f"Host {reading.host} could not be compared: {reading.error or 'the cause is unknown'}."
            yield Finding(FindingKind.DEVICE_NOT_READ, str(device.pubkey), _name(device), detail)
        else:
            yield from _audit_neighbors(evidence, reading, device, owners)


def _audit_neighbors(
    evidence: AuditInput, reading: DeviceReading, device: Device, owners: Mapping[int, Sequence[User]]
) -> Iterator[Finding]:
    for neighbor in reading.neighbors:
        address = _tunnel_address(neighbor)
        if address is None:
            continue
        users = owners.get(address, ())
        here = [user for user in users if user.device_pk == device.pubkey]
        if any(user.status is UserStatus.ACTIVATED for user in here):
            continue
        shown = f"Neighbor {neighbor.address} in {neighbor.vrf} ({_state(neighbor)})"
        if here:
            kind = FindingKind.LEFTOVER_NEIGHBOR
            detail = f"{shown} belongs to user {here[0].pubkey}, which is {here[0].status.label}."
        elif users:
            other = evidence.snapshot.data.devices.get(users[0].device_pk)
            kind, place = (
                FindingKind.FOREIGN_NEIGHBOR,
                (other.code if other else "") or str(users[0].device_pk),
            )
            detail = f"{shown} belongs to user {users[0].pubkey} of device {place}."
        else:
            kind, detail = FindingKind.UNKNOWN_NEIGHBOR, f"{shown} belongs to no user of the ledger."
        yield Finding(kind, neighbor.address, _name(device), detail)


def _by_address(users: Mapping[Pubkey, User]) -> dict[int, list[User]]:
    """Return the users by every address that their neighbor can have, for tunnels of a plausible size."""
    owners: defaultdict[int, list[User]] = defaultdict(list)
    for user in users.values():
        net = user.tunnel_net
        if _TUNNELS.prefixlen <= net.prefix_len < _IPV4_BITS:
            first, last = bounds(net)
            for address in range(first + 1, last + 1):
                owners[address].append(user)
    return owners


def _tunnel_address(neighbor: Neighbor) -> int | None:
    try:
        address = IPv4Address(neighbor.address)
    except AddressValueError:
        return None
    return int(address) if address in _TUNNELS else None


def _state(neighbor: Neighbor) -> str:
    return "Established" if neighbor.is_up else "not Established" if neighbor.is_enabled else "shut down"
