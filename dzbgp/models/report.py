"""The result of a pass and of its writes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from solders.pubkey import Pubkey

from dzbgp.errors import ExitCode
from dzbgp.models.decision import Decision, UserMemory
from dzbgp.models.ledger import NOMINAL_SECONDS_PER_SLOT, BgpStatus, SkippedAccount
from dzbgp.models.session import DeviceReading


class Outcome(StrEnum):
    """The outcome of a write."""

    CONFIRMED = "confirmed"
    FINALIZED = "finalized"
    FAILED = "failed"
    PENDING = "pending"


@dataclass(frozen=True, slots=True)
class Submission:
    """The outcome of the write of one user. PENDING: it was sent, and whether it landed is unknown."""

    user: Pubkey
    outcome: Outcome
    signature: str | None = None
    error: str | None = None
    slot: int | None = None
    seconds: float | None = None
    """Seconds from the first signature until its outcome was known or the wait ended; None: never signed."""
    status: BgpStatus | None = None
    """What was to be written; a later decision about the user may differ."""


class ExitReason(StrEnum):
    """Why the exit code of a pass is not 0."""

    HELD = "held"
    DEVICES_FAILED = "devices-failed"
    HOSTS_UNMATCHED = "hosts-unmatched"
    ACCOUNTS_SKIPPED = "accounts-skipped"
    NOT_WRITTEN = "not-written"
    LEDGER_NOT_BELIEVED = "ledger-not-believed"
    WRITES_FAILED = "writes-failed"
    WRITES_PENDING = "writes-pending"
    INTERRUPTED = "interrupted"
    NOT_DELIVERED = "not-delivered"
    CHANGES_PENDING = "changes-pending"

    @property
    def code(self) -> ExitCode:
        """The exit code that it leads to."""
        codes = {ExitReason.HELD: ExitCode.HELD, ExitReason.CHANGES_PENDING: ExitCode.CHANGES_PENDING}
        return codes.get(self, ExitCode.PARTIAL)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a write that was decided was not signed after all."""

    reason: str
    """A reason word of docs/decisions.md."""
    detail: str
    """The cause, as part of a sentence."""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that one pass found and did; each format of dzbgp/report prints this only."""

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
    """The cluster's own recent rate, which turns slots into seconds."""
    transitions: Mapping[Pubkey, int] = field(default_factory=dict)
    """How often each user's session went up or down within the flap window; users with 0 may be left out."""
    memories: Mapping[Pubkey, UserMemory] = field(default_factory=dict)
    """What is remembered, this pass included, of users with transitions or an action; of other users it is left out."""
    skipped_accounts: tuple[SkippedAccount, ...] = ()
    signals_changes: bool = False
    """A dry run with something to write exits with CHANGES_PENDING (--exit-code)."""
    is_interrupted: bool = False
    """A signal ended the pass before all its writes were sent and confirmed."""
    is_ledger_believed: bool = True
    """Whether an RPC was found whose ledger moves and is not behind: else even what is unchanged may not be so."""
    notes: tuple[str, ...] = ()
    """Sentences for a person: hosts ignored, low balances and the like."""

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON report's document, schema_version 1."""
        from dzbgp.models.document import document  # noqa: PLC0415 - it reads reports

        return document(self)
