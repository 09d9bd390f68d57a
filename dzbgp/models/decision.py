"""What is decided for a user, and what is remembered for the next decision."""

from dataclasses import dataclass
from enum import StrEnum

from solders.pubkey import Pubkey

from dzbgp.models.ledger import BgpStatus
from dzbgp.models.session import Observation


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
