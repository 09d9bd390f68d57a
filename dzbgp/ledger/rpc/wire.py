"""The answers of RPCs as msgspec decodes them: only the fields that are used, each with its bounds."""

import struct
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from solders.hash import Hash
from solders.pubkey import Pubkey

from dzbgp.models.ledger import Account

T = TypeVar("T")

# slot, epoch_start_timestamp, epoch, leader_schedule_epoch, unix_timestamp
_CLOCK = struct.Struct("<QqQQq")

U63 = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
"""Slots, heights and lamports are u64. The upper half is unused, and SQLite's integers are signed."""


# gc=False: there are as many as users, and none is part of a reference cycle.
class AccountItem(msgspec.Struct, gc=False):
    """An account in base64."""

    data: tuple[bytes, Literal["base64"]]
    lamports: U63

    def record(self, pubkey: Pubkey) -> Account:
        """Return it as the program's own record."""
        return Account(pubkey, self.data[0], self.lamports)


class ProgramAccount(msgspec.Struct, gc=False):
    """An account with its address."""

    pubkey: Pubkey
    account: AccountItem


class SlotContext(msgspec.Struct):
    """The slot of an answer."""

    slot: U63


class InContext(msgspec.Struct, Generic[T]):
    """An answer as of a slot."""

    context: SlotContext
    value: T


IN_CONTEXT: Any = InContext


def clock_of(answer: InContext[list[AccountItem | None]]) -> tuple[int, float] | None:
    """Decode the Clock sysvar, the first account of an answer: its slot and Unix time. None if it is not there."""
    item = answer.value[0]
    if item is None or len(item.data[0]) < _CLOCK.size:
        return None
    slot, _, _, _, unix_time = _CLOCK.unpack_from(item.data[0])
    return slot, float(unix_time)


class BlockhashItem(msgspec.Struct, rename="camel"):
    """The value of getLatestBlockhash."""

    blockhash: Hash
    last_valid_block_height: U63


class EpochInfo(msgspec.Struct, rename="camel"):
    """The result of getEpochInfo."""

    absolute_slot: U63
    block_height: U63


class Sample(msgspec.Struct, rename="camel"):
    """An item of getRecentPerformanceSamples."""

    num_slots: U63
    sample_period_secs: U63


class StatusItem(msgspec.Struct, rename="camel"):
    """An item of getSignatureStatuses."""

    slot: U63
    err: Any
    confirmation_status: str | None = None


class SimulationItem(msgspec.Struct, rename="camel"):
    """The value of simulateTransaction."""

    err: Any
    logs: list[str] | None = None
    units_consumed: U63 | None = None


class Meta(msgspec.Struct, rename="camel"):
    """The meta of getTransaction."""

    log_messages: list[str] | None = None


class LandedItem(msgspec.Struct):
    """The result of getTransaction."""

    meta: Meta | None


def list_of(length: int, item: Any) -> Any:
    """Return the type of a list of exactly `length` items."""
    return Annotated[list[item], msgspec.Meta(min_length=length, max_length=length)]
