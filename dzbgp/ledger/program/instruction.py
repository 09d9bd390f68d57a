"""The instruction SetUserBGPStatus.

Source: the serviceability program's public Rust code (malbeclabs/doublezero, 2026-08).
"""

import struct
from dataclasses import dataclass

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM_PROGRAM

from dzbgp.models.ledger import BgpStatus, User

_VARIANT = 106
_DATA = struct.Struct("<BBQ")
# Bytes of a user's account but for its vecs' items: 132 up to the first vec, three vec lengths,
# validator_pubkey, tunnel_endpoint, tunnel_flags, bgp_status, two slots and the RTT.
_USER_FIXED = 132 + 3 * 4 + 32 + 4 + 1 + 1 + 3 * 8


@dataclass(frozen=True, slots=True)
class Write:
    """One user's status to be written, signed and paid for by `publisher`. An RTT goes with Up only."""

    user: Pubkey
    device: Pubkey
    publisher: Pubkey
    status: BgpStatus
    rtt_ns: int = 0
    grown_len: int = 0
    """Length in bytes that the program will grow the account to; 0 when it is long enough."""
    lamports: int = 0
    """What the account holds now: the publisher pays the rest of the grown account's rent."""

    def __post_init__(self) -> None:
        if self.status not in {BgpStatus.UP, BgpStatus.DOWN}:
            raise ValueError(f"only up and down can be written, not {self.status.label}")
        if self.status is BgpStatus.DOWN and self.rtt_ns:
            raise ValueError("a session that is down has no RTT")


def grown_len(user: User) -> int:
    """Gives the length that a write makes of the user's account, 0 when it has that length already."""
    items = len(user.publishers) + len(user.subscribers) + len(user.feed_pks)
    full = _USER_FIXED + 32 * items
    return full if full > user.data_len else 0


def set_bgp_status(write: Write, program_id: Pubkey) -> Instruction:
    """Builds SetUserBGPStatus: [106, status u8, rtt_ns u64]; accounts user, device, publisher, system."""
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
