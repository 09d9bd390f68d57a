"""What was read of a device, and what it says of each user."""

from dataclasses import dataclass
from enum import StrEnum

import msgspec

from dzbgp.models.ledger import Device, User
from dzbgp.models.moment import Moment


class Neighbor(msgspec.Struct, frozen=True, gc=False):
    """One BGP neighbor of a device, in whatever VRF."""

    address: str
    vrf: str
    is_up: bool
    is_enabled: bool
    uptime_s: int
    """-1 while the session is not Established."""
    description: str = ""
    """As configured: USER-<tunnel_id> for a neighbor that the controller rendered."""
    rtt_ns: int = 0
    """The smoothed RTT of its TCP connection, from the same answer as `is_up`; 0 without a sample."""
    odd: str = ""
    """Why the device's entry cannot be parsed, as part of a sentence: then nothing else but address and VRF
    is known, and `is_up` says nothing."""


@dataclass(frozen=True, slots=True)
class Vrf:
    """A VRF of a device that runs BGP. `name` is EOS's own: the default VRF is `default`."""

    name: str
    router_id: str
    is_shown: bool = True
    """False: the answer lists some neighbors of this VRF at best, so that absence from it proves nothing."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a device shows of BGP at one look."""

    vrfs: tuple[Vrf, ...] = ()
    neighbors: tuple[Neighbor, ...] = ()
    notes: tuple[str, ...] = ()
    """What could not be understood, each with its VRF and neighbor."""


@dataclass(frozen=True, slots=True)
class Look:
    """When a device was asked: whatever was reported after `slot` is newer than what the device said."""

    slot: int
    """Asked of the ledger before the device was."""
    at: Moment
    """Taken before the slot was asked."""
    ledger_at: float | None = None
    """The ledger's own Unix time in that slot, where it has a Clock sysvar."""


class DeviceResult(StrEnum):
    """The result of reading a host."""

    OK = "ok"
    FAILED = "failed"
    UNMATCHED = "unmatched"
    SUSPECT = "suspect"
    UNSUPPORTED = "unsupported"
    """A host of another platform, which was not asked."""


@dataclass(frozen=True, slots=True)
class DeviceReading:
    """What one host answered."""

    host: str
    result: DeviceResult
    device: Device | None = None
    error: str | None = None
    vrfs: tuple[Vrf, ...] = ()
    neighbors: tuple[Neighbor, ...] = ()
    notes: tuple[str, ...] = ()
    """What could not be understood in the answer, each with its VRF and neighbor."""
    is_late: bool = False
    """It failed because it did not answer within the time that a look has."""


class Observed(StrEnum):
    """What was seen of a user's session on its device."""

    ESTABLISHED = "established"
    NOT_ESTABLISHED = "not_established"
    ABSENT = "absent"
    UNKNOWN = "unknown"


class Observation(msgspec.Struct, frozen=True, gc=False):
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
    in_empty_vrf: bool = False
    """For ABSENT: the device shows no peer at all in the user's VRF, as if its answer were incomplete."""
