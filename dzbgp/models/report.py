"""What became of a pass and of its writes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from solders.pubkey import Pubkey

from dzbgp.models.decision import Decision, UserMemory
from dzbgp.models.ledger import NOMINAL_SECONDS_PER_SLOT, BgpStatus
from dzbgp.models.session import DeviceReading


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
