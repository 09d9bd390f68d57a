"""What this process has sent and does not know the fate of, whatever becomes of the state file."""

import threading
from collections.abc import Callable, Collection

from solders.pubkey import Pubkey

from dzbgp.ledger.session import LedgerSession
from dzbgp.ledger.submit.journal import Journal, NoJournal
from dzbgp.models.in_flight import Fate, InFlight, Settled


class InFlightLog:
    """A journal in memory that passes everything on to another one. May be used from any thread.

    A state file may be missing, read-only or on a full disk. Even then a write must not be made again while the one
    before may still land. A fork can undo a write that is only confirmed, so it is asked for until it is finalized.
    """

    def __init__(self, journal: Journal | None = None) -> None:
        self._journal = journal or NoJournal()
        self._lock = threading.Lock()
        self._sent: dict[str, InFlight] = {}
        self._confirmed: set[str] = set()
        """Those of them that were reported as confirmed."""
        self._landed: dict[Pubkey, int] = {}

    def sent(self, in_flight: InFlight) -> None:
        """Note a transaction that is about to be sent."""
        self._journal.sent(in_flight)
        with self._lock:
            self._sent[in_flight.signature] = in_flight

    def ended(self, signature: str, fate: Fate) -> None:
        """Note the fate of a transaction, and forget it once nothing can change that."""
        with self._lock:
            self._end(signature, fate)
        self._journal.ended(signature, fate)

    def _end(self, signature: str, fate: Fate) -> None:
        if fate.is_final:
            self._sent.pop(signature, None)
            self._confirmed.discard(signature)
        elif fate is Fate.CONFIRMED:
            self._confirmed.add(signature)

    def unsettled(
        self,
        ledger: LedgerSession,
        busy: Collection[Pubkey],
        landed: Callable[[InFlight, Settled], None] = lambda *_: None,
    ) -> frozenset[Pubkey]:
        """Return the users with a write that may still land, or that no pass has read back yet.

        Asks the ledger about the transactions that nobody follows any more, which are those without `busy` users, and
        calls `landed` with each that has ended. Raises a LedgerError.
        """
        with self._lock:
            left = [one for one in self._sent.values() if not one.users.keys() & set(busy)]
        unsettled: set[Pubkey] = set()
        for one, settled in zip(left, ledger.fates(left), strict=True):
            if settled.fate is Fate.PENDING:
                unsettled.update(one.users)
                continue
            if one.signature not in self._confirmed:
                self._landed.update(settled.landed)
            landed(one, settled)
            with self._lock:
                self._end(one.signature, settled.fate)
        return frozenset(unsettled | self._landed.keys())

    def read(self, slot: int) -> None:
        """Note that a pass has read the ledger as of `slot`."""
        self._landed = {user: seen for user, seen in self._landed.items() if seen > slot}
