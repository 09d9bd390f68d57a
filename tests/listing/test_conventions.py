"""What DoubleZero's own command line does, this one does too."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from standing_ledger import invoke

from dzbgp.lab.solana.ledger import Ledger
from dzbgp.lab.world.world import World
from dzbgp.listing.devices import DEVICE_FIELDS
from dzbgp.listing.query import (
    BGP_STATUSES,
    DEVICE_COLUMNS,
    DEVICE_STATUSES,
    DEVICE_TYPES,
    USER_COLUMNS,
    USER_STATUSES,
    USER_TYPES,
)
from dzbgp.listing.user_rows import USER_FIELDS
from dzbgp.models.ledger import BgpStatus, DeviceStatus, DeviceType, OpenEnum, UserStatus, UserType

NOBODY = ("--rpc-url", "http://127.0.0.1:9")


def dzbgp(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dzbgp", *words], capture_output=True, text=True, check=False
    )


def test_the_words_and_columns_of_the_command_line_are_those_of_the_rows() -> None:
    assert {item.name: item.title for item in USER_FIELDS} == USER_COLUMNS
    assert {item.name: item.title for item in DEVICE_FIELDS} == DEVICE_COLUMNS
    words: list[tuple[type[OpenEnum], tuple[str, ...]]] = [
        (UserStatus, USER_STATUSES),
        (UserType, USER_TYPES),
        (BgpStatus, BGP_STATUSES),
        (DeviceStatus, DEVICE_STATUSES),
        (DeviceType, DEVICE_TYPES),
    ]
    for kind, known in words:
        named = [one.label for one in kind if not one.label.startswith("unknown-")]
        assert named == list(known)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("users", "--columns", "foo"), "--columns: unknown column 'foo': expected one of account, tenant,"),
        (("devices", "--sort", "-foo"), "--sort: unknown column 'foo': expected one of code, pubkey,"),
        (("users", "--status", "foo"), "--status: unknown status 'foo': expected one of pending,"),
        (
            ("users", "--bgp-status", "foo"),
            "--bgp-status: unknown status 'foo': expected one of unknown, up,",
        ),
        (("users", "--client-ip", "1.2.3"), "--client-ip: invalid address '1.2.3': expected IPv4"),
        (("users", "--user-type", "x"), "--user-type: unknown type 'x': expected one of ibrl, ibrl-with-"),
        (("devices", "--status", "x"), "--status: unknown status 'x': expected one of pending, activated,"),
        (("devices", "--type", "x"), "--type: unknown type 'x': expected one of hybrid, transit, edge"),
        (("users", "--env", "foo"), "--env: unknown network 'foo': expected one of mainnet-beta,"),
        (("users", "--output", "foo"), "--output: "),
        (("users", "--json", "--output", "csv"), "--json: cannot be combined with --output csv"),
        (("history", "--json", "--output", "csv"), "--json: cannot be combined with --output csv"),
    ],
)
def test_arguments_are_checked_before_anything_is_fetched(words: tuple[str, ...], told: str) -> None:
    asked = () if words[0] == "history" or "--env" in words else ("--env", "l")
    done = dzbgp(*words, *asked, *(NOBODY if words[0] != "history" else ()))
    assert told in done.stderr
    assert f"see `dzbgp {words[0]} --help`" in done.stderr
    assert done.returncode == 2


@pytest.mark.parametrize("name", ["l", "local", "localnet"])
def test_networks_have_their_short_names(ledger: Ledger, name: str) -> None:
    done = dzbgp("users", "--env", name, "--url", ledger.url, "--output", "json")
    assert json.loads(done.stdout)["env"] == "localnet"


def test_rows_are_an_array_with_the_names_that_upstream_has(ledger: Ledger) -> None:
    users = json.loads(invoke(ledger, "users", "--json").stdout)
    upstream = {
        "account",
        "user_type",
        "multicast",
        "cyoa_type",
        "client_ip",
        "dz_ip",
        "tunnel_id",
        "tunnel_net",
        "tunnel_endpoint",
        "device_name",
        "location_code",
        "status",
        "bgp_status",
        "bgp_rtt_ns",
        "owner",
    }
    assert all(upstream <= set(user) for user in users)
    assert all(
        user["device_name"] == user["device"] and user["bgp_rtt_ns"] == user["rtt_ns"] for user in users
    )
    assert any(user["multicast"] for user in users)
    devices = json.loads(invoke(ledger, "devices", "--json").stdout)
    assert {"ams-dz-001", "fra-dz-001"} <= {device["code"] for device in devices}


@pytest.mark.parametrize("command", ["audit", "check"])
def test_findings_are_json_too(ledger: Ledger, command: str) -> None:
    assert json.loads(invoke(ledger, command, "--json").stdout)["env"] == "localnet"


def test_a_list_is_written_with_commas_or_as_several_options(ledger: Ledger) -> None:
    commas = invoke(ledger, "devices", "--device", "ams-dz-001,fra-dz-001").stdout
    mentions = invoke(ledger, "devices", "--device", "ams-dz-001", "--device", "fra-dz-001").stdout
    assert commas == mentions
    assert len(commas.splitlines()) == 2


def test_columns_have_the_names_that_are_shown(ledger: Ledger) -> None:
    shown = invoke(ledger, "users", "--columns", "Client IP,reported,RTT", "--output", "csv").stdout
    assert shown.splitlines()[0] == "client_ip,last_reported_age_s,rtt_ns"


def test_users_are_chosen_by_key_and_by_contributor(ledger: Ledger, world: World) -> None:
    users = json.loads(invoke(ledger, "users", "--json").stdout)
    key = users[0]["account"]
    for start in (key, key[:12]):
        assert [
            one["account"] for one in json.loads(invoke(ledger, "users", "--json", "--user", start).stdout)
        ] == [key]
    devices = json.loads(invoke(ledger, "devices", "--json").stdout)
    contributor = devices[0]["contributor"]
    codes = {device["code"] for device in devices if device["contributor"] == contributor}
    owner = str(next(spec.device.contributor_pk for spec in world.devices if spec.code in codes))
    for name in (contributor, owner):
        chosen = json.loads(invoke(ledger, "users", "--json", "--contributor", name).stdout)
        assert chosen == [user for user in users if user["device"] in codes]
        assert 0 < len(chosen) < len(users)
        shown = json.loads(invoke(ledger, "devices", "--json", "--contributor", name).stdout)
        assert {device["code"] for device in shown} == codes


def test_the_level_of_the_log_is_an_option(tmp_path: Path) -> None:
    words = ("run", "--inventory", str(tmp_path), "--lab", "--dry-run", "--log-level")
    assert "--log-level" in dzbgp(*words, "loud").stderr
    unknown = {"error": 0, "warning": 1}
    for level, count in unknown.items():
        done = subprocess.run(
            [sys.executable, "-m", "dzbgp", "config", "show", "--log-level", level],
            capture_output=True,
            text=True,
            check=True,
            env={"DZBGP_NONSENSE": "1", "HOME": str(tmp_path)},
        )
        assert done.stderr.count("DZBGP_NONSENSE") == count
