"""Read the program's accounts: one fetch, from requests to records."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, TypeVar

from solders.pubkey import Pubkey

from dzbgp.ledger.errors import EmptyProgramError, LedgerError, RpcSizeError
from dzbgp.ledger.program.accounts import (
    DEVICE,
    TENANT,
    USER,
    USER_DEVICE_OFFSET,
    decode_all,
    decode_device,
    decode_tenant,
    decode_user,
)
from dzbgp.ledger.rpc.client import RpcClient
from dzbgp.models.ledger import NOMINAL_SECONDS_PER_SLOT, Account, Device, ProgramData, SkippedAccount

log = logging.getLogger(__name__)

T = TypeVar("T")
U = TypeVar("U")

_AT_ONCE = 8
"""Number of devices whose users are requested at the same time."""

_Answer = tuple[int, list[Account]]
"""A slot, and the accounts as of that slot."""

Scope = Callable[[Mapping[Pubkey, Device]], Sequence[Pubkey]]
"""Returns, given all devices, those whose users are wanted."""


@dataclass(frozen=True, slots=True)
class Early:
    """The part of the program data that is read first."""

    slot: int
    """The slot of the devices: everything seen on a device from now on is from this slot or later."""
    devices: Mapping[Pubkey, Device]


async def fetch(
    client: RpcClient,
    scope: Scope | None = None,
    on_devices: Callable[[Early], None] = lambda _: None,
    *,
    spare_scope: Scope | None = None,
    is_split: bool = False,
) -> ProgramData:
    """Read devices, tenants and users, with a scope only the users of its devices. Raises a LedgerError.

    `on_devices` is called with the devices as soon as they are read. `spare_scope` is used if the answer with all users
    is too large; `is_split` says that it is known to be.
    """
    rate = asyncio.create_task(_slot_rate(client))
    try:
        return await _fetch(client, scope, spare_scope, rate, on_devices, is_split=is_split)
    finally:
        rate.cancel()


async def _devices(
    client: RpcClient, on_devices: Callable[[Early], None]
) -> tuple[int, Mapping[Pubkey, Device], list[SkippedAccount]]:
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
    known = wanted
    answers = [] if whole is None else [whole]
    if wanted is not None:
        answers, known = await _users_of(client, wanted, is_whole_possible=scope is not None)
    if not any(accounts for _, accounts in answers) and wanted != frozenset():
        raise _empty(client, "user", "treated as a fault, not as an empty fleet")
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
            {key: user for key, user in users.items() if known is None or user.device_pk in known}
        ),
        devices=devices,
        tenants=MappingProxyType(tenants),
        seconds_per_slot=await rate,
        skipped=(*skipped, *skipped_tenants, *skipped_users),
        remarks=_not_known(wanted, known),
        scope=known,
        newest_slot=max(slot, tenant_slot, *(user_slot for user_slot, _ in answers)),
    )


def _not_known(wanted: frozenset[Pubkey] | None, known: frozenset[Pubkey] | None) -> tuple[str, ...]:
    count = len(wanted or ()) - len(known or ())
    if not count:
        return ()
    devices = "device" if count == 1 else "devices"
    return (f"{count} {devices} left out: an answer without any user is not believed.",)


async def _all_users(client: RpcClient, *, is_wanted: bool, is_spared: bool) -> _Answer | None:
    """Return all users; None if they are not wanted, or if the answer is too large and `is_spared`."""
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
    """Return the answers for the users of `wanted`, and the devices for which the answers are believed.

    An answer without any user is not believed: then all users are requested or, if that answer would be too large,
    the device is left out.
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
    """Run `_together` for two reads of different types."""
    results: list[Any] = await _together([one, other])
    return results[0], results[1]


async def _together(reads: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Return all results. If one read fails, the others are cancelled."""
    tasks = [asyncio.ensure_future(read) for read in reads]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def _slot_rate(client: RpcClient) -> float:
    """Return the cluster's own slot time, or the nominal one: a node without samples must not stop a run."""
    try:
        return await client.seconds_per_slot() or NOMINAL_SECONDS_PER_SLOT
    except LedgerError as error:
        log.warning("slot time unknown, using %g s: %s", NOMINAL_SECONDS_PER_SLOT, error)
        return NOMINAL_SECONDS_PER_SLOT


def _empty(client: RpcClient, kind: str, remark: str) -> EmptyProgramError:
    return EmptyProgramError(
        f"RPC {client.transport.where}: program {client.network.program_id} has no {kind} accounts; "
        f"expected at least one ({remark})"
    )
