"""Encoders of the program's accounts, for the lab's ledger and for tests.

Written from the layouts alone and without the decoders of dzbgp/ledger/program/accounts.py: each checks the other.
Source of the layouts: the serviceability program's public Rust structs (malbeclabs/doublezero, 2026-08):
Borsh, little endian; byte 0 is the account's type; fields are only ever appended.
"""

import hashlib
import ipaddress
import struct
from collections.abc import Iterable
from enum import IntEnum

from solders.pubkey import Pubkey

from dzbgp.models.ledger import Device, Net, Tenant, User

NO_KEY = Pubkey.default()


class AccountType(IntEnum):
    """Byte 0 of every account."""

    GLOBAL_STATE = 1
    GLOBAL_CONFIG = 2
    LOCATION = 3
    EXCHANGE = 4
    DEVICE = 5
    LINK = 6
    USER = 7
    MULTICAST_GROUP = 8
    PROGRAM_CONFIG = 9
    CONTRIBUTOR = 10
    ACCESS_PASS = 11
    RESOURCE_EXTENSION = 12
    TENANT = 13
    PERMISSION = 15
    INDEX = 16
    TOPOLOGY = 17
    FEED = 18


class Layout(IntEnum):
    """How much of a user an account has room for, oldest first. Program upgrades left the old ones behind."""

    OLDEST = 0
    """Ends with validator_pubkey."""
    WITHOUT_BGP = 1
    """Ends with tunnel_flags: no field about BGP."""
    WITHOUT_RTT = 2
    """Ends with last_bgp_reported_at."""
    WITHOUT_FEEDS = 3
    """Ends with bgp_rtt_ns."""
    ZERO_FEEDS = 4
    """32 zero bytes where feed_pks is now: an empty vec with bytes behind it."""
    CURRENT = 5


def encode_user(user: User, layout: Layout = Layout.CURRENT) -> bytes:
    """Encode a user without the fields that `layout` has no room for; `data_len` and `lamports` are no data.

    Raises struct.error or ValueError when a field does not fit its type.
    """
    data = b"".join(
        (
            _head(AccountType.USER, user.owner, user.index, user.bump_seed),
            _u8(user.user_type),
            bytes(user.tenant_pk),
            bytes(user.device_pk),
            _u8(user.cyoa_type),
            _ipv4(user.client_ip),
            _ipv4(user.dz_ip),
            _u16(user.tunnel_id),
            _net(user.tunnel_net),
            _u8(user.status),
            _keys(user.publishers),
            _keys(user.subscribers),
            bytes(user.validator_pubkey),
        )
    )
    if layout >= Layout.WITHOUT_BGP:
        data += _ipv4(user.tunnel_endpoint) + _u8(user.tunnel_flags)
    if layout >= Layout.WITHOUT_RTT:
        data += _u8(user.bgp_status) + _u64(user.last_bgp_up_at) + _u64(user.last_bgp_reported_at)
    if layout >= Layout.WITHOUT_FEEDS:
        data += _u64(user.bgp_rtt_ns)
    if layout is Layout.ZERO_FEEDS:
        data += bytes(32)
    if layout is Layout.CURRENT:
        data += _keys(user.feed_pks)
    return data


def encode_device(device: Device, *, index: int = 1, bump_seed: int = 255) -> bytes:
    """Encode a device, with no interface in its deprecated list. Raises as encode_user does."""
    return b"".join(
        (
            _head(AccountType.DEVICE, device.owner, index, bump_seed),
            bytes(device.location_pk),
            bytes(device.exchange_pk),
            _u8(device.device_type),
            _ipv4(device.public_ip),
            _u8(device.status),
            _text(device.code),
            _u32(len(device.dz_prefixes)),
            *(_net(prefix) for prefix in device.dz_prefixes),
            bytes(device.metrics_publisher_pk),
            bytes(device.contributor_pk),
            _text(device.mgmt_vrf),
            _u32(0),  # interfaces
            bytes(12),  # counters of no interest here
        )
    )


def encode_tenant(tenant: Tenant, *, owner: Pubkey = NO_KEY, bump_seed: int = 255) -> bytes:
    """Encode a tenant; unlike the other kinds it has no index. Raises as encode_user does."""
    return b"".join(
        (
            _u8(AccountType.TENANT),
            bytes(owner),
            _u8(bump_seed),
            _text(tenant.code),
            _u16(tenant.vrf_id),
            bytes(9),  # fields of no interest here
        )
    )


def encode_contributor(code: str, *, owner: Pubkey = NO_KEY, index: int = 1, status: int = 1) -> bytes:
    """Encode a contributor."""
    return _head(AccountType.CONTRIBUTOR, owner, index, 255) + _u8(status) + _text(code) + bytes(36)


def encode_location(
    code: str,
    name: str,
    country: str,
    *,
    degrees: tuple[float, float] = (0.0, 0.0),
    owner: Pubkey = NO_KEY,
    index: int = 1,
    status: int = 1,
) -> bytes:
    """Encode a location; `degrees` north and east."""
    return b"".join(
        (
            _head(AccountType.LOCATION, owner, index, 255),
            struct.pack("<ddI", *degrees, 0),
            _u8(status),
            _text(code),
            _text(name),
            _text(country),
            bytes(4),
        )
    )


def encode_exchange(
    code: str,
    name: str,
    *,
    degrees: tuple[float, float] = (0.0, 0.0),
    bgp_community: int = 10_000,
    owner: Pubkey = NO_KEY,
    index: int = 1,
    status: int = 1,
) -> bytes:
    """Encode an exchange; `degrees` north and east."""
    return b"".join(
        (
            _head(AccountType.EXCHANGE, owner, index, 255),
            struct.pack("<ddH2x", *degrees, bgp_community),
            _u8(status),
            _text(code),
            _text(name),
            bytes(68),
        )
    )


def encode_noise(kind: AccountType, seed: int, *, size: int = 200) -> bytes:
    """Make an account of a kind that nobody here decodes: its type, then `size` arbitrary bytes."""
    stream = hashlib.shake_128(f"noise {kind} {seed}".encode()).digest(size)
    return _u8(kind) + stream


def _head(kind: AccountType, owner: Pubkey, index: int, bump_seed: int) -> bytes:
    return _u8(kind) + bytes(owner) + index.to_bytes(16, "little") + _u8(bump_seed)


def _u8(value: int) -> bytes:
    return struct.pack("<B", value)


def _u16(value: int) -> bytes:
    return struct.pack("<H", value)


def _u32(value: int) -> bytes:
    return struct.pack("<I", value)


def _u64(value: int) -> bytes:
    return struct.pack("<Q", value)


def _text(value: str) -> bytes:
    data = value.encode()
    return _u32(len(data)) + data


def _keys(keys: Iterable[Pubkey]) -> bytes:
    items = [bytes(key) for key in keys]
    return _u32(len(items)) + b"".join(items)


def _ipv4(address: str) -> bytes:
    return ipaddress.IPv4Address(address).packed


def _net(net: Net) -> bytes:
    return net.address.to_bytes(4, "big") + _u8(net.prefix_len)
