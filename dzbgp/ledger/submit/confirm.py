"""Follows sent transactions until their fate is known: one poll for all of them.

The same bytes are sent again while their blockhash lives. That is safe: the ledger accepts a signature once.
A transaction counts as expired only when a node that has seen a finalized block beyond the last valid block height
answers from that slot or later and does not know the signature. Whether it landed anyway, because the node
forgot it or never knew it, is another question: see expiry.py.
"""

import asyncio
import logging
import time
from dataclasses import dataclass, field

from dzbgp.ledger.errors import LedgerError
from dzbgp.ledger.rpc.client import RpcClient, SignatureStatus
from dzbgp.models.in_flight import Fate, InFlight

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Followed:
    """A sent transaction while its fate is looked for."""

    sent: InFlight
    raw: bytes
    sent_again_at: float
    """When it was last sent, in seconds of time.monotonic()."""
    ended: "asyncio.Future[tuple[Fate, SignatureStatus | None]]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    seen: SignatureStatus | None = None
    """The newest status, while that is not yet as safe as asked for."""
    expired_by: int = 0
    """Once it has expired: a finalized slot at which it could not land any more."""


class Confirmer:
    """Polls for all followed transactions at once. Used within one event loop; `run` is its task."""

    def __init__(self, client: RpcClient, commitment: str, *, poll_s: float, resend_s: float) -> None:
        self._client = client
        self._needs_finalized = commitment == "finalized"
        self._poll_s = poll_s
        self._resend_s = resend_s
        self._followed: dict[str, Followed] = {}
        self._arrived = asyncio.Event()

    def follow(self, followed: Followed) -> None:
        """Begin to look for its fate."""
        self._followed[followed.sent.signature] = followed
        self._arrived.set()

    def drop(self, followed: Followed) -> None:
        """Stop looking for its fate."""
        self._followed.pop(followed.sent.signature, None)

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            if not self._followed:
                self._arrived.clear()
                await self._arrived.wait()
            await asyncio.sleep(self._poll_s)
            try:
                await self._poll()
            except LedgerError as error:
                log.warning("confirmation: %s; asking again", error)
            except Exception:
                # Without a poll nobody would ever learn that a sent transaction has landed.
                log.exception("confirmation: internal error; asking again")

    async def _poll(self) -> None:
        followed = list(self._followed.values())
        now = time.monotonic()
        due = {one.sent.signature for one in followed if now - one.sent_again_at >= self._resend_s}
        # Asked before the statuses: a signature that is unknown after a finalized block beyond its last valid height
        # cannot land any more.
        slot, height = await self._client.height() if due else (0, 0)
        answered_slot, statuses = await self._client.statuses([one.sent.signature for one in followed])
        again = []
        for one, status in zip(followed, statuses, strict=True):
            if status is not None:
                self._settle(one, status)
            elif one.sent.signature not in due:
                continue
            elif height <= one.sent.last_valid_block_height:
                again.append(one)
            elif answered_slot >= slot:
                one.expired_by = slot
                self._end(one, Fate.EXPIRED)
        await asyncio.gather(*(self._send_again(one) for one in again))

    def _settle(self, one: Followed, status: SignatureStatus) -> None:
        one.seen = status
        fate = fate_of(status)
        # A failure needs no finality: there is nothing to gain from waiting for it.
        if fate.is_final or (fate is Fate.CONFIRMED and not self._needs_finalized):
            self._end(one, fate, status)

    def _end(self, one: Followed, fate: Fate, status: SignatureStatus | None = None) -> None:
        self.drop(one)
        if not one.ended.done():
            one.ended.set_result((fate, status))

    async def _send_again(self, one: Followed) -> None:
        one.sent_again_at = time.monotonic()
        try:
            await self._client.send_again(one.raw)
        except LedgerError as error:
            log.warning("sent again: signature=%s: %s", one.sent.signature, error)
        else:
            log.info("sent again: signature=%s", one.sent.signature)


def fate_of(status: SignatureStatus) -> Fate:
    """Return what a node's answer about a signature means. "Processed" means nothing yet."""
    if status.confirmation == "processed":
        return Fate.PENDING
    if status.err is not None:
        return Fate.REJECTED
    return Fate.FINALIZED if status.confirmation == "finalized" else Fate.CONFIRMED
