"""Follows transactions in flight until their fate is known: one poll for all of them.

The same bytes are sent again while their blockhash lives: that is safe, the ledger takes a signature once.
That a transaction can not land any more is only said when a node, asked after a finalized block beyond the last
valid block height was seen, answers from that slot or later and does not know the signature. Whether it has
landed unseen, because the node forgets or never knew, is another question: dzbgp/ledger/expired.py.
"""

import asyncio
import logging
import time
from dataclasses import dataclass, field
from enum import Enum, auto

from dzbgp.ledger.errors import LedgerError
from dzbgp.ledger.rpc.client import Blockhash, RpcClient, SignatureStatus

log = logging.getLogger(__name__)


class Fate(Enum):
    """How a transaction in flight ended, as far as can be told."""

    LANDED = auto()
    """It took effect, at the commitment that was asked for."""
    REJECTED = auto()
    """It landed and failed: nothing of it took effect, it only cost its fee."""
    EXPIRED = auto()
    """Its time is over and the node does not know it."""
    UNKNOWN = auto()
    """Time ran out first."""


@dataclass(slots=True, eq=False)
class InFlight:
    """A signed transaction that was handed to a node, perhaps."""

    signature: str
    raw: bytes
    blockhash: Blockhash
    sent_at: float
    """When it was sent last, in seconds of time.monotonic()."""
    ended: "asyncio.Future[tuple[Fate, SignatureStatus | None]]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    seen: SignatureStatus | None = None
    """The newest that is known of it while it is not yet as safe as asked."""
    expired_by: int = 0
    """When it has expired: a finalized slot at which it could not land any more."""

    def end(self, fate: Fate, status: SignatureStatus | None = None) -> None:
        """Settles the fate, once."""
        if not self.ended.done():
            self.ended.set_result((fate, status))


class Confirmer:
    """Polls for every transaction in flight at once. Used within one event loop; `run` is its task."""

    def __init__(
        self, client: RpcClient, commitment: str, *, poll_s: float = 0.5, resend_s: float = 2.0
    ) -> None:
        self._client = client
        self._enough = {"finalized"} if commitment == "finalized" else {"confirmed", "finalized"}
        self._poll_s = poll_s
        self._resend_s = resend_s
        self._flights: dict[str, InFlight] = {}
        self._arrived = asyncio.Event()

    def add(self, flight: InFlight) -> None:
        """Begins to follow `flight`."""
        self._flights[flight.signature] = flight
        self._arrived.set()

    def drop(self, flight: InFlight) -> None:
        """Stops following `flight`."""
        self._flights.pop(flight.signature, None)

    async def run(self) -> None:
        """Polls until it is cancelled."""
        while True:
            if not self._flights:
                self._arrived.clear()
                await self._arrived.wait()
            await asyncio.sleep(self._poll_s)
            try:
                await self._poll()
            except LedgerError as error:
                log.warning("confirmation: %s; asking again", error)
            except Exception:
                # Whatever it is, without a poll nothing that was sent would ever be known to have landed.
                log.exception("confirmation: a fault of dzbgp's own; asking again")

    async def _poll(self) -> None:
        flights = list(self._flights.values())
        now = time.monotonic()
        due = {flight.signature for flight in flights if now - flight.sent_at >= self._resend_s}
        # Asked before the statuses: what is unknown after a final block beyond its last valid height can not
        # land any more.
        slot, height = await self._client.height() if due else (0, 0)
        answered_slot, statuses = await self._client.statuses([flight.signature for flight in flights])
        again = []
        for flight, status in zip(flights, statuses, strict=True):
            if status is not None:
                flight.seen = status
                self._settle(flight, status)
            elif flight.signature not in due:
                continue
            elif height <= flight.blockhash.last_valid_block_height:
                again.append(flight)
            elif answered_slot >= slot:
                flight.expired_by = slot
                self._end(flight, Fate.EXPIRED)
        await asyncio.gather(*(self._send_again(flight) for flight in again))

    def _settle(self, flight: InFlight, status: SignatureStatus) -> None:
        if status.confirmation in self._enough:
            self._end(flight, Fate.LANDED if status.err is None else Fate.REJECTED, status)
        elif status.err is not None and status.confirmation == "confirmed":
            # Nothing is to be gained from waiting until a failure is final.
            self._end(flight, Fate.REJECTED, status)

    def _end(self, flight: InFlight, fate: Fate, status: SignatureStatus | None = None) -> None:
        self.drop(flight)
        flight.end(fate, status)

    async def _send_again(self, flight: InFlight) -> None:
        flight.sent_at = time.monotonic()
        try:
            await self._client.send(flight.raw)
        except LedgerError as error:
            log.warning("sent again: signature=%s: %s", flight.signature, error)
        else:
            log.info("sent again: signature=%s", flight.signature)
