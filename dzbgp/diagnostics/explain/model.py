"""All that is known of one user."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from dzbgp.diagnostics.audit.findings import Finding
from dzbgp.eos.details import NeighborDetails
from dzbgp.ledger.program.snapshot import Snapshot
from dzbgp.models.decision import Decision
from dzbgp.models.ledger import Device, User
from dzbgp.models.memory import UserMemory
from dzbgp.models.session import DeviceReading
from dzbgp.state.records import SentWrite, Transition


@dataclass(frozen=True, slots=True)
class UserHistory:
    """What the state file remembers of a user."""

    path: str
    memory: UserMemory | None = None
    transitions: Sequence[Transition] = ()
    """Oldest first."""
    writes: Sequence[SentWrite] = ()
    """Oldest first."""


@dataclass(frozen=True, slots=True)
class DeviceNow:
    """What the user's device says now, and what a run would do."""

    host: str
    reading: DeviceReading | None
    decision: Decision | None
    """None: the user is not activated, so no run decides about it."""
    details: NeighborDetails | None = None
    details_error: str = ""
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """One user, with everything that is known of it."""

    snapshot: Snapshot
    user: User
    device: Device | None
    tenant: str
    """Its code or key; empty: none."""
    vrf: str | None
    findings: Sequence[Finding]
    past: UserHistory | None = None
    """None: there is no state file."""
    answer: DeviceNow | None = None
    """None: without an inventory, or without a host for the device."""
    asked: str = ""
    """Why no device was asked."""
    remedies: Sequence[str] = field(default_factory=tuple)
