"""Notes transactions before they are sent, so that a killed process leaves a trace of what may still land."""

from typing import Protocol

from dzbgp.models.in_flight import Fate, InFlight


class Journal(Protocol):
    """Called for every transaction, in the ledger's own thread."""

    def sent(self, in_flight: InFlight) -> None:
        """Note a transaction that is about to be sent: from here on it may land."""

    def ended(self, signature: str, fate: Fate) -> None:
        """Note its fate. Must not raise."""


class NoJournal:
    """Notes nothing."""

    def sent(self, in_flight: InFlight) -> None:
        """Note nothing."""

    def ended(self, signature: str, fate: Fate) -> None:
        """Note nothing."""
