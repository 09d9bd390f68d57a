"""The connection options of each host: resolved, checked and its own, whatever plugin the inventory comes from."""

import copy
from collections.abc import Iterator
from typing import Any

from nornir.core.inventory import ConnectionOptions, Host

from dzbgp.eos import credentials as device_login
from dzbgp.eos.connection import CONNECTION
from dzbgp.eos.credentials import Login
from dzbgp.errors import InventoryError

DEFAULT_TIMEOUT_S = 30
"""How long a device may take to answer one request where the inventory says nothing (NAPALM: 60 s)."""

_MAX_PORT = 65_535
_MAX_TIMEOUT_S = 3_600
_MAX_LABEL = 63
_ATTRIBUTES = ("hostname", "port", "username", "password", "platform")


def resolve_connection(where: str, host: Host) -> ConnectionOptions:
    """Return the host's connection options: each from the host, else its groups in their order, else the defaults.

    Nornir's own way asks the defaults before the second group, and writes into the options of groups. Raises
    InventoryError.
    """
    try:
        places = list(_places(host))
        found = {name: _first(name, places) for name in (*_ATTRIBUTES, "extras")}
        extras = copy.deepcopy(found.pop("extras") or {})
        for name in _ATTRIBUTES:
            if found[name] is None:
                found[name] = getattr(host, name)
        if not isinstance(extras.setdefault("optional_args", {}) or {}, dict):
            raise TypeError  # noqa: TRY301
    except (AttributeError, KeyError, TypeError, RecursionError) as error:
        raise InventoryError(f"{where} has malformed connection options") from error
    for key, default in (("timeout", DEFAULT_TIMEOUT_S), ("optional_args", {})):
        if extras.get(key) is None:
            extras[key] = default
    if found["hostname"] is None:
        found["hostname"] = host.name
    return ConnectionOptions(**found, extras=extras)


def _places(host: Host) -> Iterator[ConnectionOptions]:
    groups = [group.connection_options for group in host.extended_groups()]
    for known in (host.connection_options, *groups, host.defaults.connection_options):
        options = known.get(CONNECTION)
        if options is not None:
            yield options


def _first(name: str, places: list[ConnectionOptions]) -> Any:
    return next((value for one in places if (value := getattr(one, name)) is not None), None)


def check_connection(where: str, connection: ConnectionOptions) -> None:
    """Raise InventoryError for what no device could be reached with, naming it as what it is."""
    port, timeout = connection.port, (connection.extras or {})["timeout"]
    if port is not None and not (type(port) is int and 0 < port <= _MAX_PORT):
        # The socket library would take it modulo 65536.
        raise InventoryError(f"{where} has port {port!r}; expected 1 to {_MAX_PORT}")
    if type(timeout) not in {int, float} or not 0 < timeout <= _MAX_TIMEOUT_S:
        raise InventoryError(f"{where} has timeout {timeout!r}; expected seconds, more than 0, at most 3600")
    hostname = connection.hostname
    slip = _slip(hostname) if isinstance(hostname, str) else "is not a text"
    if slip:
        raise InventoryError(
            f"{where} has hostname {hostname!r}, which {slip}; expected a name or an address"
        )


def _slip(hostname: str) -> str:
    if not hostname:
        return "is empty"
    if any(character.isspace() for character in hostname):
        return "contains a blank"
    if hostname.startswith("["):
        return "has brackets around an IPv6 address"
    if "://" in hostname:
        return "is a URL"
    if any(len(label) > _MAX_LABEL for label in hostname.split(".")):
        return f"has a part of more than {_MAX_LABEL} characters"
    return ""


def with_login(connection: ConnectionOptions, login: Login) -> bool:
    """Complete the login from this environment, else from `login`; return whether the inventory lacks one."""
    needs_login = not (connection.username and connection.password)
    # As a pair: of two environments each may know another user.
    here = device_login.here() if needs_login else Login()
    spare = here if here.username or here.password else login
    connection.username = connection.username or spare.username
    connection.password = connection.password or spare.password
    return needs_login


def has_login(connection: ConnectionOptions) -> bool:
    """Tell whether there is anything to log in with."""
    options = (connection.extras or {}).get("optional_args") or {}
    keys = ("key_file", "use_keys", "allow_agent", "cert_file")
    return bool(connection.username and (connection.password or any(map(options.get, keys)))) or bool(
        options.get("cert_file")
    )
