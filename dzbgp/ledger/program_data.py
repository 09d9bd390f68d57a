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
from dzbgp.ledger.errors import EmptyProgramError, LedgerError, RpcSizeError, RpcTransportError
from dzbgp.models import NOMINAL_SECONDS_PER_SLOT, Account, Device, ProgramData

log = logging.getLogger(__name__)

T = TypeVar("T")
U = TypeVar("U")

TTL_S = 5.0
FETCH_TIMEOUT_S = 30.0
_AT_ONCE = 8
"""Devices whose users are asked for at the same time."""

_Answer = tuple[int, list[Account]]
"""A slot, and the accounts as of it."""

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


async def fetch(
    client: RpcClient,
    scope: Scope | None = None,
    on_devices: Callable[[Early], None] = lambda _: None,
    *,
    spare_scope: Scope | None = None,
    is_split: bool = False,
) -> ProgramData:
    """Reads devices, tenants and users, with a scope only the users of its devices. Raises a LedgerError.

    `on_devices` is given the devices as soon as they are read. `spare_scope` is the scope where all users together are
    too large an answer; with `is_split` that is known already.
    """
    rate = asyncio.create_task(_slot_rate(client))
    try:
        return await _fetch(client, scope, spare_scope, rate, on_devices, is_split=is_split)
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
    spare_scope: Scope | None,
    rate: "asyncio.Task[float]",
    on_devices: Callable[[Early], None],
    *,
    is_split: bool,
) -> ProgramData:
    ((slot, devices, skipped), (tenant_slot, tenant_accounts)), whole = await _both(
        _both(_devices(client, on_devices), client.program_accounts(TENANT)),
        _all_users(client, is_wanted=scope is None and not is_split, is_spared=spare_scope is not None),
    )
    asked = scope
    if scope is None and whole is None:
        asked = spare_scope
    wanted = None if asked is None else frozenset(asked(devices))
    answers = [] if whole is None else [whole]
    if wanted is not None:
        answers, wanted = await _users_of(client, wanted, is_whole_possible=scope is not None)
    if not any(accounts for _, accounts in answers) and wanted != frozenset():
        raise _empty(client, "user", "that is taken for a fault, never for an empty fleet")
    user_accounts = [account for _, accounts in answers for account in accounts]
    tenants, skipped_tenants = decode_all(
        "tenant", tenant_accounts, lambda item: decode_tenant(item.pubkey, item.data)
    )
    users, skipped_users = decode_all(
        "user", user_accounts, lambda item: decode_user(item.pubkey, item.data, item.lamports)
    )
    return ProgramData(
        slot=min(slot, tenant_slot, *(user_slot for user_slot, _ in answers)),
        fetched_at=datetime.now(UTC),
        users=MappingProxyType(
            {key: user for key, user in users.items() if wanted is None or user.device_pk in wanted}
        ),
        devices=devices,
        tenants=MappingProxyType(tenants),
        seconds_per_slot=await rate,
        skipped=(*skipped, *skipped_tenants, *skipped_users),
        scope=wanted,
    )


async def _all_users(client: RpcClient, *, is_wanted: bool, is_spared: bool) -> _Answer | None:
    """Gives all users; None where they are not wanted or, if that may be, too large an answer."""
    if not is_wanted:
        return None
    try:
        return await client.program_accounts(USER)
    except RpcSizeError as error:
        if not is_spared:
            raise
        log.info("%s; the users are asked for device by device", error)
        return None


async def _users_of(
    client: RpcClient, wanted: frozenset[Pubkey], *, is_whole_possible: bool
) -> tuple[list[_Answer], frozenset[Pubkey]]:
    """Gives the answers for the users of `wanted`, and the devices that they are believed for.

    That a device has no user at all is not taken from an answer without any: then all users are asked for or, where
    that is too much, nothing is known of the device.
    """
    gate = asyncio.Semaphore(_AT_ONCE)

    async def of_device(key: Pubkey) -> _Answer:
        async with gate:
            return await client.program_accounts(USER, (USER_DEVICE_OFFSET, bytes(key)))

    keys = sorted(wanted, key=bytes)
    answers = await _together([of_device(key) for key in keys])
    if all(accounts for _, accounts in answers):
        return answers, wanted
    if is_whole_possible:
        return [await client.program_accounts(USER)], wanted
    return answers, frozenset(key for key, (_, accounts) in zip(keys, answers, strict=True) if accounts)


async def _both(one: Coroutine[Any, Any, T], other: Coroutine[Any, Any, U]) -> tuple[T, U]:
    """Gives both results; when one fails, the other is not waited for but cancelled."""
    tasks = asyncio.ensure_future(one), asyncio.ensure_future(other)
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


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
