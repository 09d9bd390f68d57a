"""What is decided for a user, and what is remembered for the next decision."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from solders.pubkey import Pubkey

from dzbgp.models.ledger import BgpStatus
from dzbgp.models.session import Look, Observation


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
    """How many passes in a row, far enough apart to count, the guard has held this user's Down."""
    held_since: float | None = None
    """When the first of them was."""
    held_at: float | None = None
    """When the last of them was."""
    written_at: float | None = None
    written_slot: int | None = None
    """The slot of our own last write that landed."""
    written_status: BgpStatus | None = None
    written_acknowledged: bool = False
    """That write was a Down that the guard would have held, let through by --force or by the passes in a row."""
    first_seen_at: float | None = None
    """When the user was first found on the ledger, on this device; None: before that was noted."""
    reported_slot: int | None = None
    """The slot of the last report, whoever made it, that the last pass found onchain."""

    @property
    def is_observed(self) -> bool:
        """Whether the session was ever observed; else only the user was seen on the ledger."""
        return self.up or self.last_up_at is not None or self.down_since is not None


class Action(StrEnum):
    """What is to be done about a user."""

    SUBMIT = "submit"
    SKIP = "skip"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to write about one user, if anything; why, in one word and in one sentence; and what that rests on."""

    observation: Observation
    action: Action
    status: BgpStatus | None
    reason: str
    detail: str
    rtt_ns: int = 0
    look: Look | None = None
    """The look at the device that the observation is from."""
    memory: UserMemory | None = None
    """What is remembered of the user after that look."""
    is_early: bool = False
    """A refresh before it is due, because a transaction has room for it."""
    is_acknowledged: bool = False
    """A Down that counts for nothing in later passes of the guard: it was let through, or turned no Up into a Down."""

    @property
    def user(self) -> Pubkey:
        """The key of the user that this is about."""
        return self.observation.user.pubkey

    @property
    def publisher(self) -> Pubkey:
        """The key that signs and pays for a write of this user."""
        return self.observation.device.metrics_publisher_pk

    @property
    def is_write(self) -> bool:
        """Whether something is to be written."""
        return self.action is Action.SUBMIT

    @property
    def turns_down(self) -> bool:
        """Whether an Up would turn into a Down."""
        return (
            self.is_write
            and self.status is BgpStatus.DOWN
            and self.observation.user.bgp_status is BgpStatus.UP
        )


Decisions = Mapping[Pubkey, Decision]
"""By user: what flows from stage to stage of a pass. Each stage returns a new one."""
