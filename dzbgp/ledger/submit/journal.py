"""What is told of transactions while they are under way, so that it can outlive the process."""

from collections.abc import Mapping
from typing import Protocol

from solders.pubkey import Pubkey

from dzbgp.models.ledger import BgpStatus


class Journal(Protocol):
    """Is told of every transaction, in the ledger's own thread. Must not raise."""

    def sent(self, signature: str, last_valid_block_height: int, users: Mapping[Pubkey, BgpStatus]) -> None:
        """A transaction is about to be sent: from here on it may land."""

    def ended(self, signature: str, outcome: str) -> None:
        """Its fate is known: an Outcome's value, `rejected`, `expired`, or `refused` by the node."""


class NoJournal:
    """Forgets everything."""

    def sent(self, signature: str, last_valid_block_height: int, users: Mapping[Pubkey, BgpStatus]) -> None:
        """Forgets it."""

    def ended(self, signature: str, outcome: str) -> None:
        """Forgets it."""
