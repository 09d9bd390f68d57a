"""The nouns of the whole program: small frozen records that every layer passes on.

Units: slots and lamports are plain integers, `_ns` is nanoseconds, `_s` is seconds. Addresses are dotted
strings, as devices and people write them; account keys are solders' `Pubkey`.
"""

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import NamedTuple, Self

from solders.pubkey import Pubkey

NOMINAL_SECONDS_PER_SLOT = 0.4
"""Solana's slot time, for a cluster that keeps no samples of its own."""


class OpenEnum(IntEnum):
    """A u8 of the program. A value that this version does not know is kept and named `unknown-<n>`."""

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
        """The name as the command line and the reports print it."""
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
    """What is written onchain about a user's BGP session. UNKNOWN: nothing was ever reported."""

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
    """An IPv4 address, given as an integer, in dotted form."""
    return socket.inet_ntoa(address.to_bytes(4, "big"))


@dataclass(frozen=True, slots=True)
class Account:
    """An account as it was read."""

    pubkey: Pubkey
    data: bytes
    lamports: int


@dataclass(frozen=True, slots=True)
class User:
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
    """What is needed of a device's account."""

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
    """What is needed of a tenant's account."""

    pubkey: Pubkey
    code: str
    vrf_id: int


@dataclass(frozen=True, slots=True)
class ProgramData:
    """One reading of the program's accounts. Never changed after it was made, so threads may share it."""

    slot: int
    """The oldest slot among the answers that it was put together from."""
    fetched_at: datetime
    users: Mapping[Pubkey, User]
    devices: Mapping[Pubkey, Device]
    tenants: Mapping[Pubkey, Tenant]
    seconds_per_slot: float = NOMINAL_SECONDS_PER_SLOT
    """The cluster's own recent rate."""
    skipped: tuple[str, ...] = ()
    """One sentence for every account that could not be read."""
    scope: frozenset[Pubkey] | None = None
    """The devices whose users these are; None: all of them."""
    newest_slot: int | None = None
    """The newest slot among those answers; None: `slot`."""


@dataclass(frozen=True, slots=True)
class Neighbor:
    """One BGP neighbor as NAPALM's get_bgp_neighbors tells it, of whatever VRF."""

    address: str
    vrf: str
    is_up: bool
    is_enabled: bool
    uptime_s: int
    """-1 while the session is not Established."""


@dataclass(frozen=True, slots=True)
class Vrf:
    """A VRF of a device that runs BGP. `name` is EOS's own: the default VRF is `default`."""

    name: str
    router_id: str


class DeviceResult(StrEnum):
    """What became of reading a host."""

    OK = "ok"
    FAILED = "failed"
    UNMATCHED = "unmatched"
    SUSPECT = "suspect"


@dataclass(frozen=True, slots=True)
class DeviceReading:
    """What one host answered."""

    host: str
    result: DeviceResult
    device: Device | None = None
    error: str | None = None
    vrfs: tuple[Vrf, ...] = ()
    neighbors: tuple[Neighbor, ...] = ()


class Observed(StrEnum):
    """What was seen of a user's session on its device."""

    ESTABLISHED = "established"
    NOT_ESTABLISHED = "not_established"
    ABSENT = "absent"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen of one user on the one host that is its device."""

    user: User
    device: Device
    host: str
    observed: Observed
    vrf: str | None = None
    """The VRF that the user belongs to."""
    peer_ip: str | None = None
    """The neighbor's address; what it would be when no neighbor was found; None when it can't be told."""
    why: str = ""
    """For UNKNOWN and NOT_ESTABLISHED: what is known of the cause, as part of a sentence."""
    reason: str = "unknown"
    """For UNKNOWN: the reason word."""
    neighbor: Neighbor | None = None


@dataclass(frozen=True, slots=True)
class UserMemory:
    """What is remembered of a user from one pass to the next. Times are Unix seconds."""

    device: Pubkey
    seen_at: float
    """When the user's session was last observed at all."""
    up: bool
    """What was observed then."""
    last_up_at: float | None = None
    down_since: float | None = None
    transitions: tuple[float, ...] = ()
    """When the session was seen to go up or down, oldest first."""
    held_passes: int = 0
    """How many passes in a row the guard has held this user's Down."""
    written_at: float | None = None
    written_slot: int | None = None
    """The slot of our own last write that landed."""
    written_status: BgpStatus | None = None
    written_acknowledged: bool = False
    """That write was a Down that the guard would have held, let through by --force or by the passes in a row."""


class Action(StrEnum):
    """What is to be done about a user."""

    SUBMIT = "submit"
    SKIP = "skip"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict on one user: what to write, if anything, and why, in one word and in one sentence."""

    observation: Observation
    action: Action
    status: BgpStatus | None
    reason: str
    detail: str
    rtt_ns: int = 0


class Outcome(StrEnum):
    """What became of a submission."""

    CONFIRMED = "confirmed"
    FINALIZED = "finalized"
    FAILED = "failed"
    PENDING = "pending"


@dataclass(frozen=True, slots=True)
class Submission:
    """What became of the write of one user. PENDING: it was sent and its fate is not known."""

    user: Pubkey
    outcome: Outcome
    signature: str | None = None
    error: str | None = None
    slot: int | None = None
    seconds: float | None = None
    """From the first signature until its fate was known, or nobody waited any longer; None: never signed."""
    status: BgpStatus | None = None
    """What was to be written, which a later decision about the user may no longer say."""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that one pass found and did; each format of dzbgp/report prints this and nothing else."""

    dry_run: bool
    env: str
    program_id: str
    slot: int
    started_at: datetime
    duration_s: float
    devices: tuple[DeviceReading, ...]
    decisions: tuple[Decision, ...]
    submissions: dict[Pubkey, Submission] = field(default_factory=dict)
    transactions: int = 0
    rpc_requests: int = 0
    seconds_per_slot: float = NOMINAL_SECONDS_PER_SLOT
    """The cluster's own recent rate: what an age in slots is in seconds."""
    transitions: Mapping[Pubkey, int] = field(default_factory=dict)
    """How often each user's session went up or down within the flap window; who never did may be left out."""
    memories: Mapping[Pubkey, UserMemory] = field(default_factory=dict)
    """What is remembered, this pass included, of the users with transitions or something to do; that of others is not
    kept.
    """
    notes: tuple[str, ...] = ()
    """Sentences that a person should read: accounts skipped, hosts ignored, low balances."""


@dataclass(frozen=True, slots=True)
class Location:
    """What is needed of a location's account: where devices stand."""

    pubkey: Pubkey
    code: str
    name: str
    country: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """What is needed of an exchange's account: the metro that devices serve."""

    pubkey: Pubkey
    code: str
    name: str


@dataclass(frozen=True, slots=True)
class Contributor:
    """What is needed of a contributor's account: who owns devices."""

    pubkey: Pubkey
    code: str


@dataclass(frozen=True, slots=True)
class MulticastGroup:
    """What is needed of a multicast group's account."""

    pubkey: Pubkey
    code: str
