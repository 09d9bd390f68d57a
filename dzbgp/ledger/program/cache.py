"""Fetch the program's accounts through one cache that the whole process shares.

An answer is used for 5 s, as in upstream's caching fetcher, or for as long as the caller wants. Concurrent callers
share one fetch. The fetch continues if its caller is cancelled, for 30 s at most. If it fails, the last good answer is
served, marked stale; without an earlier answer the error is raised.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
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
    """Program data and its age. `stale`: the fetch failed, and this is the last good answer."""

    data: ProgramData
    age_s: float
    stale: bool

    @property
    def doubt(self) -> str:
        """Return why nothing may be written because of this data; nothing if it may."""
        if self.stale:
            return f"the ledger did not answer, its data is {self.age_s:.0f} s old"
        return self.data.doubt


class ProgramDataFetcher:
    """The cache of a process. Used in one event loop."""

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
        """Whether the answer with all users is known to be too large."""
        self._ttl_s = ttl_s
        self._timeout_s = timeout_s
        self._on_fetch = on_fetch
        self._monotonic = monotonic
        self._data: ProgramData | None = None
        self._fetched_at = 0.0
        self._expired = False
        self.is_failing = False
        """Whether the last good answer is served, because the ledger gives none."""
        self._task: asyncio.Task[Fetched] | None = None
        self._early: asyncio.Future[Early] | None = None
        """The devices of the current fetch, as soon as they are read."""

    @property
    def slot(self) -> int:
        """The oldest slot of the cached data; 0 without any."""
        return self._data.slot if self._data is not None else 0

    async def begin(self) -> "tuple[Early, asyncio.Future[Fetched]]":
        """Return the devices, and the fetch that goes on to read the users. Raises a LedgerError."""
        if self._is_fresh(self._ttl_s) and self._data is not None:
            data = self._data
            ready: asyncio.Future[Fetched] = asyncio.get_running_loop().create_future()
            ready.set_result(Fetched(data, self._age_s(), stale=False))
            # All of it was read before: what is seen on a device from now on is newer than its newest part.
            return replace(_early(data), slot=data.newest_slot or data.slot, is_cached=True), ready
        task, early = self._current()
        either: list[asyncio.Future[Any]] = [task, early]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if early.done():
            return early.result(), task
        data = task.result().data
        return _early(data), task

    async def get(self, max_age_s: float | None = None) -> Fetched:
        """Return the program data, at most so old unless it is stale (None: `ttl_s`). Raises a LedgerError."""
        if self._is_fresh(self._ttl_s if max_age_s is None else max_age_s) and self._data is not None:
            return Fetched(self._data, self._age_s(), stale=False)
        task, _ = self._current()
        return await result_of(task)

    def _is_fresh(self, max_age_s: float) -> bool:
        if self._data is None or self._expired:
            return False
        # With data that is for reading only nothing can be written: the ledger is asked again soon.
        return self._age_s() < (min(max_age_s, TTL_S) if self._data.doubt else max_age_s)

    def _current(self) -> "tuple[asyncio.Task[Fetched], asyncio.Future[Early]]":
        """Return the current fetch; start one if there is none."""
        if self._task is None or self._early is None:
            self._early = asyncio.get_running_loop().create_future()
            self._task = asyncio.create_task(self._fetch(self._early))
            self._task.add_done_callback(self._finished)
        return self._task, self._early

    def expire(self) -> None:
        """Let the next caller fetch again. The old answer is still served if that fails."""
        self._expired = True
        # A running fetch may have read before the write that made the data old.
        self._task = None

    def _finished(self, task: "asyncio.Task[Fetched]") -> None:
        if self._task is task:
            self._task = None
        # Mark the error as retrieved: it was logged, and all callers may be gone.
        if not task.cancelled():
            task.exception()

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
                f"RPC {self._client.pool.where}: no program data in {self._timeout_s:g} s"
            )
        except LedgerError as error:
            failure = error
        else:
            self._tell(FetchResult.SUCCESS, started)
            if self.is_failing:
                log.warning("program data: the ledger answers again, after %.0f s", self._age_s())
                self.is_failing = False
            self._is_split = self._scope is None and data.scope is not None
            if self._task is asyncio.current_task():
                self._data, self._fetched_at, self._expired = data, started, False
            return Fetched(data, 0.0, stale=False)
        if self._data is None:
            self._tell(FetchResult.ERROR_NO_CACHE, started)
            raise failure
        self._tell(FetchResult.ERROR_STALE, started, self._age_s())
        if not self.is_failing:
            log.warning("program data: serving the last good answer, %.0f s old: %s", self._age_s(), failure)
            self.is_failing = True
        return Fetched(self._data, self._age_s(), stale=True)

    def _tell(self, result: FetchResult, started: float, stale_age_s: float = 0.0) -> None:
        self._on_fetch(FetchEvent(result, self._monotonic() - started, stale_age_s))


async def result_of(fetch: "asyncio.Future[Fetched]") -> Fetched:
    """Wait for a fetch that others may wait for too: it goes on if one of them gives up. Raises a LedgerError."""
    await asyncio.wait([fetch])
    return fetch.result()


def _early(data: ProgramData) -> Early:
    return Early(data.slot, data.devices, data.ledger_at)
