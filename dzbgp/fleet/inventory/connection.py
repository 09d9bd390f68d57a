"""The connection options of each host, its own copy of them."""

import copy
from pathlib import Path

from nornir.core.inventory import ConnectionOptions, Host

from dzbgp.eos import credentials as device_login
from dzbgp.eos.connection import CONNECTION
from dzbgp.eos.credentials import Login
from dzbgp.eos.tls import Verifier
from dzbgp.errors import InventoryError

DEFAULT_TIMEOUT_S = 30
"""How long a device may take to answer one request where the inventory says nothing (NAPALM: 60 s)."""


_PLATFORM = "eos"


_MAX_PORT = 65_535


def own_connection(path: Path, name: str, host: Host, verifier: Verifier, login: Login) -> bool:
    """Give `host` connection options of its own, and return whether its inventory lacks a login.

    What is put into them must not reach the hosts of the same group. Raises InventoryError.
    """
    try:
        resolved = host.get_connection_parameters(CONNECTION)
        extras = copy.deepcopy(resolved.extras or {})
    except (AttributeError, KeyError, TypeError) as error:
        raise InventoryError(f"--inventory {path}: host {name!r} has malformed connection options") from error
    if resolved.platform != _PLATFORM:
        found = (
            "no platform, nor have its groups or the defaults"
            if resolved.platform is None
            else f"platform {resolved.platform!r}"
        )
        raise InventoryError(f"--inventory {path}: host {name!r} has {found}; expected platform: {_PLATFORM}")
    if resolved.port is not None and not (isinstance(resolved.port, int) and 0 < resolved.port <= _MAX_PORT):
        # The socket library would take it modulo 65536.
        raise InventoryError(
            f"--inventory {path}: host {name!r} has port {resolved.port!r}; expected 1 to {_MAX_PORT}"
        )
    for key, default in (("timeout", DEFAULT_TIMEOUT_S), ("optional_args", {})):
        if extras.get(key) is None:
            extras[key] = default
    verifier.apply(host, f"--inventory {path}: host {name!r}", extras["optional_args"], path)
    needs_login = not (resolved.username and resolved.password)
    # As a pair: of two environments each may know another user.
    here = device_login.here() if needs_login else Login()
    spare = here if here.username or here.password else login
    host.connection_options[CONNECTION] = ConnectionOptions(
        hostname=resolved.hostname or name,
        port=resolved.port,
        username=resolved.username or spare.username,
        password=resolved.password or spare.password,
        platform=resolved.platform,
        extras=extras,
    )
    return needs_login
