"""What the ledger knows of a device, in the words of an inventory."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from solders.pubkey import Pubkey

from dzbgp.ledger.program.snapshot import Names
from dzbgp.models.ledger import Device

FACTS = (
    "dz_device",
    "code",
    "public_ip",
    "device_type",
    "status",
    "contributor",
    "metro",
    "location",
    "mgmt_vrf",
    "metrics_publisher",
)
"""The keys of a host's data that are the ledger's to say."""

GROUPED = ("contributor", "metro", "location", "status")
"""The facts that make groups: one called `contributor-xyz` for contributor xyz, and so on."""


@dataclass(frozen=True, slots=True)
class Facts:
    """A device as a host: its name, its data, and what its groups say of its metro and location."""

    name: str
    device: Device
    data: Mapping[str, str]
    """By the names of FACTS. The metro is the exchange's code; `dz_device` is the account's key."""
    metro_name: str
    location_name: str
    country: str

    @property
    def code(self) -> str:
        """The device's code."""
        return self.device.code

    @property
    def groups(self) -> list[str]:
        """The names of its groups."""
        return [f"{kind}-{self.data[kind]}" for kind in GROUPED]

    def group_data(self) -> dict[str, dict[str, str]]:
        """Return what each of its groups says, by its name."""
        said = {
            "metro": {"metro_name": self.metro_name},
            "location": {"location_name": self.location_name, "country": self.country},
        }
        return {
            group: {key: text for key, text in said.get(kind, {}).items() if text}
            for kind, group in zip(GROUPED, self.groups, strict=True)
        }


def facts_of(devices: Mapping[Pubkey, Device], names: Names) -> list[Facts]:
    """Return all devices sorted by name. One whose code is missing or not unique is named by its key."""
    codes = Counter(device.code for device in devices.values())
    return sorted(
        (_facts(names, device, unique=codes[device.code] == 1) for device in devices.values()),
        key=lambda facts: facts.name,
    )


def _facts(names: Names, device: Device, *, unique: bool) -> Facts:
    metro, location = names.exchanges.get(device.exchange_pk), names.locations.get(device.location_pk)
    data = {
        "dz_device": str(device.pubkey),
        "code": device.code,
        "public_ip": device.public_ip,
        "device_type": device.device_type.label,
        "status": device.status.label,
        "contributor": names.contributor(device.contributor_pk),
        "metro": names.exchange(device.exchange_pk),
        "location": names.location(device.location_pk),
        "mgmt_vrf": device.mgmt_vrf,
        "metrics_publisher": str(device.metrics_publisher_pk),
    }
    return Facts(
        name=device.code if device.code and unique else str(device.pubkey),
        device=device,
        data=data,
        metro_name=metro.name if metro else "",
        location_name=location.name if location else "",
        country=location.country if location else "",
    )
