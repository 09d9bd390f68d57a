"""DoubleZeroInventory: hosts that are the ledger's devices, in any Nornir project and behind `dz://`."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from inventory_lab import CODES, KESTREL, WORLD, change_device, remove_device
from nornir import InitNornir
from nornir.core import Nornir
from nornir.core.filter import F
from solders.pubkey import Pubkey
from standing_ledger import standing_ledger

from dzbgp.eos.connection import CONNECTION
from dzbgp.eos.trust import EXPECTED
from dzbgp.errors import DzbgpError, ExitCode, InventoryError, UsageError
from dzbgp.fleet.from_ledger.facts import FACTS
from dzbgp.fleet.load import load_inventory, network_of
from dzbgp.fleet.options import FleetRequest
from dzbgp.lab.solana.ledger import Ledger
from dzbgp.lab.world.encode import encode_device
from dzbgp.ledger.errors import LedgerError
from dzbgp.ledger.networks import NETWORKS, Network
from dzbgp.models.ledger import DeviceStatus

AMS = WORLD.device("ams-dz-001").device


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ENV", "RPC_URL", "PROGRAM_ID"):
        monkeypatch.delenv(f"DZBGP_{name}", raising=False)
    # A person's login: the ledger knows of none.
    for name in ("USERNAME", "PASSWORD"):
        monkeypatch.setenv(f"DZBGP_EOS_{name}", "canary")


@pytest.fixture(scope="module")
def ledger() -> Iterator[Ledger]:
    with standing_ledger(WORLD) as ledger:
        yield ledger


@pytest.fixture
def changing() -> Iterator[Ledger]:
    with standing_ledger(WORLD) as ledger:
        yield ledger


def project(ledger: Ledger, **options: Any) -> Nornir:
    """Any Nornir project that names the plugin."""
    return InitNornir(
        inventory={
            "plugin": "DoubleZeroInventory",
            "options": {"env": "localnet", "rpc_url": ledger.url, **options},
        },
        logging={"enabled": False},
    )


def names(nornir: Nornir) -> list[str]:
    return sorted(nornir.inventory.hosts)


def here(ledger: Ledger) -> Network:
    return Network("localnet", WORLD.program_id, (ledger.url,))


def test_every_device_is_a_host_that_goes_by_its_code_at_its_public_ip(ledger: Ledger) -> None:
    nornir = project(ledger)
    assert names(nornir) == CODES
    host = nornir.inventory.hosts["ams-dz-001"]
    assert (host.hostname, host.platform) == (AMS.public_ip, "eos")
    assert dict(host.data) == {
        "dz_device": str(AMS.pubkey),
        "code": "ams-dz-001",
        "public_ip": AMS.public_ip,
        "device_type": "hybrid",
        "status": "activated",
        "contributor": "northlight",
        "metro": "xams",
        "location": "ams",
        "mgmt_vrf": "management",
        "metrics_publisher": str(AMS.metrics_publisher_pk),
    }
    assert tuple(host.data) == FACTS


def test_contributor_metro_location_and_status_are_groups(ledger: Ledger) -> None:
    host = project(ledger).inventory.hosts["lon-dz-001"]
    assert [group.name for group in host.groups] == [
        "contributor-northlight",
        "metro-xlon",
        "location-lon",
        "status-drained",
    ]
    assert (host["metro_name"], host["location_name"], host["country"]) == ("London", "London", "GB")


def test_a_plain_nornir_project_uses_it_through_its_configuration_file(
    ledger: Ledger, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        f"""
inventory:
  plugin: DoubleZeroInventory
  options: {{env: localnet, rpc_url: "{ledger.url}", status: activated}}
runner: {{plugin: threaded, options: {{num_workers: 3}}}}
logging: {{enabled: false}}
"""
    )
    nornir = InitNornir(config_file=str(config))
    assert names(nornir) == [code for code in CODES if code != "lon-dz-001"]
    assert names(nornir.filter(F(groups__contains="contributor-kestrel"))) == KESTREL
    told = nornir.run(task=lambda task: task.host["metro_name"])
    assert told["ams-dz-001"][0].result == "Amsterdam"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"contributor": "kestrel"}, KESTREL),
        ({"contributor": "Kestrel, tidewater"}, [*KESTREL, "chi-dz-001", "lax-dz-001", "nyc-dz-001"]),
        ({"metro": ["xams", "xfra"]}, ["ams-dz-001", "fra-dz-001"]),
        ({"metro": "amsterdam"}, ["ams-dz-001"]),
        ({"location": "New York"}, ["nyc-dz-001"]),
        ({"status": "drained"}, ["lon-dz-001"]),
        ({"code": "l*-dz-*"}, ["lax-dz-001", "lon-dz-001"]),
        ({"code": ["AMS-*", "fra-dz-00?"]}, ["ams-dz-001", "fra-dz-001"]),
        ({"contributor": "northlight", "status": "activated"}, ["ams-dz-001", "fra-dz-001"]),
    ],
)
def test_a_filter_chooses_devices(ledger: Ledger, options: dict[str, Any], expected: list[str]) -> None:
    nornir = project(ledger, **options)
    assert names(nornir) == sorted(expected)
    assert {group.name for host in nornir.inventory.hosts.values() for group in host.groups} == set(
        nornir.inventory.groups
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"contributor": "nobody"}, ["contributor", "nobody", "kestrel, northlight, tidewater"]),
        ({"status": "activ"}, ["status", "activ", "activated"]),
        ({"code": "zzz*"}, ["8 devices"]),
        ({"contributor": "kestrel", "metro": "xams"}, ["8 devices"]),
        ({"contributor": 12}, ["contributor", "quote"]),
        ({"hostname": "{codes}.net"}, ["hostname", "{code}", "mgmt_vrf"]),
        ({"hostname": "{code.__class__}.net"}, ["hostname"]),
        ({"hostname": "{code!r}"}, ["hostname"]),
        ({"hostname": "{code"}, ["hostname"]),
        ({"hostname": "10.0.0.1"}, ["same for every device"]),
        ({"env": "testnett"}, ["testnett", "mainnet-beta"]),
        ({"program_id": "x"}, ["x"]),
        ({"extra": "/nowhere/hosts.yaml"}, ["/nowhere/hosts.yaml"]),
    ],
)
def test_a_slip_is_told_in_one_line(ledger: Ledger, options: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        project(ledger, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


def test_a_hostname_is_made_by_a_template(ledger: Ledger) -> None:
    nornir = project(ledger, hostname="{code}.{contributor}.mgmt.example.net", code="ams-*")
    assert nornir.inventory.hosts["ams-dz-001"].hostname == "ams-dz-001.northlight.mgmt.example.net"


def test_a_code_that_makes_no_hostname_leaves_only_its_device_out(
    changing: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    change_device(changing, "ams-dz-001", code="evil.example/x#")
    nornir = project(changing, hostname="{code}.mgmt.example.net")
    assert names(nornir) == [code for code in CODES if code != "ams-dz-001"]
    assert "evil.example/x#" in caplog.text
    assert "evil.example/x#" in names(project(changing))


def test_devices_that_share_a_code_or_have_none_go_by_their_keys(changing: Ledger) -> None:
    change_device(changing, "fra-dz-001", code="ams-dz-001")
    change_device(changing, "lon-dz-001", code="")
    keys = {str(WORLD.device(f"{metro}-dz-001").device.pubkey) for metro in ("ams", "fra", "lon")}
    rest = [code for code in CODES if code[:3] not in {"ams", "fra", "lon"}]
    assert set(names(project(changing))) == keys | set(rest)


def test_a_contributor_or_metro_without_a_name_goes_by_its_key(changing: Ledger) -> None:
    nowhere = Pubkey.new_unique()
    change_device(changing, "ams-dz-001", contributor_pk=nowhere, exchange_pk=nowhere)
    host = project(changing).inventory.hosts["ams-dz-001"]
    assert [group.name for group in host.groups][:2] == [f"contributor-{nowhere}", f"metro-{nowhere}"]


def test_a_status_that_this_version_does_not_know_is_a_group_too(changing: Ledger) -> None:
    change_device(changing, "ams-dz-001", status=DeviceStatus(77))
    assert names(project(changing, status="unknown-77")) == ["ams-dz-001"]


def test_settings_of_hosts_are_merged_over_what_the_ledger_says(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "hosts.yaml").write_text(
        f"""
ams-dz-001:
  hostname: 10.0.0.1
  port: 8443
  username: reader
  groups: [metro-xfra]
  data: {{rack: 7, site: {{floor: 3}}}}
  connection_options: {{napalm: {{extras: {{optional_args: {{transport: ssh}}}}}}}}
my-frankfurt:
  data: {{dz_device: fra-dz-001}}
  port: 9443
{WORLD.device("nyc-dz-001").device.public_ip}:
  hostname: {WORLD.device("nyc-dz-001").device.public_ip}
  port: 10443
"""
    )
    hosts = project(ledger, extra=str(tmp_path / "hosts.yaml")).inventory.hosts
    ams = hosts["ams-dz-001"]
    assert (ams.hostname, ams.port, ams.username, ams["rack"], ams["contributor"]) == (
        "10.0.0.1",
        8443,
        "reader",
        7,
        "northlight",
    )
    assert [group.name for group in ams.groups][:2] == ["metro-xfra", "contributor-northlight"]
    assert ams.get_connection_parameters(CONNECTION).extras == {"optional_args": {"transport": "ssh"}}
    assert hosts["fra-dz-001"].port == 9443
    assert hosts["fra-dz-001"]["dz_device"] == str(WORLD.device("fra-dz-001").device.pubkey)
    assert hosts["nyc-dz-001"].port == 10443
    assert sorted(hosts) == CODES


def test_a_directory_of_settings_brings_groups_and_defaults(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "groups.yaml").write_text(
        "contributor-kestrel: {port: 8443, groups: [mine]}\nmine: {data: {owner: us}}\n"
    )
    (tmp_path / "defaults.yaml").write_text("username: reader\npassword: s3cret\n")
    inventory = project(ledger, extra=str(tmp_path)).inventory
    assert (inventory.hosts["tyo-dz-001"].port, inventory.hosts["tyo-dz-001"]["owner"]) == (8443, "us")
    assert (inventory.hosts["ams-dz-001"].port, inventory.hosts["ams-dz-001"].username) == (None, "reader")
    assert inventory.hosts["ams-dz-001"].platform == "eos"


def test_settings_of_a_host_that_no_device_is_are_left_out_with_a_warning(
    ledger: Ledger, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "hosts.yaml").write_text("spare-1: {port: 1}\ntyo-dz-001: {port: 2}\n")
    nornir = project(ledger, extra=str(tmp_path / "hosts.yaml"), contributor="northlight")
    assert len(names(nornir)) == 3
    assert "spare-1" in caplog.text
    assert "tyo-dz-001" not in caplog.text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ams-dz-001: {port: eighty}", ["hosts.yaml", "ams-dz-001", "port"]),
        ("ams-dz-001: {groups: [nogroup]}", ["hosts.yaml", "nogroup"]),
        ("ams-dz-001: {password: *hunter2}", ["hosts.yaml", "line 1"]),
        ("- a\n- b\n", ["hosts.yaml", "mapping"]),
    ],
)
def test_settings_that_are_malformed_are_told_with_their_file(
    ledger: Ledger, tmp_path: Path, text: str, words: list[str]
) -> None:
    (tmp_path / "hosts.yaml").write_text(text)
    with pytest.raises(InventoryError) as caught:
        project(ledger, extra=str(tmp_path / "hosts.yaml"))
    assert all(word in str(caught.value) for word in words), caught.value
    assert "hunter2" not in str(caught.value)


def test_what_is_left_out_comes_from_the_environment(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DZBGP_ENV", "localnet")
    monkeypatch.setenv("DZBGP_RPC_URL", f"{ledger.url},http://127.0.0.1:1")
    nornir = InitNornir(inventory={"plugin": "DoubleZeroInventory"}, logging={"enabled": False})
    assert names(nornir) == CODES


def test_no_log_and_no_error_shows_the_secret_part_of_an_rpc_url(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    project(ledger, rpc_url=f"{ledger.url}/s3cret-token", contributor="kestrel")
    with pytest.raises(LedgerError) as caught:
        project(ledger, rpc_url="http://127.0.0.1:1/s3cret-token")
    assert caught.value.exit_code is ExitCode.COULD_NOT_RUN
    assert "s3cret" not in caplog.text + str(caught.value) + repr(caught.value)
    assert "127.0.0.1:1" in str(caught.value)


def test_a_program_without_devices_is_an_error_and_no_empty_inventory(changing: Ledger) -> None:
    for code in CODES:
        remove_device(changing, code)
    with pytest.raises(LedgerError, match="no device accounts"):
        project(changing)


def test_a_url_chooses_as_the_options_do(ledger: Ledger) -> None:
    path = Path("dz://localnet?contributor=kestrel,northlight&status=activated&hostname={code}.mgmt")
    nornir = load_inventory(path, FleetRequest(), here(ledger))
    assert names(nornir) == ["ams-dz-001", "fra-dz-001", *KESTREL]
    assert (
        nornir.inventory.hosts["ams-dz-001"].get_connection_parameters(CONNECTION).hostname
        == "ams-dz-001.mgmt"
    )
    assert names(load_inventory(Path("dz://localnet?all=true"), None, here(ledger))) == CODES
    assert names(load_inventory(Path("dz://localnet/?code=ams-*&code=fra-*"), None, here(ledger))) == [
        "ams-dz-001",
        "fra-dz-001",
    ]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("dz://", ["mainnet-beta"]),
        ("dz://nonet", ["nonet", "mainnet-beta"]),
        ("dz://localnet", ["every contributor", "?all=true"]),
        ("dz://localnet?contributor=&all=false", ["every contributor", "?all=true"]),
        ("dz://localnet?contributer=kestrel", ["contributer", "contributor"]),
        ("dz://localnet?contributor", ["KEY=VALUE"]),
        ("dz://localnet?all=true&hostname={code}&hostname={code}.x", ["twice"]),
        ("dz://localnet?rpc_url=http://x/s3cret", ["rpc_url"]),
        ("dz://localnet?contributor=kestrel&code=ams*", ["8 devices"]),
    ],
)
def test_a_url_with_a_slip_is_told_in_one_line(ledger: Ledger, url: str, words: list[str]) -> None:
    with pytest.raises(InventoryError) as caught:
        load_inventory(Path(url), FleetRequest(), here(ledger))
    message = str(caught.value)
    assert "\n" not in message
    assert "s3cret" not in message
    assert all(word in message for word in words), message


def test_a_configuration_takes_the_ledger_of_the_run_and_files_beside_it(
    ledger: Ledger, tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text("ams-dz-001: {port: 8443}\n")
    config = tmp_path / "config.yaml"
    config.write_text("inventory: {plugin: DoubleZeroInventory, options: {code: ams-*, extra: mine.yaml}}\n")
    nornir = load_inventory(config, FleetRequest(), here(ledger))
    assert nornir.inventory.hosts["ams-dz-001"].port == 8443
    assert network_of(config) is None


@pytest.mark.parametrize(
    ("path", "expected"),
    [("dz://testnet?code=x", "testnet"), ("dz://devnet?code=x", "devnet"), ("/nowhere", None)],
)
def test_an_inventory_says_which_network_it_is_made_of(path: str, expected: str | None) -> None:
    assert network_of(Path(path)) == expected


def test_a_configuration_says_which_network_it_is_made_of(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("inventory: {plugin: DoubleZeroInventory, options: {env: testnet}}\n")
    assert network_of(config) == "testnet"
    config.write_text("inventory: {plugin: SomeOther, options: {env: testnet}}\n")
    assert network_of(config) is None


def test_an_option_that_the_plugin_lacks_is_told_with_the_file(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("inventory: {plugin: DoubleZeroInventory, options: {environment: testnet}}\n")
    with pytest.raises(InventoryError, match=re.escape(str(config)) + ".*'environment'.*env"):
        load_inventory(config)


def test_every_host_keeps_a_port_of_its_own_where_a_group_of_settings_is_shared(
    ledger: Ledger, tmp_path: Path
) -> None:
    (tmp_path / "hosts.yaml").write_text("nyc-dz-001: {port: 1}\nchi-dz-001: {port: 2}\n")
    (tmp_path / "groups.yaml").write_text(
        "contributor-tidewater: {connection_options: {napalm: {extras: {optional_args: {transport: http}}}}}\n"
    )
    path = Path(f"dz://localnet?contributor=tidewater&extra={tmp_path}")
    hosts = load_inventory(path, FleetRequest(tls_insecure=True), here(ledger)).inventory.hosts
    extras = [host.get_connection_parameters(CONNECTION).extras for host in hosts.values()]
    assert all(one and one["optional_args"] == {"transport": "http"} for one in extras)
    assert len({id(one["optional_args"]) for one in extras if one}) == 3


@pytest.mark.parametrize(
    ("template", "is_ledgers"),
    [("", True), ("&hostname={code}", True), ("&hostname={code}.mgmt.example.net", False)],
)
def test_a_host_at_an_address_of_the_ledger_must_be_known_one_in_a_domain_of_ones_own_need_not(
    ledger: Ledger, template: str, is_ledgers: bool
) -> None:
    path = Path(f"dz://localnet?contributor=tidewater{template}")
    hosts = load_inventory(path, FleetRequest(), here(ledger)).inventory.hosts
    options = [(host.get_connection_parameters(CONNECTION).extras or {}) for host in hosts.values()]
    assert {one["optional_args"][EXPECTED].must_be_known for one in options} == {is_ledgers}


def test_an_account_that_is_broken_is_told_and_costs_only_itself(
    changing: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    broken = encode_device(AMS)[:60]
    changing.set_account(AMS.pubkey, broken)
    assert names(project(changing)) == [code for code in CODES if code != "ams-dz-001"]
    assert str(AMS.pubkey) in caplog.text


def test_all_networks_can_stand_in_a_url() -> None:
    assert [network_of(Path(f"dz://{name}?all=true")) for name in NETWORKS] == list(NETWORKS)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"groups": ("contributor-kestrel",)}, KESTREL),
        ({"groups": ("metro-xams", "metro-xfra")}, ["ams-dz-001", "fra-dz-001"]),
        (
            {"filters": (("contributor!", "northlight"), ("metro__in", "xams,xnyc,xsgp"))},
            ["nyc-dz-001", "sgp-dz-001"],
        ),
        ({"filters": (("name__startswith", "l"),)}, ["lax-dz-001", "lon-dz-001"]),
        ({"filters": (("groups__contains", "status-drained"),)}, ["lon-dz-001"]),
        ({"filters": (("groups__contains", "status-drain"),)}, None),
        ({"filters": (("country", "US"),), "limit": ("nyc-dz-001", "ams-dz-001")}, ["nyc-dz-001"]),
        ({"groups": ("nogroup",)}, None),
        ({"groups": ("status-drained",), "limit": ("ams-dz-001",)}, None),
    ],
)
def test_hosts_are_chosen_by_group_and_by_filter(
    ledger: Ledger, options: dict[str, Any], expected: list[str] | None
) -> None:
    chosen = FleetRequest(**options)
    if expected is None:
        with pytest.raises(DzbgpError, match=r"--group|--filter"):
            load_inventory(Path("dz://localnet?all=true"), chosen, here(ledger))
    else:
        assert names(load_inventory(Path("dz://localnet?all=true"), chosen, here(ledger))) == expected
