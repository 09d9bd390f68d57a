"""One recent blockhash for all batches that are signed within the same moments."""

import asyncio
import time

from dzbgp.ledger.rpc.client import Blockhash, RpcClient

_GOOD_S = 2.0


class Blockhashes:
    """Asks for a blockhash when the last one is some seconds old. Used within one event loop."""

    def __init__(self, client: RpcClient) -> None:
        self._client = client
        self._lock = asyncio.Lock()
        self._newest: Blockhash | None = None
        self._asked_at = 0.0
        self._least_slot = 0

    async def fresh(self) -> Blockhash:
        """Gives a blockhash to sign over. Raises a LedgerError."""
        async with self._lock:
            asked_at = time.monotonic()
            if self._newest is None or asked_at - self._asked_at > _GOOD_S:
                self._newest = await self._client.latest_blockhash(self._least_slot)
                self._asked_at = asked_at
            return self._newest

    def forget(self, expired_by: int) -> None:
        """Has the next one come from a node that has reached the slot at which an older one was expired."""
        self._newest = None
        self._least_slot = max(self._least_slot, expired_by)
