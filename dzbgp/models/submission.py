"""The outcome of a write, or why it was not signed."""

from dataclasses import dataclass
from enum import StrEnum

from solders.pubkey import Pubkey

from dzbgp.models.ledger import BgpStatus


class Outcome(StrEnum):
    """The outcome of a write."""

    CONFIRMED = "confirmed"
    FINALIZED = "finalized"
    FAILED = "failed"
    PENDING = "pending"


LANDED = frozenset({Outcome.CONFIRMED, Outcome.FINALIZED})


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


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a write that was decided was not signed after all."""

    reason: str
    """A reason word of docs/decisions.md."""
    detail: str
    """The cause, as part of a sentence."""
