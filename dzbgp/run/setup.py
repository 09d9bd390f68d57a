"""What `dzbgp run` does between its options and its report."""

import contextlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from solders.pubkey import Pubkey

from dzbgp.eos.connection import CONNECTION
from dzbgp.eos.tls import Verification
from dzbgp.errors import UsageError
from dzbgp.fleet.fleet import Fleet
from dzbgp.fleet.from_ledger.source import is_ledger_url
from dzbgp.fleet.load import load_inventory, network_of
from dzbgp.fleet.options import FleetOptions
from dzbgp.fleet.shard import Shard
from dzbgp.ledger.events import OnFetch
from dzbgp.ledger.networks import Network, network
from dzbgp.ledger.session import LedgerSession, SessionOptions
from dzbgp.ledger.submit.signers import Signers, default_paths, load_signers
from dzbgp.ledger.submit.submitter import SubmitOptions
from dzbgp.models.ledger import LAMPORTS_PER_SOL, Device
from dzbgp.run.request import PassOptions, RunRequest
from dzbgp.state.lock import state_lock
from dzbgp.state.store import History

log = logging.getLogger(__name__)

SMALL_FLEET = 4
"""Up to this many hosts the users are asked for device by device instead of all at once."""

_NO_INVENTORY = (
    "--inventory: expected a directory with hosts.yaml, or a Nornir configuration file, or dz://NETWORK"
)


@dataclass(frozen=True, slots=True)
class Setup:
    """What to ask and how: what a long-running process reads anew when it is told to."""

    fleet: Fleet
    options: PassOptions


def prepared(request: RunRequest, stack: contextlib.ExitStack) -> tuple[RunRequest, Network]:
    """Gives the request with everything in it, and the network; with --lab the lab is started. Raises DzbgpError."""
    if request.lab:
        return _with_lab(request, stack)
    _network(replace(request, env=_env(request.env, None)))
    if request.inventory is None:
        raise UsageError(_NO_INVENTORY)
    request = replace(request, env=_env(request.env, network_of(request.inventory)))
    return request, _network(request)


def _env(given: str, named: str | None) -> str:
    """Gives the network to use: an inventory made of one ledger is of no use on another."""
    if given and named and given != named:
        raise UsageError(f"--env: {given!r} was given, but the inventory is made of {named!r}")
    return given or named or "mainnet-beta"


def _network(request: RunRequest) -> Network:
    return network(request.env, request.rpc_urls, request.program_id, request.genesis_hash)


def load_setup(request: RunRequest) -> Setup:
    """Reads the inventory and the keypairs. Raises a UsageError."""
    if request.inventory is None:
        raise UsageError(_NO_INVENTORY)
    fleet = Fleet(load_inventory(request.inventory, fleet_options(request)), request.shard)
    pass_options = PassOptions(
        dry_run=request.dry_run,
        identity_check=request.identity_check,
        rules=request.rules,
        confirm_down_s=request.confirm_down_s,
        signers=_signers(request),
    )
    return Setup(fleet, pass_options)


def fleet_options(request: RunRequest) -> FleetOptions:
    """Says which hosts the request is about, and how they are asked. Raises UsageError."""
    return FleetOptions(
        limit=request.limit,
        filters=request.filters,
        workers=request.workers,
        runner=request.runner,
        scheduler=request.scheduler,
        groups=request.groups,
        network=None if request.lab else _network(request),
        verification=Verification(request.tls_verify, request.tls_ca_file),
    )


def open_ledger(
    request: RunRequest, net: Network, fleet: Callable[[], Fleet], on_fetch: OnFetch, *, is_fixed: bool
) -> LedgerSession:
    """Gives the session with the network's ledger, to be entered.

    `fleet` gives the fleet of the moment. Unless that `is_fixed`, all users are asked for: it may become another one.
    """

    def scope(devices: Mapping[Pubkey, Device]) -> Sequence[Pubkey]:
        return fleet().scope(devices)

    small = is_fixed and len(fleet().hosts) <= SMALL_FLEET and request.shard is None
    return LedgerSession(net, _session_options(request), scope if small else None, scope, on_fetch)


def _with_lab(request: RunRequest, stack: contextlib.ExitStack) -> tuple[RunRequest, Network]:
    """Starts the lab where the inventory says that its devices are."""
    from dzbgp.lab.lab import Lab, default_inventory  # noqa: PLC0415 - only here
    from dzbgp.lab.world.world import World  # noqa: PLC0415

    taken = [
        ("--rpc-url", request.rpc_urls),
        ("--keypair", request.keypairs),
        ("--program-id", request.program_id),
    ]
    for name, value in taken:
        if value:
            raise UsageError(f"{name} does not go with --lab, which brings its own")
    inventory = request.inventory or default_inventory()
    if is_ledger_url(inventory):
        raise UsageError(
            "--inventory dz:// does not go with --lab, whose devices listen where an inventory says"
        )
    everything = Fleet(load_inventory(inventory))
    devices = {spec.device.pubkey: spec.device for spec in World.build().devices}
    addresses = {}
    for name, device in everything.match(devices).items():
        connection = everything.hosts[name].get_connection_parameters(CONNECTION)
        if device is not None and connection.hostname and connection.port:
            addresses[device.code] = (connection.hostname, connection.port)
    lab = stack.enter_context(Lab.start(addresses=addresses))
    # The lab's devices can prove themselves, so they have to, unless somebody wants it otherwise.
    verified = request.tls_verify is False or request.tls_ca_file is not None
    ca_file = request.tls_ca_file if verified else lab.ca_file
    return replace(request, inventory=inventory, keypairs=(lab.keypairs,), tls_ca_file=ca_file), lab.network


def open_history(request: RunRequest, net: Network, stack: contextlib.ExitStack) -> History | None:
    """Opens the state file, with its lock unless this is a dry run. The lab's world has none by default."""
    if request.state is None and request.lab:
        return None
    path = request.state or default_state(net, request.shard)
    if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where a directory may not be searched
        raise UsageError(f"--state {path}: it is a directory; expected a file")
    if not request.dry_run:
        stack.enter_context(state_lock(path))
    return stack.enter_context(History.open(path, net.program_id, read_only=request.dry_run))


def default_state(net: Network, shard: Shard | None = None) -> Path:
    """Gives the state file of a network's program in the user's state directory (XDG Base Directory).

    A shard has one of its own: it is locked while a run lasts, and shards run side by side.
    """
    part = f"-{shard.number}of{shard.count}" if shard else ""
    home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(home).expanduser() / "dzbgp" / f"{net.name}-{str(net.program_id)[:8]}{part}.sqlite"


def _session_options(request: RunRequest) -> SessionOptions:
    return SessionOptions(
        submit=SubmitOptions(commitment=request.commitment, deadline_s=request.submit_timeout_s),
        priority_fee=request.priority_fee,
        low_balance=int(request.low_balance_sol * LAMPORTS_PER_SOL),
        verify=request.verify,
    )


def _signers(request: RunRequest) -> Signers | None:
    """Loads the keypairs; a dry run does without."""
    paths = list(request.keypairs) or default_paths()
    if paths:
        return load_signers(paths)
    if request.dry_run:
        return None
    raise UsageError(
        "--keypair: no keypair was given, and there is none at ~/.config/doublezero/id.json or "
        "~/.config/solana/id.json; expected the keypair of a device's metrics publisher (--dry-run needs none)"
    )
