"""What is decided for a user, and what is remembered for the next decision."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec
from solders.pubkey import Pubkey

from dzbgp.models.ledger import BgpStatus
from dzbgp.models.memory import UserMemory
from dzbgp.models.session import Look, Observation


class Action(StrEnum):
    """What is to be done about a user."""

    SUBMIT = "submit"
    SKIP = "skip"
    HOLD = "hold"


class Decision(msgspec.Struct, frozen=True, gc=False):
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
    """A Down that counts for nothing in later passes of the guard: it was let through, its device is drained, or it
    turned no Up into a Down."""

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
