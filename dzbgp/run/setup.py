"""What a run needs before its first pass: network, fleet, keys, ledger session, state file."""

import contextlib
import functools
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from solders.pubkey import Pubkey

from dzbgp.eos.trust import KnownKeys
from dzbgp.errors import DzbgpError, UsageError
from dzbgp.fleet.fleet import Fleet
from dzbgp.fleet.load import load_inventory
from dzbgp.fleet.network import network_for
from dzbgp.ledger.errors import RpcError
from dzbgp.ledger.events import OnFetch
from dzbgp.ledger.networks import Network
from dzbgp.ledger.program.cache import TTL_S
from dzbgp.ledger.session import METHOD_NOT_FOUND, LedgerSession, SessionOptions
from dzbgp.ledger.submit.signers import Signers, load_signers
from dzbgp.ledger.submit.submitter import SubmitOptions
from dzbgp.models.ledger import LAMPORTS_PER_SOL, Device
from dzbgp.run.request import NO_STATE, PassOptions, RunRequest, SetupRequest, WatchRequest
from dzbgp.state.known_keys import add_known_key, read_known_keys
from dzbgp.state.place import state_path
from dzbgp.state.store import Store

log = logging.getLogger(__name__)

SMALL_FLEET = 4
"""Up to this many hosts the users are asked for device by device instead of all at once."""

_NO_INVENTORY = (
    "--inventory: expected a directory with hosts.yaml, or a Nornir configuration file, or dz://NETWORK"
)


@dataclass(frozen=True, slots=True)
class Setup:
    """The fleet and how to read it: what a long-running process reloads on SIGHUP."""

    fleet: Fleet
    options: PassOptions


def network_of_run(request: SetupRequest) -> Network:
    """Return the network to write to. Raises UsageError, also without an inventory."""
    net = network_for(request)
    if request.inventory is None:
        raise UsageError(_NO_INVENTORY)
    return replace(net, genesis_hash=request.genesis_hash or net.genesis_hash)


def load_setup(request: RunRequest, net: Network) -> Setup:
    """Read the inventory and the keypairs. Raises a UsageError."""
    if request.inventory is None:
        raise UsageError(_NO_INVENTORY)
    fleet = Fleet(load_inventory(request.inventory, request, net), request.shard)
    return Setup(fleet, PassOptions.of(request, signers_of(request)))


def choose_contributors(fleet: Fleet, request: RunRequest, ledger: LedgerSession) -> None:
    """Ask the ledger for the contributors that the request names, if any, and choose their hosts.

    Raises UsageError for a name that none has, and a LedgerError.
    """
    if request.contributor:
        fleet.choose_contributors(request.contributor, ledger.contributors())


def open_ledger(
    request: RunRequest, net: Network, fleet: Callable[[], Fleet], on_fetch: OnFetch, *, is_fixed: bool
) -> LedgerSession:
    """Return the session with the network's ledger, to be entered.

    `fleet` gives the fleet of the moment. Unless it `is_fixed`, all users are asked for, since a reload may change it.
    """

    def scope(devices: Mapping[Pubkey, Device]) -> Sequence[Pubkey]:
        return fleet().scope(devices)

    small = is_fixed and len(fleet().hosts) <= SMALL_FLEET and request.shard is None
    return LedgerSession(net, _session_options(request), scope if small else None, scope, on_fetch)


def open_store(request: RunRequest, ledger: LedgerSession, stack: contextlib.ExitStack) -> Store | None:
    """Open the state file of a ledger; None for `--state none`. Raises a DzbgpError."""
    if request.state == NO_STATE:
        return None
    program_id = ledger.network.program_id
    path = state_path(request.state, program_id)
    if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where a directory may not be searched
        raise UsageError(f"--state {path}: it is a directory; expected a file")
    try:
        genesis_hash = ledger.genesis_hash()
    except RpcError as error:
        if error.code != METHOD_NOT_FOUND:
            raise
        # It answers, but not this: the file is used as that of whatever ledger it was of before.
        log.warning("state: the ledger's genesis hash is not known: %s", error)
        genesis_hash = None
    store = stack.enter_context(Store.open(path, program_id, genesis_hash, read_only=request.dry_run))
    if genesis_hash is None:
        # The RPC may say it later. Of another ledger the slots of this file are no measure.
        ledger.expect_genesis_hash(store.genesis_hash)
    ledger.restore_floor(store.floor())
    return store


def known_keys(store: Store | None) -> KnownKeys:
    """Return what devices have shown before, which a run with a state file adds to; a dry run only reads it."""
    if store is None:
        return KnownKeys()
    keep = None if store.database.read_only else functools.partial(add_known_key, store)
    return KnownKeys(functools.partial(read_known_keys, store), keep)


def known_keys_of_file(given: Path | None, program_id: Pubkey) -> KnownKeys:
    """Return what devices have shown before, for a command that changes nothing. Never raises."""
    if given == NO_STATE:
        return KnownKeys()
    try:
        with Store.open(state_path(given, program_id), program_id, read_only=True) as store:
            found = read_known_keys(store)
    except (DzbgpError, OSError) as error:
        log.debug("known keys: %s", error)
        return KnownKeys()
    return KnownKeys(lambda: found)


def _session_options(request: RunRequest) -> SessionOptions:
    return SessionOptions(
        submit=SubmitOptions(commitment=request.commitment, deadline_s=request.submit_timeout_s),
        priority_fee=request.priority_fee,
        low_balance=int(request.low_balance_sol * LAMPORTS_PER_SOL),
        verify=request.verify,
        max_ledger_lag_s=request.max_ledger_lag_s,
        data_good_s=data_good_s(request),
    )


def data_good_s(request: RunRequest) -> float:
    """Return how old program data may be at the beginning of a pass: at the next one it would be too old."""
    if not isinstance(request, WatchRequest):
        return TTL_S
    return max(0.0, request.ledger_interval_s - request.interval_s)


def signers_of(request: RunRequest) -> Signers | None:
    """Load the keypairs; a dry run does without."""
    if request.keypairs:
        return load_signers(request.keypairs)
    if request.dry_run:
        return None
    raise UsageError(
        "--keypair: no keypair was given; expected the keypair of a device's metrics publisher (--dry-run needs none, "
        "`dzbgp check` says where one is found)"
    )
