"""Fetches the program's accounts, once for everybody in the process.

The behaviour is that of upstream's caching fetcher: an answer is good for 5 s; callers who come meanwhile
share one fetch; the fetch goes on when the caller who began it goes away, within its own 30 s; when it fails
the last good answer is served, marked stale; when there never was one, the error is raised.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dzbgp.ledger.errors import LedgerError, RpcTransportError
from dzbgp.ledger.events import FetchEvent, FetchResult, OnFetch, unobserved
from dzbgp.ledger.program.fetch import Early, Scope, fetch
from dzbgp.ledger.rpc.client import RpcClient
from dzbgp.models.ledger import ProgramData

log = logging.getLogger(__name__)

TTL_S = 5.0
FETCH_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Fetched:
    """Program data and its age. `stale`: the ledger could not be asked, this is the last good answer."""

    data: ProgramData
    age_s: float
    stale: bool


class ProgramDataFetcher:
    """The one cache of a process. All of it runs in the event loop that first used it."""

    def __init__(
        self,
        client: RpcClient,
        scope: Scope | None = None,
        *,
        spare_scope: Scope | None = None,
        ttl_s: float = TTL_S,
        timeout_s: float = FETCH_TIMEOUT_S,
        on_fetch: OnFetch = unobserved,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._scope = scope
        self._spare_scope = spare_scope
        self._is_split = False
        """Whether all users together are known to be too large an answer."""
        self._ttl_s = ttl_s
        self._timeout_s = timeout_s
        self._on_fetch = on_fetch
        self._monotonic = monotonic
        self._data: ProgramData | None = None
        self._fetched_at = 0.0
        self._expired = False
        self._failing = False
        self._flight: asyncio.Task[Fetched] | None = None
        self._early: asyncio.Future[Early] | None = None
        """Of the flight: the devices, when it has them."""

    async def begin(self) -> "tuple[Early, asyncio.Future[Fetched]]":
        """Gives the devices, and the fetch that they are of, which may go on for the users. Raises a LedgerError."""
        if self._is_fresh() and self._data is not None:
            ready: asyncio.Future[Fetched] = asyncio.get_running_loop().create_future()
            ready.set_result(Fetched(self._data, self._age_s(), stale=False))
            return Early(self._data.slot, self._data.devices), ready
        flight, early = self._joined()
        either: list[asyncio.Future[Any]] = [flight, early]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if early.done():
            return early.result(), flight
        data = flight.result().data
        return Early(data.slot, data.devices), flight

    async def get(self) -> Fetched:
        """Gives the program data, at most `ttl_s` old unless it is stale. Raises a LedgerError."""
        if self._is_fresh() and self._data is not None:
            return Fetched(self._data, self._age_s(), stale=False)
        flight, _ = self._joined()
        return await asyncio.shield(flight)

    def _is_fresh(self) -> bool:
        return self._data is not None and not self._expired and self._age_s() < self._ttl_s

    def _joined(self) -> "tuple[asyncio.Task[Fetched], asyncio.Future[Early]]":
        """Gives the fetch that is under way, begun if there is none."""
        if self._flight is None or self._early is None:
            self._early = asyncio.get_running_loop().create_future()
            self._flight = asyncio.create_task(self._fetch(self._early))
            self._flight.add_done_callback(self._landed)
        return self._flight, self._early

    def expire(self) -> None:
        """Has the next caller ask the ledger anew; the old answer still serves when that fails."""
        self._expired = True
        # A fetch that is under way may have read before the write that this is about.
        self._flight = None

    def _landed(self, flight: "asyncio.Task[Fetched]") -> None:
        if self._flight is flight:
            self._flight = None
        # The error of a fetch whose callers have all gone away: it was logged, and nobody else will look.
        if not flight.cancelled():
            flight.exception()

    def _age_s(self) -> float:
        return self._monotonic() - self._fetched_at

    async def _fetch(self, early: "asyncio.Future[Early]") -> Fetched:
        started = self._monotonic()
        failure: LedgerError
        try:
            async with asyncio.timeout(self._timeout_s):
                data = await fetch(
                    self._client,
                    self._scope,
                    early.set_result,
                    spare_scope=self._spare_scope,
                    is_split=self._is_split,
                )
        except TimeoutError:
            failure = RpcTransportError(
                f"RPC {self._client.transport.where}: no program data in {self._timeout_s:g} s"
            )
        except LedgerError as error:
            failure = error
        else:
            self._tell(FetchResult.SUCCESS, started)
            if self._failing:
                log.warning("program data: the ledger answers again, after %.0f s", self._age_s())
                self._failing = False
            self._is_split = self._scope is None and data.scope is not None
            if self._flight is asyncio.current_task():
                self._data, self._fetched_at, self._expired = data, started, False
            return Fetched(data, 0.0, stale=False)
        if self._data is None:
            self._tell(FetchResult.ERROR_NO_CACHE, started)
            raise failure
        self._tell(FetchResult.ERROR_STALE, started, self._age_s())
        if not self._failing:
            log.warning("program data: serving the last good answer, %.0f s old: %s", self._age_s(), failure)
            self._failing = True
        return Fetched(self._data, self._age_s(), stale=True)

    def _tell(self, result: FetchResult, started: float, stale_age_s: float = 0.0) -> None:
        self._on_fetch(FetchEvent(result, self._monotonic() - started, stale_age_s))
