"""Fetches the program's accounts, once for everybody in the process.

The behaviour is that of upstream's caching fetcher: an answer is good for 5 s; callers who come meanwhile
share one fetch; the fetch goes on when the caller who began it goes away, within its own 30 s; when it fails
the last good answer is served, marked stale; when there never was one, the error is raised.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, TypeVar

from solders.pubkey import Pubkey

from dzbgp.events import FetchEvent, FetchResult, OnFetch, unobserved
from dzbgp.ledger.accounts import (
    DEVICE,
    TENANT,
    USER,
    USER_DEVICE_OFFSET,
    decode_all,
    decode_device,
    decode_tenant,
    decode_user,
)
from dzbgp.ledger.client import RpcClient
from dzbgp.ledger.errors import EmptyProgramError, LedgerError, RpcTransportError
from dzbgp.models import NOMINAL_SECONDS_PER_SLOT, Device, ProgramData

log = logging.getLogger(__name__)

T = TypeVar("T")
U = TypeVar("U")

TTL_S = 5.0
FETCH_TIMEOUT_S = 30.0

Scope = Callable[[Mapping[Pubkey, Device]], Sequence[Pubkey]]
"""Given all devices, the few whose users are wanted."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """Program data and its age. `stale`: the ledger could not be asked, this is the last good answer."""

    data: ProgramData
    age_s: float
    stale: bool


@dataclass(frozen=True, slots=True)
class Early:
    """What is known of the program data before all of them are read: that they are under way."""

    slot: int
    """That of the devices: what is seen from now on was seen in it or later."""
    devices: Mapping[Pubkey, Device]


class ProgramDataFetcher:
    """The one cache of a process. All of it runs in the event loop that first used it."""

    def __init__(
        self,
        client: RpcClient,
        scope: Scope | None = None,
        *,
        ttl_s: float = TTL_S,
        timeout_s: float = FETCH_TIMEOUT_S,
        on_fetch: OnFetch = unobserved,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._scope = scope
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

    async def devices(self) -> Early:
        """Gives the devices, of a fetch that may go on for the users. Raises a LedgerError."""
        if self._is_fresh() and self._data is not None:
            return Early(self._data.slot, self._data.devices)
        flight, early = self._joined()
        either: list[asyncio.Future[Any]] = [flight, early]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if early.done():
            return early.result()
        data = flight.result().data
        return Early(data.slot, data.devices)

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
                data = await fetch(self._client, self._scope, early.set_result)
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


async def fetch(
    client: RpcClient, scope: Scope | None = None, on_devices: Callable[[Early], None] = lambda _: None
) -> ProgramData:
    """Reads devices, tenants and users, with a scope only the users of its devices. Raises a LedgerError.

    `on_devices` is given the devices as soon as they are read.
    """
    rate = asyncio.create_task(_slot_rate(client))
    try:
        return await _fetch(client, scope, rate, on_devices)
    finally:
        rate.cancel()


async def _devices(
    client: RpcClient, on_devices: Callable[[Early], None]
) -> tuple[int, Mapping[Pubkey, Device], list[str]]:
    slot, accounts = await client.program_accounts(DEVICE)
    devices, skipped = decode_all("device", accounts, lambda item: decode_device(item.pubkey, item.data))
    if not devices:
        raise _empty(client, "device", "wrong --env, --program-id or --rpc-url?")
    shared = MappingProxyType(devices)
    on_devices(Early(slot, shared))
    return slot, shared, skipped


async def _fetch(
    client: RpcClient,
    scope: Scope | None,
    rate: "asyncio.Task[float]",
    on_devices: Callable[[Early], None],
) -> ProgramData:
    reading = asyncio.create_task(_devices(client, on_devices))
    reads = [client.program_accounts(TENANT)]
    if scope is None:
        reads.append(client.program_accounts(USER))
    others = asyncio.create_task(_together(reads))
    (slot, devices, skipped), ((tenant_slot, tenant_accounts), *user_reads) = await _both(reading, others)
    wanted = None if scope is None else frozenset(scope(devices))
    if wanted is not None:
        matches = [(USER_DEVICE_OFFSET, bytes(key)) for key in wanted]
        user_reads = await _together(client.program_accounts(USER, match) for match in matches)
        if not all(accounts for _, accounts in user_reads):
            # That a device has no user at all is not taken from an answer without any.
            user_reads = [await client.program_accounts(USER)]
    if not any(accounts for _, accounts in user_reads):
        raise _empty(client, "user", "that is taken for a fault, never for an empty fleet")
    user_accounts = [account for _, accounts in user_reads for account in accounts]
    tenants, skipped_tenants = decode_all(
        "tenant", tenant_accounts, lambda item: decode_tenant(item.pubkey, item.data)
    )
    users, skipped_users = decode_all(
        "user", user_accounts, lambda item: decode_user(item.pubkey, item.data, item.lamports)
    )
    return ProgramData(
        slot=min(slot, tenant_slot, *(user_slot for user_slot, _ in user_reads)),
        fetched_at=datetime.now(UTC),
        users=MappingProxyType(
            {key: user for key, user in users.items() if wanted is None or user.device_pk in wanted}
        ),
        devices=devices,
        tenants=MappingProxyType(tenants),
        seconds_per_slot=await rate,
        skipped=(*skipped, *skipped_tenants, *skipped_users),
    )


async def _both(one: "asyncio.Task[T]", other: "asyncio.Task[U]") -> tuple[T, U]:
    """Gives both results; when one fails, the other is not waited for but cancelled."""
    try:
        return await asyncio.gather(one, other)
    finally:
        one.cancel()
        other.cancel()


async def _together(reads: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Gives all results; when one read fails, the others are not waited for but cancelled."""
    tasks = [asyncio.ensure_future(read) for read in reads]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def _slot_rate(client: RpcClient) -> float:
    """Gives the cluster's own slot time; a node that keeps no samples must not stop a run."""
    try:
        return await client.seconds_per_slot() or NOMINAL_SECONDS_PER_SLOT
    except LedgerError as error:
        log.warning("slot time: taken as %g s: %s", NOMINAL_SECONDS_PER_SLOT, error)
        return NOMINAL_SECONDS_PER_SLOT


def _empty(client: RpcClient, kind: str, remark: str) -> EmptyProgramError:
    return EmptyProgramError(
        f"RPC {client.transport.where}: program {client.network.program_id} has no {kind} accounts; "
        f"expected at least one ({remark})"
    )
