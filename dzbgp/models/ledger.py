"""What is read from the ledger: small frozen records that every layer uses.

Units: slots and lamports are plain integers, `_ns` is nanoseconds, `_s` is seconds. Addresses are dotted
strings, as devices and people write them; account keys are solders' `Pubkey`.
"""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import NamedTuple, Self

import msgspec
from solders.pubkey import Pubkey

LAMPORTS_PER_SOL = 1_000_000_000
NOMINAL_SECONDS_PER_SLOT = 0.4
"""Solana's slot time, for a cluster without samples of its own."""


class OpenEnum(IntEnum):
    """A u8 of the program. An unknown value is kept and named `unknown-<n>`."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, int):
            return None
        member = int.__new__(cls, value)
        member._name_ = f"UNKNOWN_{value}"
        member._value_ = value
        # dict.setdefault is atomic: two threads that meet a new value get the same member.
        known: Self = cls._value2member_map_.setdefault(value, member)  # type: ignore[assignment]
        return known

    @property
    def label(self) -> str:
        """Return the name as reports and the command line print it."""
        return self.name.lower().replace("_", "-")


class UserType(OpenEnum):
    """What a user bought."""

    IBRL = 0
    IBRL_WITH_ALLOCATED_IP = 1
    EDGE_FILTERING = 2
    MULTICAST = 3


class UserStatus(OpenEnum):
    """Where a user is in its life; only ACTIVATED users are ever written."""

    PENDING = 0
    ACTIVATED = 1
    SUSPENDED = 2
    DELETING = 3
    REJECTED = 4
    PENDING_BAN = 5
    BANNED = 6
    UPDATING = 7
    OUT_OF_CREDITS = 8


class CyoaType(OpenEnum):
    """How a user's tunnel reaches the device."""

    NONE = 0
    GRE_OVER_DIA = 1
    GRE_OVER_FABRIC = 2
    GRE_OVER_PRIVATE_PEERING = 3
    GRE_OVER_PUBLIC_PEERING = 4
    GRE_OVER_CABLE = 5


class DeviceStatus(OpenEnum):
    """Where a device is in its life."""

    PENDING = 0
    ACTIVATED = 1
    DELETING = 3
    REJECTED = 4
    DRAINED = 5
    DEVICE_PROVISIONING = 6
    LINK_PROVISIONING = 7


class DeviceType(OpenEnum):
    """What a device does."""

    HYBRID = 0
    TRANSIT = 1
    EDGE = 2


class BgpStatus(OpenEnum):
    """The status of a user's BGP session onchain. UNKNOWN: never reported."""

    UNKNOWN = 0
    UP = 1
    DOWN = 2


class Net(NamedTuple):
    """An IPv4 network as the program stores it: the address as an integer, and the prefix length."""

    address: int
    prefix_len: int

    def __str__(self) -> str:
        return f"{dotted(self.address)}/{self.prefix_len}"


def dotted(address: int) -> str:
    """Return an IPv4 address, given as an integer, in dotted form."""
    return socket.inet_ntoa(address.to_bytes(4, "big"))


@dataclass(frozen=True, slots=True)
class Account:
    """An account of the ledger."""

    pubkey: Pubkey
    data: bytes
    lamports: int


@dataclass(frozen=True, slots=True)
class Sighting:
    """A slot of the ledger, and when it was read, in Unix seconds."""

    slot: int
    at: float
    """By this machine's clock."""
    ledger_at: float | None = None
    """By the ledger's own clock; None where there is no Clock sysvar."""


class User(msgspec.Struct, frozen=True, gc=False):
    """A user's account. Slots are those of the ledger; `bgp_rtt_ns` 0 means that there was no sample."""

    pubkey: Pubkey
    owner: Pubkey
    index: int
    bump_seed: int
    user_type: UserType
    tenant_pk: Pubkey
    device_pk: Pubkey
    cyoa_type: CyoaType
    client_ip: str
    dz_ip: str
    tunnel_id: int
    tunnel_net: Net
    status: UserStatus
    publishers: tuple[Pubkey, ...]
    subscribers: tuple[Pubkey, ...]
    validator_pubkey: Pubkey
    tunnel_endpoint: str
    tunnel_flags: int
    bgp_status: BgpStatus
    last_bgp_up_at: int
    last_bgp_reported_at: int
    bgp_rtt_ns: int
    feed_pks: tuple[Pubkey, ...]
    data_len: int
    """Length of the account's data in bytes; the growth that the publisher pays rent for follows from it."""
    lamports: int


@dataclass(frozen=True, slots=True)
class Device:
    """The fields that are used of a device's account."""

    pubkey: Pubkey
    owner: Pubkey
    location_pk: Pubkey
    exchange_pk: Pubkey
    device_type: DeviceType
    public_ip: str
    status: DeviceStatus
    code: str
    dz_prefixes: tuple[Net, ...]
    metrics_publisher_pk: Pubkey
    contributor_pk: Pubkey
    mgmt_vrf: str


@dataclass(frozen=True, slots=True)
class Tenant:
    """The fields that are used of a tenant's account."""

    pubkey: Pubkey
    code: str
    vrf_id: int


@dataclass(frozen=True, slots=True)
class SkippedAccount:
    """An account that could not be decoded, and why."""

    pubkey: Pubkey
    kind: str
    """`user`, `device` or `tenant`."""
    why: str
    device: Pubkey | None = None
    """The device of a user: its place in the account is fixed, so it is known even here."""

    def __str__(self) -> str:
        return f"{self.kind} account {self.pubkey} could not be read and was skipped: {self.why}"


@dataclass(frozen=True, slots=True)
class ProgramData:
    """The program's accounts at one moment. Immutable, so threads may share it."""

    slot: int
    """The oldest slot among the answers that it was assembled from."""
    fetched_at: datetime
    users: Mapping[Pubkey, User]
    devices: Mapping[Pubkey, Device]
    tenants: Mapping[Pubkey, Tenant]
    seconds_per_slot: float = NOMINAL_SECONDS_PER_SLOT
    """The cluster's own recent rate."""
    skipped: tuple[SkippedAccount, ...] = ()
    """The accounts that could not be decoded."""
    scope: frozenset[Pubkey] | None = None
    """The devices whose users were read; None: all devices."""
    remarks: tuple[str, ...] = ()
    """What else a person should know about this reading, as sentences."""
    ledger_at: float | None = None
    """The ledger's Unix time when it was read; None without a Clock sysvar, or if no RPC was believed."""
    doubt: str = ""
    """Why no RPC was believed: then this is for reading only, and nothing may be written because of it."""
    newest_slot: int | None = None
    """The newest slot among those answers; None: `slot`."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Everything that a person should know about this reading, as sentences."""
        return (*map(str, self.skipped), *self.remarks)


@dataclass(frozen=True, slots=True)
class Location:
    """The fields that are used of a location's account: where devices are."""

    pubkey: Pubkey
    code: str
    name: str
    country: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """The fields that are used of an exchange's account: the metro that devices serve."""

    pubkey: Pubkey
    code: str
    name: str


@dataclass(frozen=True, slots=True)
class Contributor:
    """The fields that are used of a contributor's account: the owner of devices."""

    pubkey: Pubkey
    code: str


@dataclass(frozen=True, slots=True)
class MulticastGroup:
    """The fields that are used of a multicast group's account."""

    pubkey: Pubkey
    code: str
