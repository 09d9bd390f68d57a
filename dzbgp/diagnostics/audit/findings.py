"""What is odd across the ledger and, where devices were asked, the fleet.

Pure: no I/O, no clock of its own. Nothing here is written anywhere: a finding is for a person to look at.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from enum import StrEnum

from solders.pubkey import Pubkey

from dzbgp.ledger.program.snapshot import Snapshot
from dzbgp.listing.model import Source
from dzbgp.models.session import DeviceReading


class Severity(StrEnum):
    """ERROR: something can't work as it is. WARNING: somebody should look."""

    ERROR = "error"
    WARNING = "warning"


class Kind(StrEnum):
    """What is odd."""

    DEVICE_GONE = "device-gone"
    NOT_RENDERED = "not-rendered"
    DUPLICATE_TUNNEL_ID = "duplicate-tunnel-id"
    TUNNEL_OVERLAP = "tunnel-overlap"
    NO_PUBLISHER = "no-publisher"
    PUBLISHER_NOT_HELD = "publisher-not-held"
    NEVER_UP = "never-up"
    DOWN_LONG = "down-long"
    STALE_REPORT = "stale-report"
    UNKNOWN_NEIGHBOR = "unknown-neighbor"
    FOREIGN_NEIGHBOR = "foreign-neighbor"
    LEFTOVER_NEIGHBOR = "leftover-neighbor"
    DEVICE_NOT_READ = "device-not-read"
    HOST_UNMATCHED = "host-unmatched"

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return Severity.ERROR if self in _ERRORS else Severity.WARNING

    @property
    def words(self) -> str:
        """What is odd, in words."""
        return _TITLES[self]


_ERRORS = frozenset(
    {
        Kind.DEVICE_GONE,
        Kind.NOT_RENDERED,
        Kind.DUPLICATE_TUNNEL_ID,
        Kind.TUNNEL_OVERLAP,
        Kind.NO_PUBLISHER,
    }
)
_TITLES = {
    Kind.DEVICE_GONE: "Users whose device is gone",
    Kind.NOT_RENDERED: "Users that the controller renders no neighbor for",
    Kind.DUPLICATE_TUNNEL_ID: "Users that share a tunnel_id on their device",
    Kind.TUNNEL_OVERLAP: "Users whose tunnel nets overlap",
    Kind.NO_PUBLISHER: "Devices without a metrics publisher",
    Kind.PUBLISHER_NOT_HELD: "Devices whose publisher's key is not here",
    Kind.NEVER_UP: "Activated users that were never Up",
    Kind.DOWN_LONG: "Users that have been Down for long",
    Kind.STALE_REPORT: "Users whose report is stale",
    Kind.UNKNOWN_NEIGHBOR: "Neighbors that belong to no user",
    Kind.FOREIGN_NEIGHBOR: "Neighbors that belong to a user of another device",
    Kind.LEFTOVER_NEIGHBOR: "Neighbors of users that are not activated",
    Kind.DEVICE_NOT_READ: "Devices that gave no credible answer",
    Kind.HOST_UNMATCHED: "Hosts that are no device of the ledger",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One odd thing. `subject` is the key of a user or of a device, a neighbor's address, or a host's name."""

    kind: Kind
    subject: str
    device: str | None
    """The code of the device that it is about; one that is gone goes by its key."""
    detail: str
    """One sentence."""

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return self.kind.severity


@dataclass(frozen=True, slots=True)
class AuditRules:
    """What counts as odd. Durations in seconds."""

    down_for_s: float = 24 * 3600
    stale_after_s: float = 12 * 3600
    documentation_is_martian: bool = True
    """False where networks are made up of the ranges for documentation, as those of a lab are."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that an audit looks at."""

    snapshot: Snapshot
    rules: AuditRules
    scope: frozenset[Pubkey] | None = None
    """The devices that it is about; None: all, and users of devices that are gone."""
    held: Container[Pubkey] | None = None
    """The keys that we can sign with; None: not known."""
    readings: Sequence[DeviceReading] | None = None
    """What the fleet's devices answered, judged; None: they were not asked."""

    def covers(self, device: Pubkey) -> bool:
        """Tells whether the audit is about a device."""
        return self.scope is None or device in self.scope


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit found; the findings in the order of their kinds, then by device."""

    source: Source
    users: int
    """How many activated users were looked at."""
    devices: int
    devices_read: int | None
    """How many devices gave a credible answer; None: none was asked."""
    findings: tuple[Finding, ...]


def ordered(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Sorts by severity and kind, then by device and subject."""
    kinds = list(Kind)
    return tuple(
        sorted(
            findings,
            key=lambda item: (
                item.severity is not Severity.ERROR,
                kinds.index(item.kind),
                item.device or "",
                item.subject,
            ),
        )
    )
