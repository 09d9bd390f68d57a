"""Accounts of the program written byte by byte, and transactions that touch them."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

PROGRAM = Pubkey.from_string("7CTniUa88iJKUHTrCkB4TjAoG6TD7AMivhQeuqN2LPtX")
SYSTEM = Pubkey.default()
TAIL = struct.Struct("<4sBBQQQ")  # tunnel_endpoint, tunnel_flags, bgp_status, up_at, reported_at, rtt_ns
UP, DOWN = 1, 2


def key(number: int) -> Pubkey:
    return Pubkey(number.to_bytes(32, "big"))


def device(publisher: Pubkey, *, code: bytes = b"ams001-dz001", prefixes: int = 1, kind: int = 5) -> bytes:
    head = bytes([kind]) + bytes(key(1)) + bytes(16) + b"\xff" + bytes(key(2)) + bytes(key(3)) + b"\0"
    head += bytes([100, 0, 0, 1]) + b"\1" + struct.pack("<I", len(code)) + code
    nets = struct.pack("<I", prefixes) + bytes([100, 1, 0, 0, 24]) * prefixes
    return head + nets + bytes(publisher) + bytes(key(4)) + struct.pack("<I", 0)


def user_head(
    device_pk: Pubkey,
    *,
    kind: int = 7,
    client_ip: bytes = b"\x64\x02\x00\x01",
    dz_ip: bytes = b"\x64\x01\x00\x01",
    tunnel_id: int = 500,
    tunnel_net: bytes = bytes([169, 254, 0, 0, 31]),
    status: int = 1,
    publishers: int = 0,
    subscribers: int = 0,
) -> bytes:
    """Through validator_pubkey: the oldest layout."""
    head = bytes([kind]) + bytes(key(5)) + bytes(16) + b"\xfe" + b"\0" + bytes(32) + bytes(device_pk) + b"\1"
    head += client_ip + dz_ip + struct.pack("<H", tunnel_id) + tunnel_net + bytes([status])
    groups = struct.pack("<I", publishers) + bytes(key(6)) * publishers
    return head + groups + struct.pack("<I", subscribers) + bytes(key(7)) * subscribers + bytes(key(8))


def user(
    device_pk: Pubkey,
    *,
    bgp_status: int = 0,
    up_at: int = 0,
    reported_at: int = 0,
    feeds: int = 0,
    **head: Any,
) -> bytes:
    """The newest layout."""
    tail = TAIL.pack(bytes(4), 0, bgp_status, up_at, reported_at, 0)
    return user_head(device_pk, **head) + tail + struct.pack("<I", feeds) + bytes(key(9)) * feeds


@dataclass(frozen=True)
class Bgp:
    status: int
    up_at: int
    reported_at: int
    rtt_ns: int


def bgp(data: bytes | None) -> Bgp:
    """The BGP fields of a user account of the newest layout."""
    assert data is not None
    at = 132
    for _ in range(2):
        at += 4 + 32 * struct.unpack_from("<I", data, at)[0]
    return Bgp(*TAIL.unpack_from(data, at + 32)[2:])


def payload(status: int = UP, rtt_ns: int = 0) -> bytes:
    return struct.pack("<BBQ", 106, status, rtt_ns)


def write(user_pk: Pubkey, device_pk: Pubkey, publisher: Pubkey, data: bytes | None = None) -> Instruction:
    metas = [
        AccountMeta(user_pk, is_signer=False, is_writable=True),
        AccountMeta(device_pk, is_signer=False, is_writable=False),
        AccountMeta(publisher, is_signer=True, is_writable=True),
        AccountMeta(SYSTEM, is_signer=False, is_writable=False),
    ]
    return Instruction(PROGRAM, payload() if data is None else data, metas)


def sign(instructions: Sequence[Instruction], payer: Keypair, blockhash: Hash) -> VersionedTransaction:
    message = Message.new_with_blockhash(list(instructions), payer.pubkey(), blockhash)
    return VersionedTransaction(message, [payer])
