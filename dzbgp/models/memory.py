"""What is remembered of a user from one pass to the next."""

import msgspec
from solders.pubkey import Pubkey

from dzbgp.models.ledger import BgpStatus


class UserMemory(msgspec.Struct, frozen=True, gc=False):
    """What is remembered of a user from one pass to the next. Times are Unix seconds."""

    device: Pubkey
    seen_at: float
    """When the user's session was last observed; before `is_observed`, when the user was first found."""
    up: bool
    """What was observed then; before `is_observed` it says nothing."""
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
    """That write was a Down that counts for nothing in the guard (Decision.is_acknowledged)."""
    first_seen_at: float | None = None
    """When the user was first found on the ledger, on this device; None: before that was noted. Later than that if the
    clock was set back before its first report."""
    reported_slot: int | None = None
    """The slot of the last report, whoever made it, that the last pass found onchain."""
    account: str | None = None
    """What tells an account that was never reported from one that is made again at its key; None: it was not noted."""

    @property
    def is_slot_unknown(self) -> bool:
        """Whether the last write was noted as landed, and its slot was not: its run was killed before that."""
        return self.written_at is not None and self.written_slot is None

    @property
    def is_observed(self) -> bool:
        """Whether the session was ever observed; else only the user was seen on the ledger."""
        return self.up or self.last_up_at is not None or self.down_since is not None
