"""One recent blockhash for all batches that are signed within the same moments."""

import asyncio
import time

from dzbgp.ledger.rpc.client import Blockhash, RpcClient

_GOOD_S = 2.0
_OLD_SLOTS = 75
"""A finalized blockhash that lies further back leaves a transaction too little time to land."""


class Blockhashes:
    """Asks for a blockhash when the last one is some seconds old. Used within one event loop.

    A finalized blockhash is preferred. It is some 32 blocks older, and a transaction over it lives as much shorter: the
    time between the last look at the ledger and the landing shrinks, at no cost.
    """

    def __init__(self, client: RpcClient) -> None:
        self._client = client
        self._lock = asyncio.Lock()
        self._newest: Blockhash | None = None
        self._asked_at = 0.0

    async def fresh(self, newest_slot: int) -> Blockhash:
        """Return a blockhash to sign over; `newest_slot`: the newest slot known. Raises a LedgerError."""
        async with self._lock:
            asked_at = time.monotonic()
            if self._newest is None or asked_at - self._asked_at > _GOOD_S:
                self._newest = await self._client.finalized_blockhash()
                if newest_slot - self._newest.slot > _OLD_SLOTS:
                    self._newest = await self._client.latest_blockhash(newest_slot)
                self._asked_at = asked_at
            return self._newest
