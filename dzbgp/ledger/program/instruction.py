"""The instruction SetUserBGPStatus.

Source: the serviceability program's public Rust code (malbeclabs/doublezero, 2026-08).
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM_PROGRAM

from dzbgp.models.ledger import BgpStatus, User
from dzbgp.models.session import Look

_VARIANT = 106
_DATA = struct.Struct("<BBQ")
_ACCOUNTS = 4
# Bytes of a user's account but for its vecs' items: 132 up to the first vec, three vec lengths,
# validator_pubkey, tunnel_endpoint, tunnel_flags, bgp_status, two slots and the RTT.
_USER_FIXED = 132 + 3 * 4 + 32 + 4 + 1 + 1 + 3 * 8


@dataclass(frozen=True, slots=True)
class Write:
    """A user's status to write, signed and paid for by `publisher`. Only an Up carries an RTT."""

    user: Pubkey
    device: Pubkey
    publisher: Pubkey
    status: BgpStatus
    rtt_ns: int = 0
    grown_len: int = 0
    """Length in bytes that the program grows the account to; 0 if it is long enough."""
    lamports: int = 0
    """The account's balance: the publisher pays the rest of the grown account's rent."""
    seen: User | None = None
    """The user as the decision saw it."""
    look: Look | None = None
    """When its device was asked. A write without it is never signed."""

    def __post_init__(self) -> None:
        if self.status not in {BgpStatus.UP, BgpStatus.DOWN}:
            raise ValueError(f"only up and down can be written, not {self.status.label}")
        if self.status is BgpStatus.DOWN and self.rtt_ns:
            raise ValueError("a session that is down has no RTT")


def grown_len(user: User) -> int:
    """Return the length that a write grows the user's account to, 0 if it is long enough already."""
    items = len(user.publishers) + len(user.subscribers) + len(user.feed_pks)
    full = _USER_FIXED + 32 * items
    return full if full > user.data_len else 0


def is_set_bgp_status(data: bytes, accounts: Sequence[Pubkey]) -> bool:
    """Whether an instruction of the program is SetUserBGPStatus in the form that is built here."""
    return len(data) == _DATA.size and data[0] == _VARIANT and len(accounts) == _ACCOUNTS


def set_bgp_status(write: Write, program_id: Pubkey) -> Instruction:
    """Build SetUserBGPStatus: [106, status u8, rtt_ns u64]; accounts user, device, publisher, system."""
    return Instruction(
        program_id,
        _DATA.pack(_VARIANT, write.status, write.rtt_ns),
        [
            AccountMeta(write.user, is_signer=False, is_writable=True),
            AccountMeta(write.device, is_signer=False, is_writable=False),
            AccountMeta(write.publisher, is_signer=True, is_writable=True),
            AccountMeta(SYSTEM_PROGRAM, is_signer=False, is_writable=False),
        ],
    )
