"""Inventories that are named instead of kept: `dz://testnet?contributor=xyz`, and options of a configuration file."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from nornir.core.configuration import InventoryConfig
from nornir.core.inventory import Host

from dzbgp.errors import InventoryError
from dzbgp.fleet.from_ledger.selection import PUBLIC_IP, hostname_of
from dzbgp.ledger.networks import NETWORKS

PLUGIN = "DoubleZeroInventory"

_FILTERS = ("contributor", "metro", "location", "status", "code")
_CHOICE = (*_FILTERS, "hostname", "extra")
_ALL = "all"
"""Only in a URL: the devices of every contributor are chosen, and get the password."""
_OWN_DOMAIN = re.compile(r"\}\.[^{}]*[A-Za-z][^{}]*$")
"""A template that ends in a domain, such as `{code}.mgmt.example.net`."""
OPTIONS = ("env", "rpc_url", "program_id", *_CHOICE)
"""What DoubleZeroInventory takes."""


def is_ledger_url(path: Path) -> bool:
    """Return whether an inventory is a `dz://` URL. A Path has only one of its slashes left."""
    return str(path) == "dz:" or str(path).startswith("dz:/")


def parse_ledger_url(path: Path) -> dict[str, Any]:
    """Return the plugin's options of `dz://NETWORK?contributor=...&extra=...`. Raises InventoryError."""
    where = "--inventory dz://"
    try:
        url = urlsplit(str(path))
        pairs = parse_qsl(url.query, keep_blank_values=True, strict_parsing=bool(url.query))
    except ValueError:
        raise InventoryError(f"{where}: expected dz://NETWORK?KEY=VALUE&KEY=VALUE") from None
    env = (url.netloc + url.path).strip("/")
    if env not in NETWORKS:
        raise InventoryError(f"{where}{env}: it names no network; expected one of {', '.join(NETWORKS)}")
    options: dict[str, Any] = {"env": env}
    is_all = False
    for key, value in pairs:
        if key == _ALL:
            is_all = value == "true"
            continue
        if key not in _CHOICE:
            # Its value is not told: it may be an RPC's URL.
            raise InventoryError(f"{where}{env}: unknown option {key!r}; expected {', '.join(_CHOICE)}, all")
        if key == "hostname" and key in options:
            raise InventoryError(f"{where}{env}: hostname is given twice")
        options[key] = value if key == "hostname" else [*options.get(key, ()), value]
    if not is_all and not any(texts(where, options.get(key)) for key in ("contributor", "code")):
        raise InventoryError(
            f"{where}{env}: it chooses the devices of every contributor, whose owners could read your password; "
            f"expected ?contributor=CODE or ?code=PATTERN (if you mean all of them: ?{_ALL}=true)"
        )
    return options


def check_options(where: str, options: Mapping[str, Any]) -> None:
    """Raise InventoryError for an option that the plugin does not have, naming `where` it stands."""
    for key in options:
        if key not in OPTIONS:
            raise InventoryError(
                f"{where}: unknown option {key!r} of {PLUGIN}; expected {', '.join(OPTIONS)}"
            )


def is_ledgers_address(inventory: InventoryConfig, hostname: str | None, host: Host) -> bool:
    """Tell whether a host's address is what its account says, and not a name in a domain of the operator's own."""
    template = inventory.options.get("hostname") or PUBLIC_IP
    if inventory.plugin != PLUGIN or _OWN_DOMAIN.search(template):
        return False
    return hostname is not None and hostname == hostname_of(template, host.data)


def texts(where: str, value: Any, *, split: bool = True) -> tuple[str, ...]:
    """Return the texts of an option that is one, several with commas, or a list. Raises InventoryError."""
    items = [value] if isinstance(value, str) else [] if value is None else value
    # A number or a truth value is what YAML makes of a code such as 012 that is not quoted.
    if not isinstance(items, Iterable) or not all(isinstance(item, str) for item in items):
        raise InventoryError(f"{where}: expected a text or a list of texts (quote it)")
    parts = [part for item in items for part in (item.split(",") if split else [item])]
    return tuple(part.strip() for part in parts if part.strip())
