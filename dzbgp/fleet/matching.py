"""Which device of the ledger a host of an inventory is: one rule for runs and for inventory files."""

import ipaddress
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from dzbgp.models.ledger import Device, DeviceStatus

_GONE = frozenset({DeviceStatus.PENDING, DeviceStatus.REJECTED, DeviceStatus.DELETING})
"""A device that was registered again has a second account, with the same code and address."""


@dataclass(frozen=True, slots=True)
class Match:
    """The device that a host is; else why there is none."""

    device: Device | None = None
    rivals: tuple[Device, ...] = ()
    """The devices of which it may be any."""
    error: str = "no device of the ledger matches this host (dz_device, host name or hostname)"

    @property
    def candidates(self) -> tuple[Device, ...]:
        """The devices that the host may be."""
        return (self.device,) if self.device else self.rivals


class Matcher:
    """Finds the devices of hosts.

    A host names its device by `dz_device` (key or code), else by being called as the device's code or key, with or
    without a domain behind it, else by its hostname being the device's public_ip.
    """

    def __init__(self, devices: Iterable[Device]) -> None:
        self._by_key: dict[str, Device] = {}
        self._by_code: dict[str, list[Device]] = defaultdict(list)
        self._by_address: dict[str, list[Device]] = defaultdict(list)
        for device in devices:
            self._by_key[str(device.pubkey)] = device
            if device.status not in _GONE:
                self._by_code[device.code].append(device)
                self._by_address[device.public_ip].append(device)

    def find(self, name: str, named: object = None, hostname: str | None = None) -> Match:
        """Return the device of the host called `name`, whose data has `named` as dz_device."""
        if named is not None:
            return self._called(str(named)) or Match()
        short = _without_domain(name)
        found = self._called(name) or (self._called(short) if short else None)
        return found or _only(self._by_address.get(hostname or "", ())) or Match()

    def _called(self, name: str) -> Match | None:
        device = self._by_key.get(name)
        return Match(device) if device else _only(self._by_code.get(name, ()))


def _only(devices: Iterable[Device]) -> Match | None:
    found = tuple(devices)
    if len(found) > 1:
        keys = " and ".join(sorted(str(device.pubkey) for device in found))
        return Match(
            rivals=found,
            error=f"it may be any of the devices {keys}, which share a code or address; expected dz_device to be "
            "the key of one",
        )
    return Match(found[0]) if found else None


def _without_domain(name: str) -> str:
    """Return the name without its domain; nothing for an address or a name that has none."""
    short, _, domain = name.partition(".")
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return short if domain else ""
    return ""
