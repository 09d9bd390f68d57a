"""Loads a Nornir inventory so that it is safe to run, and chooses hosts of it."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ruamel.yaml
from nornir import InitNornir
from nornir.core import Nornir
from nornir.core.plugins.inventory import InventoryPluginRegister

from dzbgp.eos import PLATFORM
from dzbgp.eos import credentials as device_login
from dzbgp.eos.connection import CONNECTION
from dzbgp.eos.credentials import Login
from dzbgp.eos.tls import Verification, Verifier
from dzbgp.eos.trust import KNOWN, Keys, KnownKeys
from dzbgp.errors import DzbgpError, InventoryError
from dzbgp.fleet.dask.runner import DaskRunner
from dzbgp.fleet.from_ledger.source import (
    PLUGIN,
    check_options,
    is_ledger_url,
    is_ledgers_address,
    parse_ledger_url,
)
from dzbgp.fleet.inventory.connection import check_connection, has_login, resolve_connection, with_login
from dzbgp.fleet.inventory.filters import choose
from dzbgp.fleet.inventory.schema import check_simple_inventory, parse_yaml
from dzbgp.fleet.options import TIMEOUT, UNSUPPORTED, FleetRequest, Runner
from dzbgp.fleet.runner import is_on_cluster, ready_cluster, runner_of
from dzbgp.fleet.workers import tell_workers
from dzbgp.ledger.networks import Network

log = logging.getLogger(__name__)


def load_inventory(
    path: Path, request: FleetRequest | None = None, net: Network | None = None, login: Login | None = None
) -> Nornir:
    """Load a directory of a SimpleInventory, a Nornir configuration file or a `dz://` URL, and choose hosts.

    `net`: the ledger that an inventory made of it is read from, unless its configuration names another. `login`: for
    hosts that have none, nor does the environment. Raises InventoryError, UsageError for options that choose nothing,
    and LedgerError when the inventory is made of the ledger and that cannot be read.
    """
    request = request or FleetRequest()
    verification = Verification(request.tls_verify, request.tls_ca_file, request.tls_insecure)
    verifier = Verifier(verification)
    nornir = _init(path, request, net)
    nornir.config.user_defined[TIMEOUT] = request.device_timeout_s
    nornir = choose(nornir, request.limit, request.groups, request.filters)
    unsupported, needs_login = _prepare(nornir, path, request.limit, verifier, login or Login())
    nornir.config.user_defined[UNSUPPORTED] = unsupported
    tell_workers(nornir, path, verification, net, build_on_worker, needs_login=needs_login)
    return nornir.filter(filter_func=lambda host: host.name not in unsupported)


def _prepare(
    nornir: Nornir, path: Path, named: Sequence[str], verifier: Verifier, login: Login
) -> tuple[dict[str, str], bool]:
    """Set each chosen host's own connection options, with the changes that options ask for.

    Return the hosts of other platforms, and whether some inventory's host has no login. Raises InventoryError.
    """
    unsupported, needs_login, logins = {}, False, []
    for name, host in nornir.inventory.hosts.items():
        where = f"--inventory {path}: host {name!r}"
        connection = resolve_connection(where, host)
        if connection.platform != PLATFORM:
            if connection.platform is None:
                raise InventoryError(
                    f"{where} has no platform in its settings, its groups or the defaults; "
                    f"expected platform: {PLATFORM}"
                )
            if name in named:
                raise InventoryError(
                    f"--limit: host {name!r} has platform {connection.platform!r}; expected platform: {PLATFORM}"
                )
            unsupported[name] = f"platform {connection.platform!r} is not supported, only {PLATFORM!r} is"
            continue
        check_connection(where, connection)
        verifier.apply(
            host,
            where,
            (connection.extras or {})["optional_args"],
            path,
            is_own_address=not is_ledgers_address(nornir.config.inventory, connection.hostname, host),
        )
        needs_login |= with_login(connection, login)
        logins.append(has_login(connection))
        host.connection_options[CONNECTION] = connection
    if not logins:
        raise InventoryError(f"--inventory {path}: no chosen host has platform {PLATFORM}")
    if not any(logins) and not isinstance(nornir.runner, DaskRunner):
        raise InventoryError(
            f"--inventory {path}: no host has a username and a password; expected them in the inventory, or in "
            "DZBGP_EOS_USERNAME and DZBGP_EOS_PASSWORD (or DZBGP_EOS_PASSWORD_FILE, DZBGP_EOS_PASSWORD_COMMAND)"
        )
    return unsupported, needs_login


def network_of(path: Path) -> str | None:
    """Return the name of the network whose ledger an inventory says that it is made of, if it says so.

    Raises InventoryError.
    """
    if is_ledger_url(path):
        return str(parse_ledger_url(path)["env"])
    if not os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises where a directory may not be searched
        return None
    inventory = _config_file(path)["inventory"]
    env = inventory["options"].get("env") if inventory.get("plugin") == PLUGIN else None
    return None if env is None else str(env)


def _init(path: Path, request: FleetRequest, net: Network | None) -> Nornir:
    settings: dict[str, Any] = {"logging": {"enabled": False}}
    if is_ledger_url(path):
        inventory = {"plugin": PLUGIN, "options": parse_ledger_url(path)}
        settings |= {"inventory": inventory}
    elif os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where a directory may not be searched
        files = [path / f"{name}.yaml" for name in ("hosts", "groups", "defaults")]
        check_simple_inventory(*files)
        names = ("host_file", "group_file", "defaults_file")
        inventory = {"plugin": "SimpleInventory", "options": dict(zip(names, map(str, files), strict=True))}
        settings |= {"inventory": inventory}
    elif os.path.isfile(path):  # noqa: PTH113 - as above
        settings |= _config_file(path)
    else:
        raise InventoryError(
            f"--inventory {path}: there is no such file or directory; expected a directory with hosts.yaml, "
            "a Nornir configuration file, or dz://NETWORK"
        )
    if settings["inventory"].get("plugin") == PLUGIN:
        _ready_plugin(settings["inventory"]["options"], net)
    settings["runner"] = runner_of(settings.get("runner"), request)
    if is_on_cluster(settings["runner"]):
        ready_cluster()
    _check_workers(path, settings["runner"])
    try:
        nornir = InitNornir(**settings)
    except DzbgpError:
        raise
    except Exception as error:
        # Whatever plugin the file names may raise whatever it likes; its message may hold secrets.
        log.debug("inventory", exc_info=True)
        raise InventoryError(
            f"--inventory {path}: Nornir could not load it: {type(error).__name__} (--verbose shows details)"
        ) from error
    # With it (NORNIR_CORE_RAISE_ON_ERROR sets it too) one device that fails would fail all.
    nornir.config.core.raise_on_error = False
    return nornir


def _check_workers(path: Path, runner: Any) -> None:
    workers = (runner.get("options") or {}).get("num_workers", 1) if isinstance(runner, dict) else 1
    if not isinstance(workers, int) or isinstance(workers, bool) or workers < 1:
        raise InventoryError(
            f"{path}: runner: options: num_workers is {workers!r}; expected a number, at least 1"
        )


def _ready_plugin(options: dict[str, Any], net: Network | None) -> None:
    """Point our own plugin at the ledger of this run, where its options say nothing of another."""
    from dzbgp.fleet.from_ledger.plugin import DoubleZeroInventory  # noqa: PLC0415 - only here

    # Found without its entry point too, as in a checkout that is not installed.
    InventoryPluginRegister.register(PLUGIN, DoubleZeroInventory)
    if net is not None and options.get("env") in {None, net.name}:
        ours = {"env": net.name, "rpc_url": list(net.rpc_urls), "program_id": str(net.program_id)}
        for key, value in ours.items():
            if value and options.get(key) is None:
                options[key] = value


def _config_file(path: Path) -> dict[str, Any]:
    """Read a Nornir configuration; a SimpleInventory's files are also looked for beside it."""
    try:
        config = parse_yaml(path.read_text(encoding="utf-8")) or {}
    except (OSError, ValueError, TypeError, RecursionError, ruamel.yaml.error.YAMLError) as error:
        raise InventoryError(f"{path}: no readable YAML ({type(error).__name__})") from None
    if not isinstance(config, dict):
        raise InventoryError(f"{path}: expected a Nornir configuration, a mapping")
    config.pop("logging", None)
    inventory = config.setdefault("inventory", {})
    if not isinstance(inventory, dict):
        raise InventoryError(f"{path}: inventory: expected a mapping with plugin and options")
    if inventory.get("plugin", "SimpleInventory") == "SimpleInventory":
        _find_files(path, _options_of(path, inventory))
    elif inventory["plugin"] == PLUGIN:
        options = _options_of(path, inventory)
        check_options(f"{path}: inventory: options", options)
        extra = options.get("extra")
        if extra is not None:
            names = [extra] if isinstance(extra, str) else extra
            options["extra"] = [str(_beside(path, name)) if isinstance(name, str) else name for name in names]
    return config


def _options_of(path: Path, inventory: dict[str, Any]) -> dict[str, Any]:
    options: Any = inventory.get("options") or {}
    if not isinstance(options, dict):
        raise InventoryError(f"{path}: inventory: options: expected a mapping of options to their values")
    inventory["options"] = options
    return options


def _find_files(path: Path, options: dict[str, Any]) -> None:
    files = []
    for name in ("host", "group", "defaults"):
        key = f"{name}_file"
        plural = name if name.endswith("s") else f"{name}s"
        named = options.get(key, f"{plural}.yaml")
        if not isinstance(named, str):
            raise InventoryError(f"{path}: inventory: options: {key}: expected a file's name")
        files.append(_beside(path, named))
        options[key] = str(files[-1])
    check_simple_inventory(*files)


def _beside(path: Path, named: str) -> Path:
    """Find a file that a configuration names: Nornir takes it from the working directory, which is seldom meant."""
    file = Path(os.path.expanduser(named))
    for other in (file, path.parent / file, path.parent / file.name):
        if other.exists():
            return other
    # Nornir itself would expand it, and fail for a user that nobody knows.
    return file.absolute()


def build_on_worker(
    path: Path,
    verification: Verification,
    public: Network | None,
    known: Keys,
    secret: tuple[Login, Network | None] | None,
) -> Nornir:
    """Load the inventory on a worker. The worker's environment comes first. Raises InventoryError and LedgerError."""
    from dzbgp.console.logs import silence_devices  # noqa: PLC0415

    silence_devices()
    device_login.forget()
    login, network = secret or (Login(), None)
    request = FleetRequest(
        tls_verify=verification.required,
        tls_ca_file=verification.ca_file,
        tls_insecure=verification.insecure,
        runner=Runner.THREADED,
    )
    nornir = load_inventory(path, request, network or public, login)
    nornir.config.user_defined[KNOWN] = KnownKeys(lambda: known)
    return nornir
