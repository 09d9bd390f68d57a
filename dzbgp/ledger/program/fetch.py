"""Read the program's accounts: one fetch, from requests to records."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType
from typing import Any, Self, TypeVar

from solders.pubkey import Pubkey

from dzbgp.ledger.errors import EmptyProgramError, LedgerBehindError, LedgerError, RpcSizeError
from dzbgp.ledger.program.accounts import (
    DEVICE,
    KNOWN_VERSION,
    TENANT,
    USER,
    USER_DEVICE_OFFSET,
    AccountError,
    decode_all,
    decode_device,
    decode_min_version,
    decode_tenant,
    decode_user,
    program_config_key,
)
from dzbgp.ledger.rpc.client import RpcClient
from dzbgp.ledger.rpc.credible import FASTEST_S, SLOWEST_S, slot_time
from dzbgp.models.ledger import NOMINAL_SECONDS_PER_SLOT, Account, Device, ProgramData, SkippedAccount, User

log = logging.getLogger(__name__)

T = TypeVar("T")
U = TypeVar("U")

_AT_ONCE = 8
"""Number of devices whose users are requested at the same time."""

_Answer = tuple[int, list[Account]]
"""A slot, and the accounts as of that slot."""
_Read = Callable[..., Coroutine[Any, Any, _Answer]]
"""RpcClient.program_accounts, perhaps without demanding that an answer is as new as what was seen before."""

Scope = Callable[[Mapping[Pubkey, Device]], Sequence[Pubkey]]
"""Returns, given all devices, those whose users are wanted."""


@dataclass(frozen=True, slots=True)
class Early:
    """The part of the program data that is read first."""

    slot: int
    """The slot of the devices: everything seen on a device from now on is from this slot or later."""
    devices: Mapping[Pubkey, Device]
    ledger_at: float | None = None
    """The ledger's Unix time in that slot; None without a Clock sysvar, or if no RPC is believed."""
    is_cached: bool = False
    """Whether all of the data was read before."""


@dataclass(frozen=True, slots=True)
class _Users:
    """What one answer holds. False: no account at all."""

    slot: int
    users: Mapping[Pubkey, User]
    skipped: list[SkippedAccount]

    @classmethod
    def of(cls, slot: int, accounts: list[Account]) -> Self:
        """Decode the accounts of users, and take each out of the list: together they would be a pass's peak."""
        accounts.reverse()
        drained = (accounts.pop() for _ in range(len(accounts)))
        return cls(
            slot,
            *decode_all("user", drained, lambda item: decode_user(item.pubkey, item.data, item.lamports)),
        )

    def __bool__(self) -> bool:
        return bool(self.users or self.skipped)


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
        # First of all: it turns away from RPCs that are not believed, and sets the slot that answers must have reached.
        doubt, ledger_at, update = await _believable(client)
        # Without a believable RPC the data is for reading only, and as good as it gets.
        read = partial(client.program_accounts, least=0) if doubt else client.program_accounts
        early = partial(_tell_early, on_devices, ledger_at)
        data = await _fetch(client, read, scope, spare_scope, early, is_split=is_split)
        seconds_per_slot, remark = await rate
    finally:
        rate.cancel()
    remarks = (*filter(None, (doubt, update, remark)), *data.remarks)
    return replace(data, doubt=doubt, ledger_at=ledger_at, seconds_per_slot=seconds_per_slot, remarks=remarks)


async def _believable(client: RpcClient) -> tuple[str, float | None, str]:
    """Return why no RPC is believed, nothing if one is; the ledger's time; a remark about dzbgp's own version.

    Raises a LedgerError.
    """
    try:
        bank = await client.bank([program_config_key(client.network.program_id)])
    except LedgerBehindError as error:
        log.warning("%s", error)
        return str(error), None, ""
    return "", bank.ledger_at, _update_needed(bank.accounts[0])


def _update_needed(config: Account | None) -> str:
    """Return a remark if the program asks for newer clients than this one; nothing if it does not say."""
    try:
        wanted = decode_min_version(config.data) if config else (0, 0, 0)
    except AccountError:
        return ""
    if wanted <= KNOWN_VERSION:
        return ""
    asked, known = (".".join(map(str, version)) for version in (wanted, KNOWN_VERSION))
    return f"The program asks for clients of release {asked} or later, dzbgp knows {known}: update dzbgp."


def _tell_early(
    on_devices: Callable[[Early], None], ledger_at: float | None, slot: int, devices: Mapping[Pubkey, Device]
) -> None:
    on_devices(Early(slot, devices, ledger_at))


async def _devices(
    client: RpcClient, read: _Read, on_devices: Callable[[int, Mapping[Pubkey, Device]], None]
) -> tuple[int, Mapping[Pubkey, Device], list[SkippedAccount]]:
    slot, accounts = await read(DEVICE)
    devices, skipped = decode_all("device", accounts, lambda item: decode_device(item.pubkey, item.data))
    if not devices:
        raise no_accounts(client, "device", "wrong --env, --program-id or --rpc-url?")
    shared = MappingProxyType(devices)
    on_devices(slot, shared)
    return slot, shared, skipped


async def _fetch(
    client: RpcClient,
    read: _Read,
    scope: Scope | None,
    spare_scope: Scope | None,
    on_devices: Callable[[int, Mapping[Pubkey, Device]], None],
    *,
    is_split: bool,
) -> ProgramData:
    ((slot, devices, skipped), (tenant_slot, tenant_accounts)), whole = await _both(
        _both(_devices(client, read, on_devices), read(TENANT)),
        _all_users(read, is_wanted=scope is None and not is_split, is_spared=spare_scope is not None),
    )
    asked = scope
    if scope is None and whole is None:
        asked = spare_scope
    wanted = None if asked is None else frozenset(asked(devices))
    known = wanted
    answers: list[_Users] = []
    if wanted is not None:
        answers, known = await _users_of(read, wanted, is_whole_possible=scope is not None)
    elif whole is not None:
        answers = [_Users.of(*whole)]
    if not any(answers) and wanted != frozenset():
        raise no_accounts(client, "user", "treated as a fault, not as an empty fleet")
    tenants, skipped_tenants = decode_all(
        "tenant", tenant_accounts, lambda item: decode_tenant(item.pubkey, item.data)
    )
    users = {
        key: user
        for answer in answers
        for key, user in answer.users.items()
        if known is None or user.device_pk in known
    }
    skipped_users = [account for answer in answers for account in answer.skipped]
    slots = [slot, tenant_slot, *(answer.slot for answer in answers)]
    return ProgramData(
        slot=min(slots),
        fetched_at=datetime.now(UTC),
        users=MappingProxyType(users),
        devices=devices,
        tenants=MappingProxyType(tenants),
        skipped=(*skipped, *skipped_tenants, *skipped_users),
        remarks=_not_known(wanted, known),
        scope=known,
        newest_slot=max(slots),
    )


def _not_known(wanted: frozenset[Pubkey] | None, known: frozenset[Pubkey] | None) -> tuple[str, ...]:
    count = len(wanted or ()) - len(known or ())
    if not count:
        return ()
    devices = "device" if count == 1 else "devices"
    return (f"{count} {devices} left out: an answer without any user is not believed.",)


async def _all_users(read: _Read, *, is_wanted: bool, is_spared: bool) -> _Answer | None:
    """Return all users; None if they are not wanted, or if the answer is too large and `is_spared`."""
    if not is_wanted:
        return None
    try:
        return await read(USER)
    except RpcSizeError as error:
        if not is_spared:
            raise
        log.info("%s; users are read device by device", error)
        return None


async def _users_of(
    read: _Read, wanted: frozenset[Pubkey], *, is_whole_possible: bool
) -> tuple[list[_Users], frozenset[Pubkey]]:
    """Return the answers for the users of `wanted`, and the devices for which the answers are believed.

    An answer without any user is not believed: then all users are requested or, if that answer would be too large,
    the device is left out.
    """
    gate = asyncio.Semaphore(_AT_ONCE)

    async def of_device(key: Pubkey) -> _Users:
        async with gate:
            return _Users.of(*await read(USER, (USER_DEVICE_OFFSET, bytes(key))))

    keys = sorted(wanted, key=bytes)
    answers = await _together([of_device(key) for key in keys])
    if all(answers):
        return answers, wanted
    if is_whole_possible:
        return [_Users.of(*await read(USER))], wanted
    return answers, frozenset(key for key, answer in zip(keys, answers, strict=True) if answer)


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


async def _slot_rate(client: RpcClient) -> tuple[float, str]:
    """Return the cluster's own slot time and nothing, or the nominal one and a remark.

    A node without samples, or with absurd ones, must not stop a run.
    """
    try:
        rate = await client.seconds_per_slot()
    except LedgerError as error:
        log.warning("slot time unknown, using %g s: %s", NOMINAL_SECONDS_PER_SLOT, error)
        return NOMINAL_SECONDS_PER_SLOT, ""
    if rate is not None and slot_time(rate) is None:
        remark = (
            f"The cluster's samples say {rate:.3g} s a slot, expected {FASTEST_S:g} to {SLOWEST_S:g} s: "
            f"{NOMINAL_SECONDS_PER_SLOT:g} s is used."
        )
        return NOMINAL_SECONDS_PER_SLOT, remark
    return rate or NOMINAL_SECONDS_PER_SLOT, ""


def no_accounts(client: RpcClient, kind: str, remark: str) -> EmptyProgramError:
    """Return the error of an answer without any account of a kind."""
    return EmptyProgramError(
        f"RPC {client.pool.where}: program {client.network.program_id} has no {kind} accounts; "
        f"expected at least one ({remark})"
    )
