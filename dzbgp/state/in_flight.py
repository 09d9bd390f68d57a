"""What this process has sent and does not know the fate of, whatever becomes of the state file."""

import threading
from collections.abc import Collection, Mapping

from solders.pubkey import Pubkey

from dzbgp.ledger.session import LedgerSession
from dzbgp.ledger.submit.journal import Journal, NoJournal
from dzbgp.models.ledger import BgpStatus
from dzbgp.state.store import Flight


class FlightLog:
    """A journal in memory, which passes on to another one. For any number of threads.

    A state file may be missing, read-only or on a full disk; that must not let a write be made again while the one
    before may still land.
    """

    def __init__(self, journal: Journal | None = None) -> None:
        self._journal = journal or NoJournal()
        self._lock = threading.Lock()
        self._flights: dict[str, Flight] = {}
        self._landed: dict[Pubkey, int] = {}

    def sent(self, signature: str, last_valid_block_height: int, users: Mapping[Pubkey, BgpStatus]) -> None:
        """Notes a transaction that is about to be sent."""
        with self._lock:
            self._flights[signature] = Flight(signature, last_valid_block_height, dict(users))
        self._journal.sent(signature, last_valid_block_height, users)

    def ended(self, signature: str, outcome: str) -> None:
        """Forgets a transaction whose fate is known."""
        with self._lock:
            self._flights.pop(signature, None)
        self._journal.ended(signature, outcome)

    def unsettled(self, ledger: LedgerSession, busy: Collection[Pubkey]) -> frozenset[Pubkey]:
        """Gives the users of which a write may still land, or is not yet in what was last `read`.

        Asks the ledger about those that nobody follows any more, which are not of the users `busy`. Raises a
        LedgerError.
        """
        with self._lock:
            flights = [flight for flight in self._flights.values() if not flight.users.keys() & set(busy)]
        flying: set[Pubkey] = set()
        for flight, fate in zip(flights, ledger.fates(flights), strict=True):
            if fate.outcome is None:
                flying.update(flight.users)
                continue
            with self._lock:
                self._flights.pop(flight.signature, None)
            if fate.slot is not None:
                self._landed.update(dict.fromkeys(flight.users, fate.slot))
        return frozenset(flying | self._landed.keys())

    def read(self, slot: int) -> None:
        """Notes that a pass has read the ledger as of `slot`."""
        self._landed = {user: landed for user, landed in self._landed.items() if landed > slot}
