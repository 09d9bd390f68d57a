"""The decoders of accounts against literal bytes, against the lab's encoders, and against garbage."""

import base64
import contextlib
import struct
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from solders.pubkey import Pubkey
from stage import stage

from dzbgp.lab.world.encode import AccountType, Layout, encode_device, encode_tenant, encode_user
from dzbgp.ledger.program.accounts import (
    USER_DEVICE_OFFSET,
    AccountError,
    decode_all,
    decode_device,
    decode_min_version,
    decode_tenant,
    decode_user,
    program_config_key,
)
from dzbgp.ledger.program.fetch import fetch
from dzbgp.models.ledger import (
    Account,
    BgpStatus,
    CyoaType,
    Device,
    DeviceStatus,
    DeviceType,
    Net,
    Tenant,
    User,
    UserStatus,
    UserType,
    dotted,
)

ADDRESS = Pubkey(bytes([99]) * 32)
NO_KEY = Pubkey.default()

u8 = st.integers(0, 0xFF)
u16 = st.integers(0, 0xFFFF)
u64 = st.integers(0, 2**64 - 1)
ipv4 = st.integers(0, 2**32 - 1).map(dotted)
keys = st.binary(min_size=32, max_size=32).map(Pubkey)
key_lists = st.lists(keys, max_size=4).map(tuple)
nets = st.builds(Net, st.integers(0, 2**32 - 1), u8)
codes = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)

users = st.builds(
    User,
    pubkey=st.just(ADDRESS),
    owner=keys,
    index=st.integers(0, 2**128 - 1),
    bump_seed=u8,
    user_type=u8.map(UserType),
    tenant_pk=keys,
    device_pk=keys,
    cyoa_type=u8.map(CyoaType),
    client_ip=ipv4,
    dz_ip=ipv4,
    tunnel_id=u16,
    tunnel_net=nets,
    status=u8.map(UserStatus),
    publishers=key_lists,
    subscribers=key_lists,
    validator_pubkey=keys,
    tunnel_endpoint=ipv4,
    tunnel_flags=u8,
    bgp_status=u8.map(BgpStatus),
    last_bgp_up_at=u64,
    last_bgp_reported_at=u64,
    bgp_rtt_ns=u64,
    feed_pks=key_lists,
    data_len=st.just(0),
    lamports=u64,
)
devices = st.builds(
    Device,
    pubkey=st.just(ADDRESS),
    owner=keys,
    location_pk=keys,
    exchange_pk=keys,
    device_type=u8.map(DeviceType),
    public_ip=ipv4,
    status=u8.map(DeviceStatus),
    code=codes,
    dz_prefixes=st.lists(nets, max_size=4).map(tuple),
    metrics_publisher_pk=keys,
    contributor_pk=keys,
    mgmt_vrf=codes,
)
tenants = st.builds(Tenant, pubkey=st.just(ADDRESS), code=codes, vrf_id=u16)


def literal_user() -> bytes:
    """A user written byte by byte at the offsets of the layout; one publisher, two subscribers, one feed."""
    data = bytearray(338)
    data[0] = 7
    data[1:33] = bytes([1]) * 32
    data[33] = 6
    data[41] = 2
    data[49] = 254
    data[50] = 3
    data[51:83] = bytes([2]) * 32
    data[83:115] = bytes([3]) * 32
    data[115] = 5
    data[116:120] = bytes([198, 51, 100, 7])
    data[120:124] = bytes([192, 0, 2, 9])
    data[124:126] = bytes([0xF5, 0x01])
    data[126:131] = bytes([169, 254, 1, 2, 31])
    data[131] = 8
    data[132:168] = bytes([1, 0, 0, 0]) + bytes([4]) * 32
    data[168:236] = bytes([2, 0, 0, 0]) + bytes([5]) * 32 + bytes([6]) * 32
    data[236:268] = bytes([7]) * 32
    data[268:272] = bytes([203, 0, 113, 5])
    data[272] = 1
    data[273] = 2
    data[274:282] = bytes([8, 7, 6, 5, 4, 3, 2, 1])
    data[282] = 9
    data[290:298] = (4_287_000).to_bytes(8, "little")
    data[298:334] = bytes([1, 0, 0, 0]) + bytes([8]) * 32
    return bytes(data[:334])


def test_every_field_of_a_user_is_read_from_its_literal_offset() -> None:
    assert decode_user(ADDRESS, literal_user(), 77) == User(
        pubkey=ADDRESS,
        owner=Pubkey(bytes([1]) * 32),
        index=6 | 2 << 64,
        bump_seed=254,
        user_type=UserType.MULTICAST,
        tenant_pk=Pubkey(bytes([2]) * 32),
        device_pk=Pubkey(bytes([3]) * 32),
        cyoa_type=CyoaType.GRE_OVER_CABLE,
        client_ip="198.51.100.7",
        dz_ip="192.0.2.9",
        tunnel_id=501,
        tunnel_net=Net(0xA9FE0102, 31),
        status=UserStatus.OUT_OF_CREDITS,
        publishers=(Pubkey(bytes([4]) * 32),),
        subscribers=(Pubkey(bytes([5]) * 32), Pubkey(bytes([6]) * 32)),
        validator_pubkey=Pubkey(bytes([7]) * 32),
        tunnel_endpoint="203.0.113.5",
        tunnel_flags=1,
        bgp_status=BgpStatus.DOWN,
        last_bgp_up_at=0x0102030405060708,
        last_bgp_reported_at=9,
        bgp_rtt_ns=4_287_000,
        feed_pks=(Pubkey(bytes([8]) * 32),),
        data_len=334,
        lamports=77,
    )


def test_the_filter_offset_is_where_the_device_of_a_user_stands() -> None:
    data = literal_user()
    assert USER_DEVICE_OFFSET == 83
    assert bytes(decode_user(ADDRESS, data).device_pk) == data[83:115]


def test_every_field_of_a_device_is_read_from_its_literal_offset() -> None:
    data = (
        bytes([5])
        + bytes([1]) * 32
        + bytes(16)
        + bytes([255])
        + bytes([2]) * 32
        + bytes([3]) * 32
        + bytes([2])
        + bytes([203, 0, 113, 5])
        + bytes([5])
        + b"\x0a\0\0\0ams-dz-001"
        + b"\x01\0\0\0"
        + bytes([192, 0, 2, 0, 27])
        + bytes([4]) * 32
        + bytes([5]) * 32
        + b"\x04\0\0\0mgmt"
    )
    assert decode_device(ADDRESS, data) == Device(
        pubkey=ADDRESS,
        owner=Pubkey(bytes([1]) * 32),
        location_pk=Pubkey(bytes([2]) * 32),
        exchange_pk=Pubkey(bytes([3]) * 32),
        device_type=DeviceType.EDGE,
        public_ip="203.0.113.5",
        status=DeviceStatus.DRAINED,
        code="ams-dz-001",
        dz_prefixes=(Net(0xC0000200, 27),),
        metrics_publisher_pk=Pubkey(bytes([4]) * 32),
        contributor_pk=Pubkey(bytes([5]) * 32),
        mgmt_vrf="mgmt",
    )


def test_a_tenant_has_no_index_before_its_code() -> None:
    data = bytes([13]) + bytes(32) + b"\xff" + b"\x04\0\0\0acme" + b"\x02\x01"
    assert decode_tenant(ADDRESS, data) == Tenant(ADDRESS, "acme", 258)


@given(users)
def test_a_user_is_read_as_it_was_written(user: User) -> None:
    data = encode_user(user)
    assert decode_user(ADDRESS, data, user.lamports) == replace(user, data_len=len(data))


@given(devices)
def test_a_device_is_read_as_it_was_written(device: Device) -> None:
    assert decode_device(ADDRESS, encode_device(device)) == device


@given(tenants)
def test_a_tenant_is_read_as_it_was_written(tenant: Tenant) -> None:
    assert decode_tenant(ADDRESS, encode_tenant(tenant)) == tenant


ZEROS: dict[str, Any] = {
    "tunnel_endpoint": "0.0.0.0",
    "tunnel_flags": 0,
    "bgp_status": BgpStatus.UNKNOWN,
    "last_bgp_up_at": 0,
    "last_bgp_reported_at": 0,
    "bgp_rtt_ns": 0,
    "feed_pks": (),
}
HAS = {
    Layout.OLDEST: 0,
    Layout.WITHOUT_BGP: 2,
    Layout.WITHOUT_RTT: 5,
    Layout.WITHOUT_FEEDS: 6,
    Layout.ZERO_FEEDS: 6,
    Layout.CURRENT: 7,
}


@pytest.mark.parametrize("layout", list(Layout), ids=lambda layout: layout.name.lower())
@given(user=users)
def test_what_an_older_layout_lacks_is_zero_or_empty(layout: Layout, user: User) -> None:
    data = encode_user(user, layout)
    missing = {name: ZEROS[name] for name in list(ZEROS)[HAS[layout] :]}
    expected = replace(user, data_len=len(data), **missing)
    assert decode_user(ADDRESS, data, user.lamports) == expected


def test_thirty_two_zero_bytes_in_the_place_of_the_feeds_are_no_feeds() -> None:
    data = literal_user()[:298] + bytes(32)
    user = decode_user(ADDRESS, data)
    assert user.feed_pks == ()
    assert user.bgp_rtt_ns == 4_287_000


def test_nonsense_in_the_place_of_the_feeds_does_not_cost_the_account() -> None:
    user = decode_user(ADDRESS, literal_user()[:298] + b"\xff\xff\xff\xff\x01")
    assert user.feed_pks == ()
    assert user.bgp_status is BgpStatus.DOWN


# Where each field behind the head ends in literal_user(): a cut before that end takes the field away.
ENDS = {
    "validator_pubkey": (268, NO_KEY),
    "tunnel_endpoint": (272, "0.0.0.0"),
    "tunnel_flags": (273, 0),
    "bgp_status": (274, BgpStatus.UNKNOWN),
    "last_bgp_up_at": (282, 0),
    "last_bgp_reported_at": (290, 0),
    "bgp_rtt_ns": (298, 0),
    "feed_pks": (334, ()),
}


def test_a_user_cut_anywhere_reads_zeros_for_what_is_missing_or_is_refused() -> None:
    whole = decode_user(ADDRESS, literal_user())
    refused = []
    for size in range(335):
        try:
            user = decode_user(ADDRESS, literal_user()[:size])
        except AccountError:
            refused.append(size)
            continue
        gone: dict[str, Any] = {name: zero for name, (end, zero) in ENDS.items() if size < end}
        if size < 236:
            gone["subscribers"] = ()
        if size < 168:
            gone["publishers"] = ()
        assert user == replace(whole, data_len=size, **gone), size
    # Too short for a user at all, or cut in the middle of a vec's items.
    assert refused == [*range(132), *range(136, 168), *range(172, 236)]


@given(devices, st.data())
def test_a_device_cut_anywhere_is_read_in_part_or_refused(device: Device, data: st.DataObject) -> None:
    whole = encode_device(device)
    cut = data.draw(st.integers(0, len(whole)))
    try:
        read = decode_device(ADDRESS, whole[:cut])
    except AccountError:
        return
    assert (read.owner, read.public_ip, read.status) == (device.owner, device.public_ip, device.status)
    assert read.code in {device.code, ""}
    assert read.metrics_publisher_pk in {device.metrics_publisher_pk, NO_KEY}
    assert read.mgmt_vrf in {device.mgmt_vrf, ""}


@given(tenants, st.data())
def test_a_tenant_cut_anywhere_is_read_in_part_or_refused(tenant: Tenant, data: st.DataObject) -> None:
    whole = encode_tenant(tenant)
    cut = data.draw(st.integers(0, len(whole)))
    try:
        read = decode_tenant(ADDRESS, whole[:cut])
    except AccountError:
        return
    assert read.code in {tenant.code, ""}
    assert read.vrf_id in {tenant.vrf_id, 0}


@given(users, st.binary(max_size=80))
def test_bytes_behind_a_users_last_known_field_are_ignored(user: User, tail: bytes) -> None:
    data = encode_user(user) + tail
    assert decode_user(ADDRESS, data, user.lamports) == replace(user, data_len=len(data))


@given(devices, tenants, st.binary(max_size=80))
def test_bytes_behind_a_devices_or_tenants_last_known_field_are_ignored(
    device: Device, tenant: Tenant, tail: bytes
) -> None:
    assert decode_device(ADDRESS, encode_device(device) + tail) == device
    assert decode_tenant(ADDRESS, encode_tenant(tenant) + tail) == tenant


DECODERS: list[Callable[[Pubkey, bytes], object]] = [decode_user, decode_device, decode_tenant]


@pytest.mark.parametrize("decode", DECODERS)
@given(
    kind=st.sampled_from([None, 5, 7, 13]), data=st.binary(max_size=64) | st.binary(min_size=64, max_size=600)
)
def test_arbitrary_bytes_raise_nothing_but_account_error(
    decode: Callable[[Pubkey, bytes], object], kind: int | None, data: bytes
) -> None:
    with contextlib.suppress(AccountError):
        decode(ADDRESS, data if kind is None else bytes([kind]) + data)


@given(users, st.data())
def test_a_damaged_user_raises_nothing_but_account_error(user: User, data: st.DataObject) -> None:
    whole = bytearray(encode_user(user))
    for _ in range(3):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(u8)
    with contextlib.suppress(AccountError):
        decode_user(ADDRESS, bytes(whole))


@pytest.mark.parametrize("kind", [kind for kind in AccountType if kind is not AccountType.USER])
def test_an_account_of_another_type_is_no_user(kind: AccountType) -> None:
    with pytest.raises(AccountError, match=f"account type {kind.value}, expected 7"):
        decode_user(ADDRESS, bytes([kind]) + literal_user()[1:])


@pytest.mark.parametrize(
    ("decode", "data"),
    [
        (decode_device, literal_user()),
        (decode_tenant, literal_user()),
        (decode_device, b""),
        (decode_tenant, b""),
        (decode_user, b""),
    ],
    ids=["user as device", "user as tenant", "empty device", "empty tenant", "empty user"],
)
def test_what_is_of_another_type_or_empty_is_refused(
    decode: Callable[[Pubkey, bytes], object], data: bytes
) -> None:
    with pytest.raises(AccountError):
        decode(ADDRESS, data)


@pytest.mark.parametrize("number", [4, 99, 250], ids=["small", "larger", "almost the largest"])
def test_an_enum_value_that_is_not_known_is_kept_and_named_by_its_number(number: int) -> None:
    data = bytearray(literal_user())
    data[50], data[115], data[131], data[273] = number, number + 2, number + 5, number
    user = decode_user(ADDRESS, bytes(data))
    assert int(user.user_type) == number
    assert user.user_type.label == f"unknown-{number}"
    assert user.bgp_status.label == f"unknown-{number}"
    assert user.status.label == f"unknown-{number + 5}"
    assert user.cyoa_type.label == f"unknown-{number + 2}"
    assert user.user_type is UserType(number)
    assert user.status is not UserStatus.ACTIVATED


def test_a_gap_in_an_enums_numbers_is_an_unknown_value_too() -> None:
    assert DeviceStatus(2).label == "unknown-2"


@pytest.mark.parametrize(
    ("member", "label"),
    [
        (UserType.IBRL_WITH_ALLOCATED_IP, "ibrl-with-allocated-ip"),
        (UserStatus.PENDING_BAN, "pending-ban"),
        (BgpStatus.UNKNOWN, "unknown"),
        (DeviceStatus.LINK_PROVISIONING, "link-provisioning"),
    ],
)
def test_labels_are_the_names_in_small_letters(member: Any, label: str) -> None:
    assert member.label == label


HUGE = struct.pack("<I", 0xFFFFFFFF)


@pytest.mark.parametrize(
    ("decode", "data"),
    [
        (decode_user, literal_user()[:132] + HUGE + bytes(200)),
        (decode_user, literal_user()[:168] + HUGE + bytes(200)),
        (decode_device, bytes([5]) + bytes(119) + HUGE + bytes(200)),
        (decode_device, bytes([5]) + bytes(119) + bytes(4) + HUGE + bytes(200)),
        (decode_device, bytes([5]) + bytes(119) + bytes(8 + 64) + HUGE),
        (decode_tenant, bytes([13]) + bytes(33) + HUGE),
    ],
    ids=["publishers", "subscribers", "code", "dz_prefixes", "mgmt_vrf", "tenant code"],
)
def test_a_huge_count_is_refused_without_allocating(
    decode: Callable[[Pubkey, bytes], object], data: bytes
) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(AccountError, match="4294967295 items"):
            decode(ADDRESS, data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100_000


def test_a_huge_count_of_feeds_reads_as_none_without_allocating() -> None:
    tracemalloc.start()
    try:
        assert decode_user(ADDRESS, literal_user()[:298] + HUGE + bytes(32)).feed_pks == ()
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_a_code_that_is_no_utf8_is_read_with_marks_in_its_place() -> None:
    data = bytes([13]) + bytes(33) + b"\x03\0\0\0a\xffb" + b"\x01\0"
    assert decode_tenant(ADDRESS, data) == Tenant(ADDRESS, "a\ufffdb", 1)


def test_one_garbage_account_becomes_a_sentence_and_the_rest_is_read() -> None:
    other = Pubkey(bytes([98]) * 32)
    accounts = [Account(ADDRESS, literal_user(), 5), Account(other, b"\x07garbage", 6)]
    decoded, skipped = decode_all(
        "user", accounts, lambda one: decode_user(one.pubkey, one.data, one.lamports)
    )
    assert list(decoded) == [ADDRESS]
    assert decoded[ADDRESS].lamports == 5
    assert len(skipped) == 1
    assert str(skipped[0]).startswith(f"user account {other} could not be read and was skipped: ")


def test_of_a_user_that_cannot_be_read_the_device_is_known_where_the_account_reaches_so_far() -> None:
    """Whoever has that device in the inventory must hear of it."""
    odd = literal_user()[:168] + b"\xff" * 4
    accounts = [Account(ADDRESS, odd, 5), Account(ADDRESS, odd[:114], 5)]
    _, skipped = decode_all("user", accounts, lambda one: decode_user(one.pubkey, one.data, one.lamports))
    assert [one.device for one in skipped] == [Pubkey(bytes([3]) * 32), None]
    _, skipped = decode_all("tenant", accounts, lambda one: decode_tenant(one.pubkey, one.data))
    assert [one.device for one in skipped] == [None, None]


# The program's own configuration


def test_the_version_that_clients_need_is_read() -> None:
    """The first account is upstream's own example, older than the field."""
    assert decode_min_version(base64.b64decode("Cf8AAAAABgAAAAcAAAA=")) == (0, 0, 0)
    head = bytes([9, 255]) + struct.pack("<3I", 0, 6, 7)
    assert decode_min_version(head + struct.pack("<3I", 1, 2, 3) + b"more") == (1, 2, 3)
    with pytest.raises(AccountError, match="type 9"):
        decode_min_version(bytes([5]) * 40)


@pytest.mark.parametrize(("wanted", "noted"), [((0, 18, 0), False), ((0, 18, 1), True), ((1, 0, 0), True)])
def test_a_program_that_asks_for_newer_clients_is_noted(wanted: tuple[int, int, int], noted: bool) -> None:
    with stage(users=1) as made:
        data = bytes([9, 255]) + struct.pack("<6I", 1, 0, 0, *wanted)
        made.ledger.set_account(program_config_key(made.world.program_id), data)
        remarks = made.ask(fetch).remarks
    assert any("asks for clients of release" in remark for remark in remarks) is noted
