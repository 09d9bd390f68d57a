import json
from pathlib import Path

import pytest
from listing_ledger import (
    AMS,
    FRA,
    change_user,
    csv_of,
    json_of,
    table_of,
)
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from standing_ledger import change_device, invoke

from dzbgp.console.words import abbreviated
from dzbgp.lab.solana.ledger import Ledger
from dzbgp.lab.world.world import World
from dzbgp.models.ledger import BgpStatus, DeviceStatus, DeviceType, UserStatus

FIELDS = [
    "code",
    "pubkey",
    "public_ip",
    "status",
    "type",
    "contributor",
    "location",
    "location_name",
    "exchange",
    "mgmt_vrf",
    "publisher",
    "publisher_key_held",
    "users",
    "up",
    "down",
    "unknown",
    "stale",
]


def keypair_file(directory: Path, keypair: Keypair) -> str:
    file = directory / "publisher.json"
    file.write_text(json.dumps(list(bytes(keypair))), encoding="ascii")
    file.chmod(0o600)
    return str(file)


def test_the_json_has_every_key_and_no_other(ledger: Ledger, world: World) -> None:
    document = json_of(ledger, "devices")
    assert list(document) == [
        "schema_version",
        "env",
        "program_id",
        "slot",
        "seconds_per_slot",
        "fetched_at",
        "stale_after_s",
        "devices",
        "summary",
        "notes",
    ]
    assert all(list(device) == FIELDS for device in document["devices"])
    assert list(document["summary"]) == ["total", "shown", "users", "up", "down", "unknown", "stale"]
    assert document["summary"]["total"] == document["summary"]["shown"] == len(world.devices)


def test_a_device_is_shown_as_its_account_says(ledger: Ledger, world: World) -> None:
    spec = world.device(FRA)
    (shown,) = json_of(ledger, "devices", "--device", FRA)["devices"]
    users = [one.user for one in world.users if one.device == FRA]
    active = [user for user in users if user.status is UserStatus.ACTIVATED]
    assert shown.pop("stale") == sum(
        0 < user.last_bgp_reported_at < world.now_slot - 108_000 for user in active
    )
    assert shown == {
        "code": FRA,
        "pubkey": str(spec.device.pubkey),
        "public_ip": spec.device.public_ip,
        "status": "activated",
        "type": "hybrid",
        "contributor": spec.contributor,
        "location": "fra",
        "location_name": "Frankfurt",
        "exchange": "xfra",
        "mgmt_vrf": "management",
        "publisher": str(spec.device.metrics_publisher_pk),
        "publisher_key_held": None,
        "users": len(active),
        "up": sum(user.bgp_status is BgpStatus.UP for user in active),
        "down": sum(user.bgp_status is BgpStatus.DOWN for user in active),
        "unknown": sum(user.bgp_status is BgpStatus.UNKNOWN for user in active),
    }


def test_a_keypair_tells_whose_publisher_it_is(ledger: Ledger, world: World, tmp_path: Path) -> None:
    keypair = Keypair()
    change_device(ledger, world, AMS, metrics_publisher_pk=keypair.pubkey())
    args = ("devices", "--keypair", keypair_file(tmp_path, keypair))
    held = {one["code"]: one["publisher_key_held"] for one in json_of(ledger, *args)["devices"]}
    assert held == {spec.code: spec.code == AMS for spec in world.devices}
    lines = {line.split()[0]: line for line in table_of(ledger, *args).splitlines() if "-dz-" in line}
    assert f"{abbreviated(str(keypair.pubkey()))} held" in lines[AMS]
    assert "not held" in lines[FRA]


def test_a_publisher_that_is_zero_or_the_owner_was_never_set(
    ledger: Ledger, world: World, tmp_path: Path
) -> None:
    owner = Keypair()
    change_device(ledger, world, AMS, metrics_publisher_pk=Pubkey.default())
    change_device(ledger, world, FRA, owner=owner.pubkey(), metrics_publisher_pk=owner.pubkey())
    args = ("devices", "--device", f"{AMS},{FRA}", "--keypair", keypair_file(tmp_path, owner))
    shown = json_of(ledger, *args)["devices"]
    assert [(one["publisher"], one["publisher_key_held"]) for one in shown] == [(None, False)] * 2
    assert table_of(ledger, *args).count("not set") == 2


@pytest.mark.parametrize(
    ("args", "field", "value"),
    [
        (("--device", FRA), "code", FRA),
        (("--location", "Frankfurt"), "location", "fra"),
        (("--exchange", "xfra"), "exchange", "xfra"),
        (("--contributor", "kestrel"), "contributor", "kestrel"),
        (("--status", "drained"), "status", "drained"),
        (("--type", "Hybrid"), "type", "hybrid"),
    ],
)
def test_a_filter_leaves_exactly_what_matches(
    ledger: Ledger, args: tuple[str, str], field: str, value: str
) -> None:
    everything = json_of(ledger, "devices")["devices"]
    shown = json_of(ledger, "devices", *args)["devices"]
    assert shown == [device for device in everything if device[field] == value]
    assert shown


@pytest.mark.parametrize("option", ["--device", "--location", "--exchange", "--contributor"])
def test_a_name_that_nothing_has_is_a_usage_error(ledger: Ledger, option: str) -> None:
    done = invoke(ledger, "devices", option, "nope")
    assert done.exit_code == 2
    assert done.stderr.startswith(f"error: {option}: unknown name 'nope': expected ")
    assert done.stderr.endswith("\nsee `dzbgp devices --help`\n")


def test_a_keypair_that_is_none_is_an_error_that_does_not_show_it(ledger: Ledger, tmp_path: Path) -> None:
    file = tmp_path / "broken.json"
    file.write_text("[1, 2, 3]", encoding="ascii")
    done = invoke(ledger, "devices", "--keypair", str(file))
    assert done.exit_code == 2
    assert done.stderr.startswith(f"error: --keypair {file}: it holds a JSON array of 3 items")


def test_devices_are_sorted_by_a_column(ledger: Ledger) -> None:
    codes = [one["code"] for one in json_of(ledger, "devices")["devices"]]
    assert codes == sorted(codes)
    counts = [one["users"] for one in json_of(ledger, "devices", "--sort", "-users")["devices"]]
    assert counts == sorted(counts, reverse=True)


def test_csv_has_the_fields_of_the_json(ledger: Ledger) -> None:
    rows = csv_of(ledger, "devices")
    assert list(rows[0]) == FIELDS
    assert {row["publisher_key_held"] for row in rows} == {""}


def test_a_device_without_users_counts_none(ledger: Ledger, world: World) -> None:
    for spec in world.users:
        if spec.device == AMS:
            change_user(ledger, world, AMS, spec.user.tunnel_id, status=UserStatus.BANNED)
    (shown,) = json_of(ledger, "devices", "--device", AMS)["devices"]
    assert [shown[name] for name in ("users", "up", "down", "unknown", "stale")] == [0] * 5


def test_a_status_that_is_not_known_yet_is_shown_by_its_number(ledger: Ledger, world: World) -> None:
    change_device(ledger, world, AMS, status=DeviceStatus(77), device_type=DeviceType(9))
    (shown,) = json_of(ledger, "devices", "--status", "unknown-77")["devices"]
    assert (shown["code"], shown["status"], shown["type"]) == (AMS, "unknown-77", "unknown-9")


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_the_table_fits_and_shows_every_device(ledger: Ledger, world: World, columns: int) -> None:
    text = table_of(ledger, "devices", columns=columns)
    assert max(map(len, text.splitlines())) <= columns
    for spec in world.devices:
        assert spec.code in text
        assert spec.device.public_ip in text
        assert spec.contributor in text
    for title in ("Code", "Users", "Up", "Down", "Unknown", "Stale", "Publisher", "Exchange", "Mgmt VRF"):
        assert title in text


def test_an_option_can_come_from_the_environment(ledger: Ledger) -> None:
    done = invoke(
        ledger, "devices", DZBGP_DEVICE=FRA, DZBGP_LISTING_OUTPUT="csv", DZBGP_DEVICE_COLUMNS="code"
    )
    assert done.stdout == f"code\n{FRA}\n"
