"""What is odd across the ledger and, where devices were asked, the fleet.

Pure: no I/O, no clock of its own. A finding is for people: no decision depends on it.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from solders.pubkey import Pubkey

from dzbgp.ledger.program.snapshot import Snapshot
from dzbgp.listing.model import Source
from dzbgp.models.session import DeviceReading


class Severity(StrEnum):
    """ERROR: it cannot work as it is. WARNING: a person should look at it."""

    ERROR = "error"
    WARNING = "warning"


class FindingKind(StrEnum):
    """What is odd."""

    DEVICE_GONE = "device-gone"
    NOT_RENDERED = "not-rendered"
    DUPLICATE_TUNNEL_ID = "duplicate-tunnel-id"
    TUNNEL_OVERLAP = "tunnel-overlap"
    NO_PUBLISHER = "no-publisher"
    PUBLISHER_NOT_HELD = "publisher-not-held"
    OTHER_WRITER = "other-writer"
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
        """The title of its section."""
        return _TITLES[self]


_ERRORS = frozenset(
    {
        FindingKind.DEVICE_GONE,
        FindingKind.NOT_RENDERED,
        FindingKind.DUPLICATE_TUNNEL_ID,
        FindingKind.TUNNEL_OVERLAP,
        FindingKind.NO_PUBLISHER,
    }
)
_TITLES = {
    FindingKind.DEVICE_GONE: "Users whose device does not exist",
    FindingKind.NOT_RENDERED: "Users that the controller renders no neighbor for",
    FindingKind.DUPLICATE_TUNNEL_ID: "Users that share a tunnel_id on their device",
    FindingKind.TUNNEL_OVERLAP: "Users whose tunnel nets overlap",
    FindingKind.NO_PUBLISHER: "Devices without a metrics publisher",
    FindingKind.PUBLISHER_NOT_HELD: "Devices whose publisher's key is not available",
    FindingKind.OTHER_WRITER: "Devices that another writer reports on",
    FindingKind.NEVER_UP: "Activated users that were never Up",
    FindingKind.DOWN_LONG: "Users that have been Down for a long time",
    FindingKind.STALE_REPORT: "Users whose report is stale",
    FindingKind.UNKNOWN_NEIGHBOR: "Neighbors that belong to no user",
    FindingKind.FOREIGN_NEIGHBOR: "Neighbors that belong to a user of another device",
    FindingKind.LEFTOVER_NEIGHBOR: "Neighbors of users that are not activated",
    FindingKind.DEVICE_NOT_READ: "Devices that gave no credible answer",
    FindingKind.HOST_UNMATCHED: "Hosts that are not a device of the ledger",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is odd. `subject` is the key of a user or of a device, a neighbor's address, or a host's name."""

    kind: FindingKind
    subject: str
    device: str | None
    """The code of its device, or the key if the device does not exist."""
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
    """False where a network uses the ranges reserved for documentation, as the lab does."""


@dataclass(frozen=True, slots=True)
class AuditInput:
    """What an audit looks at."""

    snapshot: Snapshot
    rules: AuditRules
    scope: frozenset[Pubkey] | None = None
    """The devices to look at; None: all, and users of devices that do not exist."""
    held: Container[Pubkey] | None = None
    """The keys that can sign here; None: not known."""
    others: Mapping[Pubkey, int] = field(default_factory=dict)
    """By device: how many users another writer reported since dzbgp's last write or pass here."""
    readings: Sequence[DeviceReading] | None = None
    """What the devices answered, with its credibility assessed; None: they were not asked."""

    def covers(self, device: Pubkey) -> bool:
        """Return whether the audit looks at this device."""
        return self.scope is None or device in self.scope


@dataclass(frozen=True, slots=True)
class Audit:
    """The result of an audit; the findings in the order of their kinds, then by device."""

    source: Source
    users: int
    """The number of activated users in scope."""
    devices: int
    devices_read: int | None
    """The number of devices with a credible answer; None: none was asked."""
    findings: tuple[Finding, ...]


def ordered(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Sort by severity and kind, then by device and subject."""
    kinds = list(FindingKind)
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
