"""Decode the program's accounts.

Source of the layouts: the serviceability program's public Rust structs (malbeclabs/doublezero, 2026-08):
Borsh, little endian, byte 0 is the account's type, fields are only ever appended. So an account may end
before any of its newer fields (they read as zero or empty) or go on after the last one known (the rest is
ignored).
"""

import socket
import struct
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TypeVar

from solders.pubkey import Pubkey

from dzbgp.models.ledger import (
    Account,
    BgpStatus,
    Contributor,
    CyoaType,
    Device,
    DeviceStatus,
    DeviceType,
    Exchange,
    Location,
    MulticastGroup,
    Net,
    SkippedAccount,
    Tenant,
    User,
    UserStatus,
    UserType,
)

LOCATION = 3
EXCHANGE = 4
DEVICE = 5
USER = 7
MULTICAST_GROUP = 8
PROGRAM_CONFIG = 9
CONTRIBUTOR = 10
TENANT = 13

KNOWN_VERSION = (0, 18, 0)
"""The upstream release whose accounts and instruction are known here."""

USER_DEVICE_OFFSET = 83
"""Where a user's device_pk is: getProgramAccounts can filter on it."""

_NO_KEY = Pubkey.default()
_NO_KEY_BYTES = bytes(32)
# account_type, owner, index (two u64), bump, user_type, tenant, device, cyoa, client_ip, dz_ip, tunnel_id,
# tunnel_net (address: network order; prefix length), status: everything up to the first vec, at offset 132.
_USER_HEAD = struct.Struct("<B32sQQBB32s32sB4s4sH4sBB")
# account_type, bump; version, min_compatible_version: major, minor and patch each.
_PROGRAM_CONFIG = struct.Struct("<BB3I3I")
_USER_BGP = struct.Struct("<BBQQQ")
# The whole account of nearly every user: no publishers and subscribers, then validator_pubkey, tunnel_endpoint and the
# BGP fields, and no feeds.
_USER_PLAIN = struct.Struct(_USER_HEAD.format + "Q32s4sBBQQQI")
_DEVICE_HEAD = struct.Struct("<B32sQQB32s32sB4sB")
# Offsets of the code of an account. account_type, owner, index and bump take the first 50 bytes.
_PLACE_CODE = 50 + 21
"""Locations: lat, lng, loc_id, status. Exchanges: lat, lng, bgp_community, two unused bytes, status."""
_CONTRIBUTOR_CODE = 50 + 1
"""status"""
_GROUP_CODE = 50 + 45
"""tenant_pk, multicast_ip, max_bandwidth, status"""


# Members by value: calling the enum class takes longer than the rest of the decoding.
_USER_TYPES: dict[int, UserType] = {one.value: one for one in UserType}
_CYOA_TYPES: dict[int, CyoaType] = {one.value: one for one in CyoaType}
_USER_STATUSES: dict[int, UserStatus] = {one.value: one for one in UserStatus}
_BGP_STATUSES: dict[int, BgpStatus] = {one.value: one for one in BgpStatus}


class AccountError(ValueError):
    """The bytes are not an account of the wanted type."""


class _Reader:
    """Reads Borsh from `data`. Fields that an older, shorter account lacks read as zeros."""

    __slots__ = ("data", "offset")

    def __init__(self, data: bytes, offset: int) -> None:
        self.data = data
        self.offset = offset

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes. A field that is cut short, and all after it, read as zeros."""
        end = self.offset + size
        if end > len(self.data):
            self.offset = len(self.data)
            return bytes(size)
        taken = self.data[self.offset : end]
        self.offset = end
        return taken

    def length(self, item_size: int) -> int:
        """Return the number of items in a vec or string. Raises AccountError if they are not all there."""
        count = int.from_bytes(self.take(4), "little")
        if count * item_size > len(self.data) - self.offset:
            raise AccountError(
                f"offset {self.offset - 4}: a length of {count} items of {item_size} bytes, but only "
                f"{len(self.data) - self.offset} bytes follow"
            )
        return count

    def keys(self) -> tuple[Pubkey, ...]:
        return tuple([Pubkey(self.take(32)) for _ in range(self.length(32))])

    def nets(self) -> tuple[Net, ...]:
        return tuple([_net(self.take(4), self.take(1)[0]) for _ in range(self.length(5))])

    def text(self) -> str:
        return self.take(self.length(1)).decode("utf-8", errors="replace")


def _net(address: bytes, prefix_len: int) -> Net:
    return Net(int.from_bytes(address, "big"), prefix_len)


# Thousands of users refer to the same devices and tenants: one object each is enough.
@lru_cache(maxsize=4096)
def _shared_key(data: bytes) -> Pubkey:
    return Pubkey(data)


# Accounts of equal size have equal rent.
_shared_int = lru_cache(maxsize=256)(int)

# Most users' dz_ip is their client_ip, and their tunnel_endpoint a device's or none.
_ipv4 = lru_cache(maxsize=4096)(socket.inet_ntoa)


def decode_user(pubkey: Pubkey, data: bytes, lamports: int = 0) -> User:
    """Decode the account of a user at `pubkey`. Raises AccountError."""
    publishers: tuple[Pubkey, ...] = ()
    subscribers: tuple[Pubkey, ...] = ()
    feeds: tuple[Pubkey, ...] = ()
    size = len(data)
    head = _USER_PLAIN.unpack_from(data) if size >= _USER_PLAIN.size else ()
    if head and head[15] == 0 and head[23] == 0:
        validator, endpoint, flags, bgp_status, up_at, reported_at, rtt_ns = head[16:23]
    else:
        try:
            head = _USER_HEAD.unpack_from(data)
        except struct.error:
            raise AccountError(f"a user takes at least {_USER_HEAD.size} bytes, these are {size}") from None
        reader = _Reader(data, _USER_HEAD.size)
        if head[0] == USER:
            publishers = reader.keys()
            subscribers = reader.keys()
            validator = reader.take(32)
            endpoint = reader.take(4)
            flags, bgp_status, up_at, reported_at, rtt_ns = _bgp(reader)
            feeds = _feeds(reader) if reader.offset < size else ()
    if head[0] != USER:
        raise AccountError(f"account type {head[0]}, expected {USER} (user)")
    # By position, in the order of the fields: keywords would take 50 % longer.
    return User(
        pubkey,
        Pubkey(head[1]),
        head[2] | head[3] << 64,
        head[4],
        _USER_TYPES[head[5]] if head[5] in _USER_TYPES else UserType(head[5]),
        _shared_key(head[6]),
        _shared_key(head[7]),
        _CYOA_TYPES[head[8]] if head[8] in _CYOA_TYPES else CyoaType(head[8]),
        _ipv4(head[9]),
        _ipv4(head[10]),
        head[11],
        Net(int.from_bytes(head[12], "big"), head[13]),
        _USER_STATUSES[head[14]] if head[14] in _USER_STATUSES else UserStatus(head[14]),
        publishers,
        subscribers,
        _NO_KEY if validator == _NO_KEY_BYTES else Pubkey(validator),
        _ipv4(endpoint),
        flags,
        _BGP_STATUSES[bgp_status] if bgp_status in _BGP_STATUSES else BgpStatus(bgp_status),
        up_at,
        reported_at,
        rtt_ns,
        feeds,
        _shared_int(size),
        _shared_int(lamports),
    )


def _bgp(reader: _Reader) -> tuple[int, int, int, int, int]:
    """Read tunnel_flags and the BGP fields of an account that may end inside them."""
    if len(reader.data) - reader.offset >= _USER_BGP.size:
        flags, status, up_at, reported_at, rtt_ns = _USER_BGP.unpack_from(reader.data, reader.offset)
        reader.offset += _USER_BGP.size
        return flags, status, up_at, reported_at, rtt_ns
    flags, status = reader.take(1)[0], reader.take(1)[0]
    up_at, reported_at, rtt_ns = (int.from_bytes(reader.take(8), "little") for _ in range(3))
    return flags, status, up_at, reported_at, rtt_ns


def _feeds(reader: _Reader) -> tuple[Pubkey, ...]:
    """Read the last known field. If it is malformed, the account is still used."""
    try:
        return reader.keys()
    except AccountError:
        return ()


def decode_device(pubkey: Pubkey, data: bytes) -> Device:
    """Decode the account of a device at `pubkey`, up to mgmt_vrf. Raises AccountError."""
    try:
        head = _DEVICE_HEAD.unpack_from(data)
    except struct.error:
        raise AccountError(
            f"a device takes at least {_DEVICE_HEAD.size} bytes, these are {len(data)}"
        ) from None
    if head[0] != DEVICE:
        raise AccountError(f"account type {head[0]}, expected {DEVICE} (device)")
    reader = _Reader(data, _DEVICE_HEAD.size)
    code = reader.text()
    dz_prefixes = reader.nets()
    return Device(
        pubkey=pubkey,
        owner=Pubkey(head[1]),
        location_pk=Pubkey(head[5]),
        exchange_pk=Pubkey(head[6]),
        device_type=DeviceType(head[7]),
        public_ip=_ipv4(head[8]),
        status=DeviceStatus(head[9]),
        code=code,
        dz_prefixes=dz_prefixes,
        metrics_publisher_pk=Pubkey(reader.take(32)),
        contributor_pk=Pubkey(reader.take(32)),
        mgmt_vrf=reader.text(),
    )


def decode_tenant(pubkey: Pubkey, data: bytes) -> Tenant:
    """Decode code and vrf_id of the tenant at `pubkey`. Raises AccountError."""
    if len(data) < 34 or data[0] != TENANT:  # noqa: PLR2004 - type, owner, bump
        raise AccountError(f"not an account of type {TENANT} (tenant)")
    reader = _Reader(data, 34)
    return Tenant(pubkey=pubkey, code=reader.text(), vrf_id=int.from_bytes(reader.take(2), "little"))


@lru_cache(maxsize=16)
def program_config_key(program_id: Pubkey) -> Pubkey:
    """Return the address of the program's ProgramConfig."""
    return Pubkey.find_program_address([b"doublezero", b"programconfig"], program_id)[0]


def decode_min_version(data: bytes) -> tuple[int, int, int]:
    """Decode min_compatible_version of ProgramConfig; 0.0.0 if the account has none. Raises AccountError."""
    if data[:1] != bytes([PROGRAM_CONFIG]):
        raise AccountError(f"not an account of type {PROGRAM_CONFIG} (program config)")
    # An older account ends before the field.
    *_, major, minor, patch = _PROGRAM_CONFIG.unpack_from(data.ljust(_PROGRAM_CONFIG.size, b"\0"))
    return major, minor, patch


T = TypeVar("T")


def decode_all(
    kind: str, accounts: Iterable[Account], decode: Callable[[Account], T]
) -> tuple[dict[Pubkey, T], list[SkippedAccount]]:
    """Decode accounts by key. Return them, and those that cannot be decoded."""
    decoded: dict[Pubkey, T] = {}
    skipped = []
    for account in accounts:
        try:
            decoded[account.pubkey] = decode(account)
        except AccountError as error:
            skipped.append(SkippedAccount(account.pubkey, kind, str(error), _device_of(kind, account.data)))
    return decoded, skipped


def _device_of(kind: str, data: bytes) -> Pubkey | None:
    """Return the device of a user whose account cannot be decoded."""
    key = data[USER_DEVICE_OFFSET:][: Pubkey.LENGTH]
    return Pubkey(key) if kind == "user" and len(key) == Pubkey.LENGTH else None


def decode_location(pubkey: Pubkey, data: bytes) -> Location:
    """Decode code, name and country of the location at `pubkey`. Raises AccountError."""
    reader = _named(data, LOCATION, "location", _PLACE_CODE)
    return Location(pubkey, code=reader.text(), name=reader.text(), country=reader.text())


def decode_exchange(pubkey: Pubkey, data: bytes) -> Exchange:
    """Decode code and name of the exchange at `pubkey`. Raises AccountError."""
    reader = _named(data, EXCHANGE, "exchange", _PLACE_CODE)
    return Exchange(pubkey, code=reader.text(), name=reader.text())


def decode_contributor(pubkey: Pubkey, data: bytes) -> Contributor:
    """Decode the code of the contributor at `pubkey`. Raises AccountError."""
    return Contributor(pubkey, code=_named(data, CONTRIBUTOR, "contributor", _CONTRIBUTOR_CODE).text())


def decode_multicast_group(pubkey: Pubkey, data: bytes) -> MulticastGroup:
    """Decode the code of the multicast group at `pubkey`. Raises AccountError."""
    return MulticastGroup(pubkey, code=_named(data, MULTICAST_GROUP, "multicast group", _GROUP_CODE).text())


def _named(data: bytes, kind: int, name: str, code_offset: int) -> _Reader:
    """Return a reader positioned at the account's code, its first field of variable length."""
    if len(data) < code_offset:
        raise AccountError(f"a {name} takes at least {code_offset} bytes, these are {len(data)}")
    if data[0] != kind:
        raise AccountError(f"account type {data[0]}, expected {kind} ({name})")
    return _Reader(data, code_offset)
