"""The encoders, byte by byte, against literal offsets of the accounts' layouts."""

import struct

import pytest
from msgspec.structs import replace
from solders.pubkey import Pubkey

from dzbgp.lab.world.encode import (
    AccountType,
    Layout,
    encode_contributor,
    encode_device,
    encode_exchange,
    encode_location,
    encode_noise,
    encode_tenant,
    encode_user,
)
from dzbgp.models.ledger import (
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
)


def key(byte: int) -> Pubkey:
    return Pubkey(bytes([byte]) * 32)


USER = User(
    pubkey=key(99),
    owner=key(1),
    index=(7 << 64) + 5,
    bump_seed=254,
    user_type=UserType.MULTICAST,
    tenant_pk=key(2),
    device_pk=key(3),
    cyoa_type=CyoaType.GRE_OVER_CABLE,
    client_ip="198.51.100.7",
    dz_ip="192.0.2.9",
    tunnel_id=0x1F5,
    tunnel_net=Net(0xA9FE0102, 31),
    status=UserStatus.ACTIVATED,
    publishers=(key(4),),
    subscribers=(key(5), key(6)),
    validator_pubkey=key(7),
    tunnel_endpoint="203.0.113.5",
    tunnel_flags=1,
    bgp_status=BgpStatus.DOWN,
    last_bgp_up_at=0x0102030405060708,
    last_bgp_reported_at=9,
    bgp_rtt_ns=4_287_000,
    feed_pks=(key(8),),
    data_len=0,
    lamports=0,
)
DEVICE = Device(
    pubkey=key(99),
    owner=key(1),
    location_pk=key(2),
    exchange_pk=key(3),
    device_type=DeviceType.EDGE,
    public_ip="203.0.113.5",
    status=DeviceStatus.DRAINED,
    code="ams-dz-001",
    dz_prefixes=(Net(0xC0000200, 27), Net(0xC0000220, 28)),
    metrics_publisher_pk=key(4),
    contributor_pk=key(5),
    mgmt_vrf="mgmt",
)


def test_the_fixed_part_of_a_user_is_at_its_literal_offsets() -> None:
    data = encode_user(USER)
    assert data[0] == 7
    assert data[1:33] == bytes([1]) * 32
    assert data[33:49] == b"\x05" + bytes(7) + b"\x07" + bytes(7)
    assert data[49] == 254
    assert data[50] == 3
    assert data[51:83] == bytes([2]) * 32
    assert data[83:115] == bytes([3]) * 32
    assert data[115] == 5
    assert data[116:120] == bytes([198, 51, 100, 7])
    assert data[120:124] == bytes([192, 0, 2, 9])
    assert data[124:126] == b"\xf5\x01"
    assert data[126:131] == bytes([169, 254, 1, 2, 31])
    assert data[131] == 1
    assert data[132:136] == b"\x01\0\0\0"


def test_the_rest_of_a_user_follows_its_vectors() -> None:
    data = encode_user(USER)
    assert data[136:168] == bytes([4]) * 32
    assert data[168:172] == b"\x02\0\0\0"
    assert data[172:236] == bytes([5]) * 32 + bytes([6]) * 32
    assert data[236:268] == bytes([7]) * 32
    assert data[268:272] == bytes([203, 0, 113, 5])
    assert data[272] == 1
    assert data[273] == 2
    assert data[274:282] == bytes([8, 7, 6, 5, 4, 3, 2, 1])
    assert data[282:290] == b"\x09" + bytes(7)
    assert data[290:298] == (4_287_000).to_bytes(8, "little")
    assert data[298:] == b"\x01\0\0\0" + bytes([8]) * 32


@pytest.mark.parametrize(
    ("layout", "length"),
    [
        (Layout.OLDEST, 268),
        (Layout.WITHOUT_BGP, 273),
        (Layout.WITHOUT_RTT, 290),
        (Layout.WITHOUT_FEEDS, 298),
        (Layout.ZERO_FEEDS, 330),
        (Layout.CURRENT, 334),
    ],
)
def test_an_older_layout_is_the_beginning_of_the_current_one(layout: Layout, length: int) -> None:
    data = encode_user(USER, layout)
    assert len(data) == length
    assert data[:298] == encode_user(USER)[: min(length, 298)]


def test_zero_feeds_are_thirty_two_zero_bytes_in_the_place_of_the_feeds() -> None:
    assert encode_user(USER, Layout.ZERO_FEEDS)[298:] == bytes(32)


def test_an_enum_value_that_nobody_knows_is_encoded_as_it_is() -> None:
    data = encode_user(
        replace(USER, user_type=UserType(200), status=UserStatus(201), bgp_status=BgpStatus(9))
    )
    assert (data[50], data[131], data[273]) == (200, 201, 9)


def test_a_field_that_does_not_fit_is_refused() -> None:
    with pytest.raises(struct.error):
        encode_user(replace(USER, tunnel_id=65536))
    with pytest.raises(ValueError, match="256"):
        encode_user(replace(USER, client_ip="1.2.3.256"))


def test_a_device_is_at_its_literal_offsets() -> None:
    data = encode_device(DEVICE, index=6, bump_seed=253)
    assert data[0] == 5
    assert data[1:33] == bytes([1]) * 32
    assert data[33:49] == b"\x06" + bytes(15)
    assert data[49] == 253
    assert data[50:82] == bytes([2]) * 32
    assert data[82:114] == bytes([3]) * 32
    assert data[114] == 2
    assert data[115:119] == bytes([203, 0, 113, 5])
    assert data[119] == 5
    assert data[120:134] == b"\x0a\0\0\0ams-dz-001"
    assert data[134:148] == b"\x02\0\0\0" + bytes([192, 0, 2, 0, 27, 192, 0, 2, 32, 28])
    assert data[148:180] == bytes([4]) * 32
    assert data[180:212] == bytes([5]) * 32
    assert data[212:220] == b"\x04\0\0\0mgmt"


def test_a_tenant_has_no_index() -> None:
    data = encode_tenant(Tenant(key(99), "solstice", 258), owner=key(1), bump_seed=252)
    assert data[0] == 13
    assert data[1:33] == bytes([1]) * 32
    assert data[33] == 252
    assert data[34:46] == b"\x08\0\0\0solstice"
    assert data[46:48] == b"\x02\x01"


def test_contributors_locations_and_exchanges_carry_their_type_and_code() -> None:
    contributor = encode_contributor("kestrel", owner=key(1))
    assert (contributor[0], contributor[50], contributor[51:62]) == (10, 1, b"\x07\0\0\0kestrel")
    location = encode_location("ams", "Amsterdam", "NL", degrees=(52.5, 4.75))
    assert (location[0], location[70]) == (3, 1)
    assert struct.unpack_from("<dd", location, 50) == (52.5, 4.75)
    assert location[71:97] == b"\x03\0\0\0ams\x09\0\0\0Amsterdam\x02\0\0\0NL"
    exchange = encode_exchange("xams", "Amsterdam", bgp_community=258)
    assert (exchange[0], exchange[66:70], exchange[70]) == (4, b"\x02\x01\0\0", 1)
    assert exchange[71:79] == b"\x04\0\0\0xams"


def test_noise_is_of_its_type_and_always_the_same() -> None:
    assert encode_noise(AccountType.ACCESS_PASS, 3)[0] == 11
    assert encode_noise(AccountType.ACCESS_PASS, 3) == encode_noise(AccountType.ACCESS_PASS, 3)
    assert encode_noise(AccountType.ACCESS_PASS, 3) != encode_noise(AccountType.ACCESS_PASS, 4)


def test_every_field_of_a_user_but_three_is_in_its_bytes() -> None:
    other: dict[str, object] = {
        "owner": key(50),
        "index": 1,
        "bump_seed": 1,
        "user_type": UserType.IBRL,
        "tenant_pk": key(50),
        "device_pk": key(50),
        "cyoa_type": CyoaType.NONE,
        "client_ip": "0.0.0.1",
        "dz_ip": "0.0.0.1",
        "tunnel_id": 1,
        "tunnel_net": Net(1, 30),
        "status": UserStatus.BANNED,
        "publishers": (),
        "subscribers": (),
        "validator_pubkey": key(50),
        "tunnel_endpoint": "0.0.0.1",
        "tunnel_flags": 0,
        "bgp_status": BgpStatus.UP,
        "last_bgp_up_at": 1,
        "last_bgp_reported_at": 1,
        "bgp_rtt_ns": 1,
        "feed_pks": (),
    }
    names = set(User.__struct_fields__) - {"pubkey", "data_len", "lamports"}
    assert set(other) == names
    values = {name: getattr(USER, name) for name in names}
    for name in sorted(names):
        changed = User(**{**values, name: other[name]}, pubkey=key(99), data_len=0, lamports=0)
        assert encode_user(changed) != encode_user(USER), name
