"""Writes that were sent and whose fate is not known yet: one record for submission, state and run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from solders.pubkey import Pubkey

from dzbgp.models.ledger import BgpStatus


@dataclass(frozen=True, slots=True)
class InFlight:
    """A transaction that was sent. It takes effect for all of its users or for none."""

    signature: str
    """Base58."""
    last_valid_block_height: int
    """It cannot land in a later block."""
    users: Mapping[Pubkey, BgpStatus]
    """The status that it writes for each user."""
    since_slot: int = 0
    """It can only land after this slot, the one of its blockhash. 0: not known."""
    sent_at: float = 0.0
    """Unix seconds. 0: not known."""


class Fate(StrEnum):
    """The fate of a transaction. The words are those of the state file and the log."""

    PENDING = "pending"
    """It may still land."""
    CONFIRMED = "confirmed"
    """It landed; a fork may still undo it."""
    FINALIZED = "finalized"
    """It landed for good."""
    REJECTED = "rejected"
    """It landed and failed: it only cost its fee."""
    REFUSED = "refused"
    """The node did not accept it, so it was never sent on."""
    EXPIRED = "expired"
    """It cannot land any more, and it did not."""

    @property
    def has_landed(self) -> bool:
        """Whether the users' accounts were written."""
        return self in {Fate.CONFIRMED, Fate.FINALIZED}

    @property
    def is_final(self) -> bool:
        """Whether nothing can change it any more."""
        return self not in {Fate.PENDING, Fate.CONFIRMED}


@dataclass(frozen=True, slots=True)
class Settled:
    """What the ledger says about a transaction that an earlier pass left in flight."""

    fate: Fate
    landed: Mapping[Pubkey, int] = field(default_factory=dict)
    """The users whose accounts it wrote, and the slot in which."""
