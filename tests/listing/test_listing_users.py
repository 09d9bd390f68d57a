import re

import pytest
from listing_ledger import (
    AMS,
    FRA,
    LON,
    NYC,
    SECONDS_PER_SLOT,
    change_user,
    csv_of,
    json_of,
    table_of,
    text_of,
)
from solders.pubkey import Pubkey
from standing_ledger import invoke

from dzbgp.console.words import abbreviated
from dzbgp.lab.solana.ledger import Ledger
from dzbgp.lab.world.world import World
from dzbgp.models.ledger import BgpStatus, UserStatus, UserType

FIELDS = [
    "account",
    "tenant",
    "user_type",
    "groups",
    "device",
    "device_pk",
    "location",
    "location_name",
    "cyoa_type",
    "client_ip",
    "dz_ip",
    "tunnel_id",
    "tunnel_net",
    "tunnel_endpoint",
    "status",
    "bgp_status",
    "rtt_ns",
    "last_reported_slot",
    "last_reported_age_s",
    "last_up_slot",
    "last_up_age_s",
    "stale",
    "owner",
    "down_for_s",
]
DOCUMENT = [
    "schema_version",
    "env",
    "program_id",
    "slot",
    "seconds_per_slot",
    "fetched_at",
    "stale_after_s",
    "users",
    "devices",
    "summary",
    "notes",
]
TITLES = (
    "Account",
    "Tenant",
    "Type",
    "Groups",
    "Device",
    "Location",
    "CYOA",
    "Client IP",
    "DZ IP",
    "Tunnel",
    "Tunnel net",
    "Endpoint",
    "Status",
    "BGP",
    "RTT",
    "Reported",
    "Last up",
    "Owner",
    "Down for",
)


def test_the_json_has_every_key_and_no_other(ledger: Ledger, world: World) -> None:
    document = json_of(ledger, "users")
    assert list(document) == DOCUMENT
    assert all(list(user) == FIELDS for user in document["users"])
    assert list(document["devices"][0]) == ["device", "device_pk", "users", "up", "down", "unknown", "stale"]
    assert list(document["summary"]) == ["total", "shown", "users", "up", "down", "unknown", "stale"]
    assert document["schema_version"] == 1
    assert document["slot"] == world.now_slot
    assert document["stale_after_s"] == 12 * 3600
    assert document["notes"] == []
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", document["fetched_at"])


def test_a_user_is_shown_as_its_account_says(ledger: Ledger, world: World) -> None:
    spec = world.user(FRA, 502)
    user, device = spec.user, world.device(FRA).device
    (shown,) = [one for one in json_of(ledger, "users")["users"] if one["account"] == str(user.pubkey)]
    age_s = (world.now_slot - user.last_bgp_reported_at) * SECONDS_PER_SLOT
    assert shown == {
        "account": str(user.pubkey),
        "tenant": "meridian",
        "user_type": "ibrl",
        "groups": [],
        "device": FRA,
        "device_pk": str(device.pubkey),
        "location": "fra",
        "location_name": "Frankfurt",
        "cyoa_type": "gre-over-dia",
        "client_ip": user.client_ip,
        "dz_ip": user.dz_ip,
        "tunnel_id": 502,
        "tunnel_net": str(user.tunnel_net),
        "tunnel_endpoint": device.public_ip,
        "status": "activated",
        "bgp_status": "up",
        "rtt_ns": user.bgp_rtt_ns,
        "last_reported_slot": user.last_bgp_reported_at,
        "last_reported_age_s": pytest.approx(age_s, abs=0.1),
        "last_up_slot": user.last_bgp_up_at,
        "last_up_age_s": pytest.approx(age_s, abs=0.1),
        "stale": False,
        "owner": str(user.owner),
        "down_for_s": None,
    }


def test_what_was_never_reported_is_null_and_not_stale(ledger: Ledger) -> None:
    never = [user for user in json_of(ledger, "users")["users"] if user["bgp_status"] == "unknown"]
    assert never
    for user in never:
        assert user["last_reported_slot"] is user["last_reported_age_s"] is user["last_up_age_s"] is None
        assert user["stale"] is False


def test_every_user_is_counted_once_and_only_activated_ones_by_status(ledger: Ledger, world: World) -> None:
    document = json_of(ledger, "users")
    active = [spec.user for spec in world.users if spec.user.status is UserStatus.ACTIVATED]
    summary = document["summary"]
    assert summary["total"] == summary["shown"] == len(world.users)
    assert summary["users"] == len(active)
    for name, status in (("up", BgpStatus.UP), ("down", BgpStatus.DOWN), ("unknown", BgpStatus.UNKNOWN)):
        assert summary[name] == sum(user.bgp_status is status for user in active)
        assert summary[name] == sum(device[name] for device in document["devices"])
    assert [device["device"] for device in document["devices"]] == sorted(spec.code for spec in world.devices)


def test_a_report_is_stale_when_it_is_older_than_stale_after_by_the_clusters_own_rate(
    ledger: Ledger, world: World
) -> None:
    slots = round(3600 / SECONDS_PER_SLOT)
    key = change_user(ledger, world, AMS, 500, last_bgp_reported_at=world.now_slot - slots - 10)

    def is_stale(stale_after: str) -> bool:
        users = json_of(ledger, "users", "--stale-after", stale_after)["users"]
        return next(user["stale"] is True for user in users if user["account"] == str(key))

    assert is_stale("59m")
    assert is_stale("1h")
    assert not is_stale("61m")


def test_a_user_that_is_not_activated_is_never_stale(ledger: Ledger, world: World) -> None:
    change_user(ledger, world, FRA, 509, last_bgp_reported_at=1)
    users = json_of(ledger, "users", "--status", "suspended")["users"]
    assert [user["stale"] for user in users] == [False] * len(users)
    assert users


@pytest.mark.parametrize(
    ("args", "field", "values"),
    [
        (("--device", "fra-dz-001"), "device", {FRA}),
        (("--device", "FRA-DZ-001,lon-dz-001"), "device", {FRA, LON}),
        (("--location", "nyc"), "location", {"nyc"}),
        (("--location", "new york"), "location", {"nyc"}),
        (("--status", "suspended,Out_of_credits"), "status", {"suspended", "out-of-credits"}),
        (("--bgp-status", "down"), "bgp_status", {"down"}),
        (("--user-type", "IBRLWithAllocatedIP"), "user_type", {"ibrl-with-allocated-ip"}),
        (("--user-type", "multicast"), "user_type", {"multicast"}),
        (("--tenant", "meridian"), "tenant", {"meridian"}),
        (("--tenant", "none"), "tenant", {None}),
    ],
)
def test_a_filter_leaves_exactly_what_matches(
    ledger: Ledger, args: tuple[str, str], field: str, values: set[str | None]
) -> None:
    everyone = json_of(ledger, "users")["users"]
    document = json_of(ledger, "users", *args)
    assert document["users"] == [user for user in everyone if user[field] in values]
    assert {user[field] for user in document["users"]} == values
    assert document["summary"]["total"] == len(everyone)
    assert document["summary"]["shown"] == len(document["users"])


def test_a_user_can_be_named_as_the_table_shows_it(ledger: Ledger) -> None:
    key = json_of(ledger, "users")["users"][0]["account"]
    assert [one["account"] for one in json_of(ledger, "users", "--user", abbreviated(key))["users"]] == [key]


def test_filters_narrow_each_other(ledger: Ledger, world: World) -> None:
    user = world.user(NYC, 503).user
    args = (
        "--device",
        str(user.device_pk),
        "--client-ip",
        f"{user.client_ip},192.0.2.250",
        "--bgp-status",
        "down",
    )
    assert [one["account"] for one in json_of(ledger, "users", *args)["users"]] == [str(user.pubkey)]
    assert json_of(ledger, "users", *args[:-1], "up")["users"] == []


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--device", "nope"), "--device: unknown name 'nope': expected the code or the key of a device"),
        (("--location", "x"), "--location: unknown name 'x': expected the code or the name of a location"),
        (("--tenant", "x"), "--tenant: unknown name 'x': expected the code or the key of a tenant, or none"),
        (
            ("--user", "x"),
            "--user: unknown name 'x': expected the key of a user, or first characters that no",
        ),
        (
            ("--contributor", "x"),
            "--contributor: unknown name 'x': expected the code or the key of a contributor (kestrel, northlight, ",
        ),
    ],
)
def test_a_slip_is_a_usage_error(ledger: Ledger, args: tuple[str, ...], message: str) -> None:
    done = invoke(ledger, "users", *args)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"error: {message}")
    assert done.stderr.endswith("\nsee `dzbgp users --help`\n")


def test_users_come_by_device_and_tunnel(ledger: Ledger) -> None:
    users = json_of(ledger, "users")["users"]
    assert users == sorted(users, key=lambda user: (user["device"], user["tunnel_id"]))


@pytest.mark.parametrize("name", ["rtt", "rtt_ns", "RTT"])
def test_users_are_sorted_by_a_column_with_those_that_have_no_value_last(ledger: Ledger, name: str) -> None:
    rising = [user["rtt_ns"] for user in json_of(ledger, "users", "--sort", name)["users"]]
    falling = [user["rtt_ns"] for user in json_of(ledger, "users", "--sort", f"-{name}")["users"]]
    samples = [rtt for rtt in rising if rtt]
    assert samples == sorted(samples)
    assert falling[: len(samples)] == samples[::-1]
    assert rising[len(samples) :] == falling[len(samples) :] == [0] * (len(rising) - len(samples))


def test_users_are_sorted_by_several_columns_the_first_counts_most(ledger: Ledger) -> None:
    users = json_of(ledger, "users", "--sort", "-bgp,client_ip")["users"]
    shown = [(user["bgp_status"], tuple(map(int, user["client_ip"].split(".")))) for user in users]
    for status in ("up", "unknown", "down"):
        addresses = [address for one, address in shown if one == status]
        assert addresses == sorted(addresses)
    assert [status for status, _ in shown] == sorted((status for status, _ in shown), reverse=True)


def test_csv_is_the_json_row_by_row(ledger: Ledger) -> None:
    rows, users = csv_of(ledger, "users"), json_of(ledger, "users")["users"]
    assert list(rows[0]) == FIELDS
    assert [row["account"] for row in rows] == [user["account"] for user in users]
    for row, user in zip(rows, users, strict=True):
        assert row["stale"] == str(user["stale"]).lower()
        assert row["tenant"] == (user["tenant"] or "")
        assert row["groups"] == " ".join(user["groups"])
        assert row["rtt_ns"] == str(user["rtt_ns"])


def test_columns_choose_what_csv_and_table_show_and_in_which_order(ledger: Ledger) -> None:
    args = ("users", "--columns", "rtt,device-pk,account")
    assert list(csv_of(ledger, *args)[0]) == ["rtt_ns", "device_pk", "account"]
    titles = table_of(ledger, *args).splitlines()[2]
    assert titles.split() == ["RTT", "device_pk", "Account"]


def test_groups_show_a_users_part_in_them_as_upstream_does(ledger: Ledger, world: World) -> None:
    one, other = Pubkey(bytes([1]) * 32), Pubkey(bytes([2]) * 32)
    head = b"\x08" + bytes(32 + 16 + 1 + 32 + 4 + 8 + 1)
    ledger.set_account(one, head + (4).to_bytes(4, "little") + b"mg01" + bytes(8))
    key = change_user(ledger, world, AMS, 500, publishers=(one,), subscribers=(one, other))
    (user,) = [one for one in json_of(ledger, "users")["users"] if one["account"] == str(key)]
    assert user["groups"] == ["S:P:mg01", f"S:{other}"]


def test_a_user_whose_device_is_gone_goes_by_the_devices_key(ledger: Ledger, world: World) -> None:
    gone = Pubkey(bytes([8]) * 32)
    key = change_user(ledger, world, AMS, 500, device_pk=gone)
    users = json_of(ledger, "users", "--device", str(gone))["users"]
    assert [(one["account"], one["device"], one["location"]) for one in users] == [
        (str(key), str(gone), None)
    ]
    assert abbreviated(str(gone)) in table_of(ledger, "users", "--device", str(gone))


def test_a_location_without_a_readable_account_costs_only_its_name(ledger: Ledger, world: World) -> None:
    place = world.device(AMS).device.location_pk
    ledger.set_account(place, b"\x03" + bytes(10))
    users = json_of(ledger, "users", "--device", AMS)["users"]
    assert {(user["location"], user["location_name"]) for user in users} == {(str(place), None)}


def test_a_kind_of_user_that_is_not_known_yet_can_be_asked_for(ledger: Ledger, world: World) -> None:
    key = change_user(ledger, world, AMS, 500, user_type=UserType(9))
    users = json_of(ledger, "users", "--user-type", "unknown-9")["users"]
    assert [user["account"] for user in users] == [str(key)]


@pytest.mark.parametrize("columns", [40, 80, 120, 200])
def test_the_table_fits_and_shows_every_user_and_every_title(
    ledger: Ledger, world: World, columns: int
) -> None:
    text = table_of(ledger, "users", columns=columns)
    assert max(map(len, text.splitlines())) <= columns
    for spec in world.users:
        user = spec.user
        assert abbreviated(str(user.pubkey)) in text
        assert text.count(user.client_ip) >= 1
        assert str(user.tunnel_net) in text
        assert abbreviated(str(user.owner)) in text
    flowed = " ".join(text.split())
    for title in set(TITLES) - {"Endpoint"}:
        assert title in flowed


def test_at_240_columns_a_user_takes_one_line_with_all_columns(ledger: Ledger) -> None:
    lines = table_of(ledger, "users", "--user-type", "ibrl", "--device", AMS, columns=240).splitlines()
    assert re.split(r"\s{2,}", lines[2].strip()) == list(TITLES)
    shown = json_of(ledger, "users", "--user-type", "ibrl", "--device", AMS)["summary"]["shown"]
    assert lines[4 + shown] == ""


def test_the_table_says_what_is_stale_and_what_was_never_reported(ledger: Ledger, world: World) -> None:
    change_user(ledger, world, AMS, 500, last_bgp_reported_at=world.now_slot - 216_000, bgp_rtt_ns=5_500_000)
    change_user(
        ledger, world, AMS, 501, last_bgp_reported_at=0, last_bgp_up_at=0, bgp_status=BgpStatus.UNKNOWN
    )
    lines = {
        line.split()[0]: line for line in table_of(ledger, "users", "--device", AMS).splitlines() if line
    }
    one = lines[abbreviated(str(world.user(AMS, 500).user.pubkey))]
    other = lines[abbreviated(str(world.user(AMS, 501).user.pubkey))]
    assert "  5.50 ms  24.0 h STALE  " in one
    assert re.search(r" unknown +-  never +never ", other)


def test_at_80_columns_a_user_takes_one_line_with_what_matters_most(ledger: Ledger, world: World) -> None:
    lines = text_of(ledger, "users", "--output", "table", columns=80).splitlines()
    assert lines[2].split() == ["Account", "Device", "Client", "IP", "BGP", "RTT", "Reported"]
    assert lines[4 + len(world.users)] == ""
    assert max(map(len, lines)) <= 80


def test_in_a_pipe_a_user_is_one_line_of_tabs_with_whole_keys_at_any_width(
    ledger: Ledger, world: World
) -> None:
    narrow, wide = (text_of(ledger, "users", columns=columns) for columns in (40, 300))
    assert narrow == wide
    rows = [line.split("\t") for line in narrow.splitlines()]
    assert {len(row) for row in rows} == {len(FIELDS)}
    assert {row[0] for row in rows} == {str(spec.user.pubkey) for spec in world.users}
    assert [dict(zip(FIELDS, row, strict=True)) for row in rows] == csv_of(ledger, "users")
    assert text_of(ledger, "users", "--columns", "client-ip,bgp", "--client-ip", rows[0][9]).splitlines()[
        0
    ].split("\t") == [rows[0][9], rows[0][15]]


def test_who_is_down_the_longest_comes_last_or_first_as_asked(ledger: Ledger) -> None:
    for sort, is_descending in (("down-for", False), ("-down-for", True)):
        users = json_of(ledger, "users", "--bgp-status", "down", "--sort", sort)["users"]
        ages = [user["down_for_s"] for user in users if user["down_for_s"] is not None]
        assert len(ages) > 1
        assert ages == sorted(ages, reverse=is_descending)
        assert [user["down_for_s"] for user in users[: len(ages)]] == ages


def test_the_table_counts_users_by_device(ledger: Ledger) -> None:
    lines = table_of(ledger, "users", columns=80).splitlines()
    start = lines.index("By device")
    assert lines[start + 1].split() == ["Device", "Users", "Up", "Down", "Unknown", "Stale"]
    counts = {line.split()[0]: [*map(int, line.split()[1:])] for line in lines[start + 3 : start + 11]}
    for device in json_of(ledger, "users")["devices"]:
        names = ("users", "up", "down", "unknown", "stale")
        assert counts[device["device"]] == [device[name] for name in names]


def test_names_from_the_ledger_can_not_steer_the_terminal(ledger: Ledger, world: World) -> None:
    data = ledger.account(world.device(AMS).device.location_pk)
    assert data is not None
    ledger.set_account(world.device(AMS).device.location_pk, data.replace(b"Amsterdam", b"A\x1b[2J[b]\x00"))
    text = table_of(ledger, "users", "--device", AMS, columns=400)
    assert "\x1b" not in text
    assert "A [2J[b]" in text
