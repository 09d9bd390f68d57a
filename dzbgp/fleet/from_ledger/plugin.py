"""DoubleZeroInventory: a Nornir inventory whose hosts are the ledger's devices.

inventory:
  plugin: DoubleZeroInventory
  options:
    env: testnet
    contributor: xyz
    extra: hosts.yaml
"""

import logging
import os
from pathlib import Path
from typing import Any

from nornir.core.inventory import (
    ConnectionOptions,
    Defaults,
    Group,
    Groups,
    Host,
    Hosts,
    Inventory,
    ParentGroups,
)

from dzbgp.errors import InventoryError
from dzbgp.fleet.from_ledger.content import Content, content_of, merge_extra
from dzbgp.fleet.from_ledger.facts import facts_of
from dzbgp.fleet.from_ledger.selection import PUBLIC_IP, Selection
from dzbgp.fleet.from_ledger.source import PLUGIN, texts
from dzbgp.fleet.options import rpc_urls_in
from dzbgp.ledger.networks import network
from dzbgp.ledger.program.snapshot import take_snapshot

log = logging.getLogger(__name__)

Texts = str | list[str] | None
"""One text, several with commas between them, or a list."""


class DoubleZeroInventory:
    """Nornir's inventory plugin. Every device is a host: its code is the name, its public_ip the hostname.

    Groups: contributor-CODE, metro-CODE (the exchange), location-CODE, status-STATUS. Data: the names in
    dzbgp.fleet.from_ledger.facts.FACTS, of which `dz_device` is the key of the device's account.

    `env`, `rpc_url` and `program_id` say which ledger; what is left out is taken from the environment
    (DZBGP_ENV, DZBGP_RPC_URL, DZBGP_PROGRAM_ID), else it is the network's own. `hostname` is a template such
    as `{code}.mgmt.example.net`. `contributor`, `metro`, `location`, `status` and `code` (a pattern such as
    `ams-*`) choose devices. `extra` names files of settings that are merged over what the ledger says:
    hosts in the form of hosts.yaml, or a directory with hosts.yaml, groups.yaml and defaults.yaml.

    Raises InventoryError for a wrong option, and LedgerError: `load` when the ledger can't be read.
    """

    def __init__(
        self,
        env: str | None = None,
        rpc_url: Texts = None,
        program_id: str | None = None,
        hostname: str = PUBLIC_IP,
        contributor: Texts = None,
        metro: Texts = None,
        location: Texts = None,
        status: Texts = None,
        code: Texts = None,
        extra: Texts = None,
    ) -> None:
        prefix = f"{PLUGIN}: "
        for name, value in (("env", env), ("program_id", program_id), ("hostname", hostname)):
            if value is not None and not isinstance(value, str):
                raise InventoryError(f"{prefix}{name}: expected a text")
        urls = texts(f"{prefix}rpc_url", rpc_url, split=False)
        self._network = network(
            env or os.environ.get("DZBGP_ENV") or "mainnet-beta",
            urls or tuple(rpc_urls_in(os.environ.get("DZBGP_RPC_URL", ""))),
            program_id or os.environ.get("DZBGP_PROGRAM_ID") or None,
        )
        filters = {
            "contributor": contributor,
            "metro": metro,
            "location": location,
            "status": status,
            "code": code,
        }
        self._selection = Selection(
            **{name: texts(prefix + name, value) for name, value in filters.items()},
            hostname=hostname,
            prefix=prefix,
        )
        self._selection.check()
        self._extra = [Path(os.path.expanduser(name)) for name in texts(f"{prefix}extra", extra)]

    def load(self) -> Inventory:
        """Read the ledger, and make Nornir's inventory of it."""
        snapshot = take_snapshot(self._network, with_users=False)
        for sentence in snapshot.data.notes:
            log.warning("%s", sentence)
        everything = facts_of(snapshot.data.devices, snapshot.names)
        content = content_of(self._selection.choose(everything), self._selection)
        for extra in self._extra:
            merge_extra(content, extra, everything)
        return _inventory(content)


def _inventory(content: Content) -> Inventory:
    defaults = Defaults(
        **_base(content.defaults),
        data=content.defaults.get("data"),
        connection_options=_connections(content.defaults),
    )
    groups = Groups()
    for name, entry in content.groups.items():
        groups[name] = Group(name=name, defaults=defaults, **_element(entry))
    hosts = Hosts()
    for name, entry in content.hosts.items():
        hosts[name] = Host(name=name, defaults=defaults, **_element(entry))
        hosts[name].groups = ParentGroups(groups[group] for group in entry.get("groups") or ())
    for name, entry in content.groups.items():
        groups[name].groups = ParentGroups(groups[group] for group in entry.get("groups") or ())
    return Inventory(hosts=hosts, groups=groups, defaults=defaults)


def _element(entry: dict[str, Any]) -> dict[str, Any]:
    return _base(entry) | {"data": entry.get("data"), "connection_options": _connections(entry)}


def _base(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: entry.get(name) for name in ("hostname", "port", "username", "password", "platform")}


def _connections(entry: dict[str, Any]) -> dict[str, ConnectionOptions]:
    return {
        name: ConnectionOptions(**_base(options), extras=options.get("extras"))
        for name, options in (entry.get("connection_options") or {}).items()
    }
