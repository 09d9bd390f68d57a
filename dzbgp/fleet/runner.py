"""Which Nornir runner asks the devices: threads of this process, or the workers of a Dask cluster."""

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nornir.core import Nornir
from nornir.core.plugins.runners import RunnersPluginRegister

from dzbgp.eos import credentials as device_login
from dzbgp.eos.credentials import Login
from dzbgp.eos.tls import Verification
from dzbgp.errors import UsageError
from dzbgp.fleet.dask.recipe import Recipe
from dzbgp.fleet.dask.runner import EXTRA, DaskRunner
from dzbgp.fleet.from_ledger.source import PLUGIN, is_ledger_url
from dzbgp.ledger.networks import NETWORKS, Network, redact

if TYPE_CHECKING:
    from dzbgp.fleet.load import FleetOptions

_DASK, _THREADED = "dask", "threaded"
_WORKERS = 20


def runner_of(configured: Any, plugin: str | None, workers: int | None, scheduler: str | None) -> Any:
    """Gives the `runner` of a Nornir configuration: what is `configured`, with what the options say.

    Raises UsageError for a scheduler without the runner that has one.
    """
    if configured is not None and not isinstance(configured, dict):
        return configured  # Nornir's to refuse
    found = configured or {}
    named = plugin or found.get("plugin") or _THREADED
    options = dict(found.get("options") or {}) if named == found.get("plugin", _THREADED) else {}
    if workers is not None:
        if plugin is None and named != _DASK:
            # Whatever runner a configuration names, it may know of no number.
            named, options = _THREADED, {}
        options["num_workers"] = workers
    if named == _THREADED:
        options.setdefault("num_workers", _WORKERS)
    if named == "serial":
        options.pop("num_workers", None)
    if scheduler is not None:
        if named != _DASK:
            raise UsageError(f"--scheduler: it goes with --runner {_DASK}, not with {named!r}")
        options["scheduler"] = scheduler
    return {"plugin": named, "options": options}


def is_on_cluster(runner: Any) -> bool:
    """Says whether a `runner` of a Nornir configuration is that of a Dask cluster."""
    return isinstance(runner, dict) and runner.get("plugin") == _DASK


def ready_cluster() -> None:
    """Sees to it that the runner can be found. Raises UsageError without the extra."""
    if importlib.util.find_spec("distributed") is None:
        raise UsageError(EXTRA)
    import dask  # noqa: PLC0415 - an extra, and slow

    # Without this the import of distributed puts handlers of its own beside those of the command line.
    if dask.config.get("logging", None) is None:
        dask.config.set({"logging": {"version": 1, "incremental": True}})
    # Found without its entry point too, as in a checkout that is not installed.
    RunnersPluginRegister.register(_DASK, DaskRunner)


def tell_workers(nornir: Nornir, path: Path, options: "FleetOptions", *, needs_login: bool) -> None:
    """Tells a cluster's workers, if there is one, how to build the same inventory: from the same files, there.

    What is a secret is sent to workers over TLS only: the login of this environment, if any host `needs_login`, and an
    RPC's URL. Without it they take their own.
    """
    if not isinstance(nornir.runner, DaskRunner):
        return
    verification = options.verification
    if verification.ca_file is not None:
        verification = replace(verification, ca_file=verification.ca_file.absolute())
    network = options.network if nornir.config.inventory.plugin == PLUGIN else None
    public = network
    if network is not None and not _is_public(network):
        public = replace(network, rpc_urls=())
    nornir.runner.recipe = Recipe(
        build_on_worker,
        (path if is_ledger_url(path) else path.absolute(), verification, public),
        find_secret=lambda: (device_login.here() if needs_login else Login(), network),
    )


def _is_public(network: Network) -> bool:
    known = NETWORKS.get(network.name)
    return all(
        url.rstrip("/") == redact(url) or (known is not None and url in known.rpc_urls)
        for url in network.rpc_urls
    )


def build_on_worker(
    path: Path,
    verification: Verification,
    public: Network | None,
    secret: tuple[Login, Network | None] | None,
) -> Nornir:
    """Loads the inventory on a worker. Its own environment comes first. Raises InventoryError and LedgerError."""
    from dzbgp.console.logs import silence_devices  # noqa: PLC0415
    from dzbgp.fleet.load import FleetOptions, load_inventory  # noqa: PLC0415 - it imports this module

    silence_devices()
    device_login.forget()
    login, network = secret or (Login(), None)
    options = FleetOptions(
        network=network or public, verification=verification, runner=_THREADED, login=login
    )
    return load_inventory(path, options)
