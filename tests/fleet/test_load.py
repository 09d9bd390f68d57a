"""Loading an inventory: what hosts get of it, which are chosen, and how what is wrong is told."""

import os
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest

from dzbgp.eos.connection import CONNECTION
from dzbgp.eos.trust import EXPECTED
from dzbgp.errors import ExitCode, InventoryError, UsageError
from dzbgp.fleet.inventory.connection import DEFAULT_TIMEOUT_S
from dzbgp.fleet.load import load_inventory
from dzbgp.fleet.options import UNSUPPORTED, FleetRequest

HOSTS = """
ams-1:
  hostname: 127.0.0.1
  port: 8443
  groups: [north]
  data: {site: {metro: ams, floor: 3}, roles: [edge, lab], live: true}
fra-1:
  hostname: 127.0.0.2
  groups: [north]
  username: own
  password: own-secret
  data: {site: {metro: fra}, live: false}
nyc-1:
  groups: [tide]
"""
GROUPS = """
all: {data: {owner: everybody}}
north:
  groups: [all]
  data: {owner: northlight}
  connection_options: {napalm: {extras: {timeout: 7, optional_args: {transport: http}}}}
tide:
  groups: [all]
  port: 9443
"""
DEFAULTS = "platform: eos\n"


def put(
    directory: Path,
    hosts: str | None = HOSTS,
    groups: str | None = GROUPS,
    defaults: str | None = DEFAULTS,
    **files: str,
) -> Path:
    texts = {"hosts": hosts, "groups": groups, "defaults": defaults, **files}
    for name, text in texts.items():
        if text is not None:
            (directory / f"{name}.yaml").write_text(text)
    return directory


def connections(path: Path, **options: Any) -> dict[str, Any]:
    nornir = load_inventory(path, FleetRequest(**options))
    return {
        name: host.get_connection_parameters(CONNECTION).dict()
        for name, host in nornir.inventory.hosts.items()
    }


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the environment there is a user, and a password for those who ask."""
    monkeypatch.setenv("DZBGP_EOS_USERNAME", "reader")
    monkeypatch.setenv("DZBGP_EOS_PASSWORD", "hunter2")


def test_a_host_takes_what_it_lacks_from_its_groups_and_the_defaults(tmp_path: Path) -> None:
    found = connections(put(tmp_path))
    assert found["ams-1"] == {
        "hostname": "127.0.0.1",
        "port": 8443,
        "username": "reader",
        "password": "hunter2",
        "platform": "eos",
        "extras": {"timeout": 7, "optional_args": {"transport": "http"}},
    }
    assert (found["nyc-1"]["hostname"], found["nyc-1"]["port"]) == ("nyc-1", 9443)
    assert found["nyc-1"]["extras"] == {
        "timeout": DEFAULT_TIMEOUT_S,
        "optional_args": {"context": ANY, EXPECTED: ANY},
    }


def test_a_directory_needs_nothing_but_hosts(tmp_path: Path) -> None:
    assert list(connections(put(tmp_path, "r1: {platform: eos}", None, None))) == ["r1"]


@pytest.mark.parametrize("extras", ["{timeout: , optional_args: }", "", "{}"])
def test_settings_left_empty_are_settings_left_out(tmp_path: Path, extras: str) -> None:
    hosts = f"r1: {{platform: eos, connection_options: {{napalm: {{extras: {extras}}}}}}}"
    assert connections(put(tmp_path, hosts, None, None))["r1"]["extras"] == {
        "timeout": DEFAULT_TIMEOUT_S,
        "optional_args": {"context": ANY, EXPECTED: ANY},
    }


def test_hosts_of_a_group_share_no_dictionary(tmp_path: Path) -> None:
    nornir = load_inventory(put(tmp_path))
    one, other = (
        nornir.inventory.hosts[name].get_connection_parameters(CONNECTION) for name in ("ams-1", "fra-1")
    )
    assert one.extras == other.extras
    assert one.extras is not None
    one.extras["optional_args"]["port"] = 1
    assert other.extras is not None
    assert "port" not in other.extras["optional_args"]
    assert nornir.inventory.groups["north"].connection_options[CONNECTION].extras == {
        "timeout": 7,
        "optional_args": {"transport": "http"},
    }


def test_what_a_host_gets_by_default_is_not_written_into_its_group(tmp_path: Path) -> None:
    groups = "g: {connection_options: {napalm: {extras: {optional_args: }}}}"
    nornir = load_inventory(put(tmp_path, "r1: {platform: eos, groups: [g]}", groups, None))
    assert nornir.inventory.groups["g"].connection_options[CONNECTION].extras == {"optional_args": None}


def test_credentials_of_the_environment_fill_in_and_do_not_override(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DZBGP_EOS_USERNAME", "reader")
    monkeypatch.setenv("DZBGP_EOS_PASSWORD", "from-environment")
    found = connections(put(tmp_path))
    assert (found["ams-1"]["username"], found["ams-1"]["password"]) == ("reader", "from-environment")
    assert (found["fra-1"]["username"], found["fra-1"]["password"]) == ("own", "own-secret")


def test_a_username_of_the_inventory_goes_with_a_password_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DZBGP_EOS_USERNAME", "other")
    monkeypatch.setenv("DZBGP_EOS_PASSWORD", "from-environment")
    found = connections(put(tmp_path, defaults="platform: eos\nusername: reader\n"))
    assert (found["ams-1"]["username"], found["ams-1"]["password"]) == ("reader", "from-environment")


# A Nornir configuration file.


def test_a_configuration_finds_its_files_beside_itself_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "inventory").mkdir()
    (tmp_path / "elsewhere").mkdir()
    put(tmp_path / "inventory", config="inventory: {options: {host_file: hosts.yaml}}\n")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert list(connections(tmp_path / "inventory" / "config.yaml")) == ["ams-1", "fra-1", "nyc-1"]


def test_a_configuration_names_its_files_relative_to_the_working_directory_as_nornir_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    names = "host_file: here/hosts.yaml, group_file: here/groups.yaml, defaults_file: here/defaults.yaml"
    put(tmp_path / "here", config=f"inventory: {{plugin: SimpleInventory, options: {{{names}}}}}\n")
    monkeypatch.chdir(tmp_path)
    assert len(connections(Path("here/config.yaml"))) == 3


def test_a_port_in_text_is_refused_whatever_plugin_it_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unchecked(*_: Path) -> None:
        """As for a plugin other than SimpleInventory."""

    monkeypatch.setattr("dzbgp.fleet.load.check_simple_inventory", unchecked)
    with pytest.raises(InventoryError, match="host 'r1' has port '8443'; expected 1 to 65535"):
        load_inventory(put(tmp_path, "r1: {platform: eos, port: '8443'}", None, None))


@pytest.mark.parametrize("config", ["", "# nothing\n", "inventory: {options: }\n", "inventory: {}\n"])
def test_what_a_configuration_leaves_out_is_as_in_a_directory(tmp_path: Path, config: str) -> None:
    assert len(connections(put(tmp_path, config=config) / "config.yaml")) == 3


def workers_of(path: Path, workers: int | None) -> Any:
    return load_inventory(path, FleetRequest(workers=workers)).config.runner.options.get("num_workers")


def test_workers_are_the_options_else_the_configurations_else_twenty(tmp_path: Path) -> None:
    config = "runner: {plugin: threaded, options: {num_workers: 5}}\n"
    put(tmp_path, config=config)
    assert workers_of(tmp_path, None) == 20
    assert workers_of(tmp_path, 3) == 3
    assert workers_of(tmp_path / "config.yaml", None) == 5
    assert workers_of(tmp_path / "config.yaml", 3) == 3


def test_nornir_writes_no_log_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, config="logging: {enabled: true}\n")
    monkeypatch.chdir(tmp_path)
    load_inventory(tmp_path / "config.yaml")
    assert not (tmp_path / "nornir.log").exists()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("- a\n", "config.yaml: expected a Nornir configuration, a mapping"),
        ("text", "config.yaml: expected a Nornir configuration, a mapping"),
        ("a: b: c", "config.yaml: no readable YAML (ScannerError)"),
        ("a: !!int b", "config.yaml: no readable YAML (ValueError)"),
        ("a: " + "[" * 100_000, "config.yaml: no readable YAML (MarkedYAMLError)"),
        ("a: \0", "config.yaml: no readable YAML (ReaderError)"),
        ("inventory:\n", "config.yaml: inventory: expected a mapping"),
        ("inventory: [a]\n", "config.yaml: inventory: expected a mapping"),
        ("inventory: {options: [a]}\n", "config.yaml: inventory: options: expected a mapping"),
        (
            "inventory: {options: {host_file: 5}}\n",
            "config.yaml: inventory: options: host_file: expected a file's name",
        ),
        ("inventory: {options: {group_file: }}\n", "group_file: expected a file's name"),
        ("inventory: {options: {host_file: nowhere.yaml}}\n", "nowhere.yaml: No such file or directory"),
        (
            "inventory: {options: {host_file: ~nobody-knows/nowhere.yaml}}\n",
            "nowhere.yaml: No such file or directory",
        ),
        ("inventory: {plugin: Nowhere}\n", "Nornir could not load it: PluginNotRegistered"),
        ("inventory: {options: {bogus: 5}}\n", "Nornir could not load it: TypeError"),
        ("runner: {plugin: nowhere}\n", "Nornir could not load it: PluginNotRegistered"),
        ("bogus: 1\n", "Nornir could not load it: "),
    ],
)
def test_a_malformed_configuration_is_told_by_file_and_key(tmp_path: Path, config: str, message: str) -> None:
    put(tmp_path, config=config)
    with pytest.raises(InventoryError) as caught:
        load_inventory(tmp_path / "config.yaml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code is ExitCode.USAGE


def test_a_configuration_that_is_no_utf8_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(InventoryError, match=r"config\.yaml: no readable YAML \(UnicodeDecodeError\)"):
        load_inventory(tmp_path / "config.yaml")


def test_a_plugins_own_words_are_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: Any) -> None:
        raise RuntimeError("https://user:hunter2@netbox/")

    monkeypatch.setattr("dzbgp.fleet.load.InitNornir", fail)
    with pytest.raises(InventoryError, match="RuntimeError") as caught:
        load_inventory(put(tmp_path))
    assert "hunter2" not in str(caught.value)


def test_a_path_that_is_not_there_is_told_with_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match="no such file or directory; expected a directory with hosts"):
        load_inventory(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("hosts", "message"),
    [
        (
            "r1: {}",
            "host 'r1' has no platform in its settings, its groups or the defaults; expected platform: eos",
        ),
        ("r1: {platform: ios}\nr2: {platform: junos}", "no chosen host has platform eos"),
        *(
            (f"r1: {{platform: eos, hostname: {hostname}}}", why)
            for hostname, why in {
                "'10.0.0.1 '": "has hostname '10.0.0.1 ', which contains a blank; expected a name or an address",
                "''": "which is empty",
                "'[::1]'": "which has brackets around an IPv6 address",
                "'https://ams-1'": "which is a URL",
                f"{'x' * 64}.example.net": "which has a part of more than 63 characters",
            }.items()
        ),
        *(
            (
                f"r1: {{platform: eos, connection_options: {{napalm: {{extras: {{timeout: {timeout}}}}}}}}}",
                f"host 'r1' has timeout {found}; expected seconds, more than 0, at most 3600",
            )
            for timeout, found in {"0": "0", "-1": "-1", "1.0e+10": "10000000000.0", ".nan": "nan"}.items()
        ),
        ("r1: {platform: eos, port: 0}", "host 'r1' has port 0; expected 1 to 65535"),
        ("r1: {platform: eos, port: 65536}", "host 'r1' has port 65536; expected 1 to 65535"),
        ("r1: {platform: eos, port: -1}", "host 'r1' has port -1; expected 1 to 65535"),
        ("r1: {platform: eos}\nr2: {hostname: a}", "host 'r2' has no platform"),
    ],
)
def test_a_host_that_can_not_be_asked_is_refused_by_name(tmp_path: Path, hosts: str, message: str) -> None:
    with pytest.raises(InventoryError) as caught:
        load_inventory(put(tmp_path, hosts, None, None))
    assert message in str(caught.value)


def test_a_platform_of_the_connection_alone_is_enough(tmp_path: Path) -> None:
    hosts = "r1: {connection_options: {napalm: {platform: eos}}}"
    assert connections(put(tmp_path, hosts, None, None))["r1"]["platform"] == "eos"


# Which hosts are chosen.


@pytest.mark.parametrize(
    ("limit", "filters", "chosen"),
    [
        ((), (), ["ams-1", "fra-1", "nyc-1"]),
        (("fra-1",), (), ["fra-1"]),
        (("nyc-1", "ams-1"), (), ["ams-1", "nyc-1"]),
        ((), (("site__metro", "ams"),), ["ams-1"]),
        ((), (("site__floor", "3"),), ["ams-1"]),
        ((), (("group", "north"),), ["ams-1", "fra-1"]),
        ((), (("groups", "tide"),), ["nyc-1"]),
        ((), (("group", "all"),), ["ams-1", "fra-1", "nyc-1"]),
        ((), (("owner", "northlight"),), ["ams-1", "fra-1"]),
        ((), (("owner", "everybody"),), ["nyc-1"]),
        ((), (("roles", "lab"),), ["ams-1"]),
        ((), (("live", "true"),), ["ams-1"]),
        ((), (("live", "false"),), ["fra-1"]),
        ((), (("name", "nyc-1"),), ["nyc-1"]),
        ((), (("hostname", "127.0.0.2"),), ["fra-1"]),
        ((), (("port", "9443"),), ["nyc-1"]),
        ((), (("platform", "eos"),), ["ams-1", "fra-1", "nyc-1"]),
        ((), (("group", "north"), ("site__metro", "fra")), ["fra-1"]),
        (("ams-1", "nyc-1"), (("group", "north"),), ["ams-1"]),
    ],
)
def test_hosts_are_chosen_by_name_and_by_what_they_are(
    tmp_path: Path, limit: tuple[str, ...], filters: tuple[tuple[str, str], ...], chosen: list[str]
) -> None:
    assert list(connections(put(tmp_path), limit=limit, filters=filters)) == chosen


@pytest.mark.parametrize(
    "filters",
    [
        (("site__metro", "tyo"),),
        (("site", "ams"),),
        (("group", "nort"),),
        (("group", "north"), ("group", "tide")),
    ],
)
def test_a_filter_that_leaves_nothing_is_refused_by_name(
    tmp_path: Path, filters: tuple[tuple[str, str], ...]
) -> None:
    key, value = filters[-1]
    with pytest.raises(UsageError, match=f"--filter {key}={value}: no host matches"):
        load_inventory(put(tmp_path), FleetRequest(filters=filters))


def test_a_limit_to_hosts_that_are_not_there_names_them(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no host of the inventory is called 'x', 'y'"):
        load_inventory(put(tmp_path), FleetRequest(limit=("ams-1", "x", "y")))


@pytest.mark.parametrize("key", ["nothing", "nothing!", "site__metro__street", "nothing__in", "Site__metro"])
def test_a_filter_with_a_key_that_no_host_has_says_so(tmp_path: Path, key: str) -> None:
    with pytest.raises(UsageError, match=f"--filter {key}=x: no host of the inventory has '"):
        load_inventory(put(tmp_path), FleetRequest(filters=((key, "x"),)))


@pytest.mark.parametrize(
    ("limit", "chosen"),
    [
        (("*-1",), ["ams-1", "fra-1", "nyc-1"]),
        (("[af]*", "nyc-1"), ["ams-1", "fra-1", "nyc-1"]),
        (("ams-?",), ["ams-1"]),
    ],
)
def test_a_limit_takes_patterns(tmp_path: Path, limit: tuple[str, ...], chosen: list[str]) -> None:
    assert list(connections(put(tmp_path), limit=limit)) == chosen


def test_a_pattern_that_fits_no_host_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no host of the inventory is called 'tyo-\*'"):
        load_inventory(put(tmp_path), FleetRequest(limit=("tyo-*", "ams-*")))


# Inventories of real life.

MIXED = "r1: {platform: eos}\nr2: {platform: ios}\nr3: {hostname: x}\n"


def test_a_chosen_host_of_another_platform_is_left_out_and_remembered(tmp_path: Path) -> None:
    nornir = load_inventory(put(tmp_path, MIXED, None, None), FleetRequest(limit=("r[12]",)))
    assert list(nornir.inventory.hosts) == ["r1"]
    assert nornir.config.user_defined[UNSUPPORTED] == {"r2": "platform 'ios' is not supported, only 'eos' is"}


def test_a_host_of_another_platform_that_is_named_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match="--limit: host 'r2' has platform 'ios'; expected platform: eos"):
        load_inventory(put(tmp_path, MIXED, None, None), FleetRequest(limit=("r1", "r2")))


def test_what_is_not_chosen_may_be_anything(tmp_path: Path) -> None:
    hosts = "r1: {platform: eos}\nr2: {platform: eos, port: 0}\nr3: {hostname: x}\n"
    assert list(connections(put(tmp_path, hosts, None, None), limit=("r1",))) == ["r1"]


@pytest.mark.parametrize("how", ["file", "environment"])
def test_raise_on_error_never_reaches_a_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    config = "core: {raise_on_error: true}\n" if how == "file" else "core: {}\n"
    if how == "environment":
        monkeypatch.setenv("NORNIR_CORE_RAISE_ON_ERROR", "1")
    put(tmp_path, config=config)
    assert load_inventory(tmp_path / "config.yaml").config.core.raise_on_error is False


def test_connection_options_come_from_the_nearest_of_all_groups_and_from_the_defaults_last(
    tmp_path: Path,
) -> None:
    groups = """
    site: {}
    eos: {groups: [fleet]}
    fleet: {groups: [all]}
    all: {connection_options: {napalm: {port: 8443, extras: {optional_args: {transport: ssh}}}}}
    """
    defaults = (
        "{platform: eos, connection_options: {napalm: {port: 1, extras: {optional_args: {transport: http}}}}}"
    )
    found = connections(put(tmp_path, "r1: {groups: [site, eos]}\nr2: {groups: [site]}", groups, defaults))
    assert (found["r1"]["port"], found["r1"]["extras"]["optional_args"]["transport"]) == (8443, "ssh")
    assert (found["r2"]["port"], found["r2"]["extras"]["optional_args"]["transport"]) == (1, "http")


def test_no_login_anywhere_is_one_error_before_any_device_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DZBGP_EOS_USERNAME")
    monkeypatch.delenv("DZBGP_EOS_PASSWORD")
    with pytest.raises(
        InventoryError, match="no host has a username and a password; expected them in the inventory"
    ):
        load_inventory(put(tmp_path, "r1: {platform: eos}\nr2: {platform: eos, username: u}", None, None))
    load_inventory(
        put(tmp_path, "r1: {platform: eos}\nr2: {platform: eos, username: u, password: p}", None, None)
    )
    keys = "connection_options: {napalm: {extras: {optional_args: {transport: ssh, use_keys: true}}}}"
    load_inventory(put(tmp_path, f"r1: {{platform: eos, username: u, {keys}}}", None, None))


@pytest.mark.parametrize("workers", ["'20'", "0", "-1", "true", "1.5"])
def test_a_number_of_workers_that_is_none_is_named(tmp_path: Path, workers: str) -> None:
    put(tmp_path, config=f"runner: {{plugin: threaded, options: {{num_workers: {workers}}}}}")
    with pytest.raises(
        InventoryError, match=r"runner: options: num_workers is .*; expected a number, at least 1"
    ):
        load_inventory(tmp_path / "config.yaml")


def test_a_pipe_is_not_waited_for_as_an_inventory(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "hosts.yaml")
    (tmp_path / "config.yaml").write_text("inventory: {options: {host_file: hosts.yaml}}")
    with pytest.raises(InventoryError, match=r"hosts.yaml: not a regular file; expected a YAML file$"):
        load_inventory(tmp_path / "config.yaml")
