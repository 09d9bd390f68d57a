"""The Nornir inventory of a world: what inventory/ says by hand, for fleets that listen elsewhere."""

from pathlib import Path
from typing import Any

import ruamel.yaml

from dzbgp.lab.world.accounts import DeviceSpec
from dzbgp.lab.world.world import LAB_PASSWORD, LAB_USERNAME, World

TIMEOUT_S = 3
"""How long the lab's devices may take to answer."""

_EXTRAS = {"timeout": TIMEOUT_S, "optional_args": {"transport": "https"}}


def write_inventory(directory: Path, world: World) -> Path:
    """Write the four files of an inventory into `directory`, and return the path of its config.yaml.

    The paths in config.yaml are absolute, so it works from anywhere. The devices' ports must be known: after
    a start on port 0, use `world.relocated(fleet.addresses)`. Raises ValueError when one is 0.
    """
    for device in world.devices:
        if device.port == 0:
            raise ValueError(f"the port of {device.code} is not known yet; start the fleet first")
    directory.mkdir(parents=True, exist_ok=True)
    here = directory.resolve()
    _dump(here / "hosts.yaml", {device.host: host_entry(device) for device in world.devices})
    _dump(here / "groups.yaml", groups(world))
    _dump(here / "defaults.yaml", defaults())
    _dump(here / "config.yaml", config(str(here)))
    return here / "config.yaml"


def config(directory: str) -> dict[str, Any]:
    """Return the content of config.yaml for an inventory in `directory`."""
    options = {
        "host_file": f"{directory}/hosts.yaml",
        "group_file": f"{directory}/groups.yaml",
        "defaults_file": f"{directory}/defaults.yaml",
    }
    return {
        "inventory": {"plugin": "SimpleInventory", "options": options},
        "runner": {"plugin": "threaded", "options": {"num_workers": 20}},
        "logging": {"enabled": False},
    }


def host_entry(device: DeviceSpec) -> dict[str, Any]:
    """Return the entry of a device in hosts.yaml."""
    entry: dict[str, Any] = {
        "hostname": device.address,
        "port": device.port,
        "groups": [device.contributor],
        "data": {"metro": device.metro},
    }
    if device.matched_by == "code":
        entry["data"]["dz_device"] = device.code
    elif device.matched_by == "pubkey":
        entry["data"]["dz_device"] = str(device.device.pubkey)
    elif device.matched_by == "public_ip":
        # The host goes by its public address; the way to its management is the connection's affair.
        entry["hostname"] = device.device.public_ip
        entry["connection_options"] = {"napalm": {"hostname": device.address}}
    return entry


def groups(world: World) -> dict[str, Any]:
    """Return the content of groups.yaml: a group for each contributor."""
    entries: dict[str, Any] = {name: {"data": {"contributor": name}} for name in world.publisher_names}
    shared = {device.contributor for device in world.devices if _shares_address(device, world)}
    for name in shared:
        entries[name]["connection_options"] = {"napalm": {"extras": _EXTRAS}}
    return entries


def defaults() -> dict[str, Any]:
    """Return the content of defaults.yaml."""
    return {
        "platform": "eos",
        "username": LAB_USERNAME,
        "password": LAB_PASSWORD,
        "connection_options": {"napalm": {"extras": _EXTRAS}},
    }


def _shares_address(device: DeviceSpec, world: World) -> bool:
    return sum(other.address == device.address for other in world.devices) > 1


def _dump(path: Path, content: dict[str, Any]) -> None:
    yaml = ruamel.yaml.YAML(typ="safe")
    yaml.default_flow_style = False
    yaml.representer.ignore_aliases = lambda _: True
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(content, file)
