"""The recipe by which the workers of a Dask cluster build the same inventory."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from nornir.core import Nornir

from dzbgp.eos import credentials as device_login
from dzbgp.eos.credentials import Login
from dzbgp.eos.tls import Verification
from dzbgp.eos.trust import KNOWN, KnownKeys
from dzbgp.fleet.dask.recipe import Recipe
from dzbgp.fleet.dask.runner import DaskRunner
from dzbgp.fleet.from_ledger.source import PLUGIN, is_ledger_url
from dzbgp.ledger.networks import NETWORKS, Network
from dzbgp.ledger.secrets import redact


def tell_workers(
    nornir: Nornir,
    path: Path,
    verification: Verification,
    net: Network | None,
    build: Callable[..., Nornir],
    *,
    needs_login: bool,
) -> None:
    """Pass the recipe for the workers to the Dask runner, if `nornir` has it: the same files, read there.

    `build` is called there, with the path, the verification, what is public of the network, the known keys,
    and the secrets.
    Secrets are sent over TLS only: the login of this environment, if any host `needs_login`, and the URLs of RPCs.
    Without TLS workers use the login and the URLs of their own environment.
    """
    if not isinstance(nornir.runner, DaskRunner):
        return
    if verification.ca_file is not None:
        verification = replace(verification, ca_file=verification.ca_file.absolute())
    network = net if nornir.config.inventory.plugin == PLUGIN else None
    public = network
    if network is not None and not _is_public(network):
        public = replace(network, rpc_urls=())
    nornir.runner.recipe = Recipe(
        build,
        (path if is_ledger_url(path) else path.absolute(), verification, public, {}),
        find_secret=lambda: (device_login.here() if needs_login else Login(), network),
    )


def _is_public(network: Network) -> bool:
    known = NETWORKS.get(network.name)
    return all(
        url.rstrip("/") == redact(url) or (known is not None and url in known.rpc_urls)
        for url in network.rpc_urls
    )


def tell_known(nornir: Nornir, known: KnownKeys) -> None:
    """Say which keys the devices have shown before. What workers see first stays with them, and ends with them."""
    nornir.config.user_defined[KNOWN] = known
    if isinstance(nornir.runner, DaskRunner) and nornir.runner.recipe is not None:
        recipe = nornir.runner.recipe
        nornir.runner.recipe = replace(recipe, args=(*recipe.args[:-1], known.all))
