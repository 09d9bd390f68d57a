"""One check: inventory, ledger, keys, state, devices. A failure skips only the tests that depend on it."""

import contextlib
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain

from solders.pubkey import Pubkey

from dzbgp.console.progress import Progress
from dzbgp.console.words import amount
from dzbgp.decision.resolver import users_by_device
from dzbgp.diagnostics.check.devices import (
    check_addresses,
    check_device,
    check_verification,
    check_writers,
)
from dzbgp.diagnostics.check.found_keys import check_doublezero_configuration, check_found_keys
from dzbgp.diagnostics.check.keys import check_duties, check_publishers, load_keys, publishers_of
from dzbgp.diagnostics.check.ledger import LedgerState, check_ledger
from dzbgp.diagnostics.check.results import CheckReport, CheckResult, CheckResults, CheckSection
from dzbgp.diagnostics.check.state import check_state
from dzbgp.eos.connection import CONNECTION
from dzbgp.eos.probe import Probe, Step
from dzbgp.errors import ExitCode, InventoryError, UsageError
from dzbgp.fleet.fleet import Fleet
from dzbgp.fleet.load import load_inventory
from dzbgp.fleet.network import network_for
from dzbgp.ledger.errors import LedgerError
from dzbgp.ledger.networks import Network
from dzbgp.ledger.submit.signers import Signers
from dzbgp.models.ledger import LAMPORTS_PER_SOL, Device, User
from dzbgp.run.request import NO_STATE, SetupRequest
from dzbgp.run.setup import known_keys_of_file
from dzbgp.state.other_writers import other_writers
from dzbgp.state.place import state_path
from dzbgp.tasks.probe import probe

_INVENTORY_HINT = "correct it; `dzbgp inventory --output DIR` makes one from the ledger"
_CONTRIBUTOR_HINT = "`dzbgp devices` lists the devices with their contributors"
_Matched = Mapping[str, Device | None]


def run_check(request: SetupRequest, progress: Progress) -> CheckReport:
    """Test everything that a run with this request needs. Raises a DzbgpError for invalid options."""
    started_at, started = datetime.now(UTC), time.monotonic()
    inventory = CheckResults(CheckSection.INVENTORY)
    with contextlib.ExitStack() as stack:
        request, net = _checked_inventory(request, inventory)
        fleet = _fleet(request, net, inventory)
        if fleet is not None:
            stack.enter_context(fleet)
            known = known_keys_of_file(request.state, net.program_id)
            fleet.trust(known)
        signers, keys = load_keys(request.keypairs)
        progress.stage("asking the ledger", 1)
        with _quiet_ledger():
            ledger = check_ledger(
                net,
                lambda state: _payers(request, fleet, state, signers),
                with_contributors=bool(request.contributor),
            )
        matched = _match(request, fleet, ledger, inventory)
        keys_of_fleet = _publishers(request, matched, signers, ledger)
        state = [] if request.state == NO_STATE else _state(request, net)
        devices = []
        if fleet is not None:
            progress.stage("asking devices", len(matched))
            probes = fleet.ask(
                probe,
                list(matched),
                lambda _: progress.step(),
                lambda why: Probe(Step.CONNECT, "cluster", why),
            )
            connections = {host: fleet.hosts[host].get_connection_parameters(CONNECTION) for host in matched}
            users = users_by_device(ledger.data) if ledger.data else {}
            devices = list(check_verification(connections, is_kept=known.is_kept))
            devices += check_addresses(matched, connections)
            identity_checks = fleet.identity_checks()
            devices += check_writers(matched, _others(request, net, users))
            for host, device in matched.items():
                devices += check_device(
                    host,
                    device,
                    connections[host],
                    probes[host],
                    users.get(device.pubkey, ()) if device else (),
                    ledger.data.tenants if ledger.data else {},
                    identity_check=identity_checks.get(host, request.identity_check),
                )
    # A ledger of this machine is a trial, whatever is configured for the real ones.
    theirs = list(check_doublezero_configuration(net)) if net.name != "localnet" else []
    results = (*inventory, *ledger.found, *theirs, *keys, *keys_of_fleet, *state, *devices)
    return CheckReport(net.name, str(net.program_id), started_at, time.monotonic() - started, results)


def _checked_inventory(request: SetupRequest, found: CheckResults) -> tuple[SetupRequest, Network]:
    """Return the request, without an inventory that cannot be read, and the network."""
    if request.inventory is None:
        detail = "no inventory was given"
        hint = (
            "give a directory with hosts.yaml, a Nornir configuration file, or dz://NETWORK with --inventory"
        )
        found.fail("inventory", "parses", detail, hint, ExitCode.USAGE)
    try:
        net = network_for(request)
    except InventoryError as error:
        found.fail(str(request.inventory), "parses", str(error), _INVENTORY_HINT, ExitCode.USAGE)
        request = replace(request, inventory=None)
        net = network_for(request)
    return request, replace(net, genesis_hash=request.genesis_hash or net.genesis_hash)


def _fleet(request: SetupRequest, net: Network, found: CheckResults) -> Fleet | None:
    if request.inventory is None:
        return None
    subject = str(request.inventory)
    try:
        fleet = Fleet(load_inventory(request.inventory, request, net), request.shard)
    except UsageError as error:
        found.fail(subject, "parses", str(error), _INVENTORY_HINT, ExitCode.USAGE)
    except LedgerError as error:
        hint = "it is made from the ledger: see the ledger section below"
        found.fail(subject, "parses", str(error), hint, ExitCode.COULD_NOT_RUN)
    else:
        if fleet.hosts:
            found.ok(subject, "parses", amount(len(fleet.hosts), "host"))
            return fleet
        found.fail(subject, "parses", "it has no hosts", _INVENTORY_HINT, ExitCode.USAGE)
    return None


def _match(request: SetupRequest, fleet: Fleet | None, ledger: LedgerState, found: CheckResults) -> _Matched:
    """Return the hosts to ask and the device of each: the matched hosts.

    If the ledger cannot be read these are all hosts, or none where a contributor's are wanted.
    """
    if fleet is None:
        return {}
    hint = "name the host as the device's code, or set its data dz_device to the device's code or pubkey"
    if ledger.data is None:
        asked = "no host is asked, because of --contributor" if request.contributor else "all hosts are asked"
        detail = f"unknown, because the ledger could not be read; {asked}"
        found.warn("hosts", "devices", detail, "see the ledger section below")
        return {} if request.contributor else dict.fromkeys(fleet.hosts)
    try:
        matched = _matched(request, fleet, ledger)
    except InventoryError as error:
        found.fail("hosts", "devices", str(error), hint, ExitCode.USAGE)
        return {}
    except UsageError as error:
        found.fail("hosts", "contributor", str(error), _CONTRIBUTOR_HINT, ExitCode.USAGE)
        return {}
    for host, device in matched.items():
        if device is None:
            detail = "it matches no device of the program, and is not asked"
            found.fail(host, "device", detail, hint, ExitCode.PARTIAL)
    known = {host: device for host, device in matched.items() if device is not None}
    found.ok("hosts", "devices", f"{len(known)} of {len(matched)} are devices of the ledger")
    return known


def _matched(request: SetupRequest, fleet: Fleet, ledger: LedgerState) -> _Matched:
    fleet.choose_contributors(request.contributor, ledger.contributors)
    return fleet.match(ledger.data.devices if ledger.data else {})


def _payers(
    request: SetupRequest, fleet: Fleet | None, ledger: LedgerState, signers: Signers | None
) -> list[Pubkey]:
    if fleet is None or signers is None:
        return []
    with contextlib.suppress(UsageError):
        matched = _matched(request, fleet, ledger)
        return [key for key in publishers_of(filter(None, matched.values())) if key in signers]
    return []


def _publishers(
    request: SetupRequest, matched: _Matched, signers: Signers | None, ledger: LedgerState
) -> list[CheckResult]:
    publishers = publishers_of(device for device in matched.values() if device is not None)
    found = list(check_found_keys(publishers, signers))
    if signers is None:
        return found
    low = int(request.low_balance_sol * LAMPORTS_PER_SOL)
    found += check_publishers(publishers, signers, ledger.balances, low, ledger.minimum)
    if ledger.data is not None:
        found += check_duties(ledger.data.devices.values(), signers)
    return found


def _state(request: SetupRequest, net: Network) -> list[CheckResult]:
    return list(check_state(state_path(request.state, net.program_id), net.program_id))


def _others(
    request: SetupRequest, net: Network, users: Mapping[Pubkey, Sequence[User]]
) -> Mapping[Pubkey, int]:
    """Return by device how many users another writer reported."""
    if request.state == NO_STATE:
        return {}
    path = state_path(request.state, net.program_id)
    return other_writers(path, net.program_id, net.genesis_hash, chain.from_iterable(users.values()))


@contextmanager
def _quiet_ledger() -> Iterator[None]:
    """Keep what the results say out of the log; DEBUG logs it as well."""
    logger = logging.getLogger("dzbgp.ledger")
    level = logger.level
    if logging.getLogger("dzbgp").getEffectiveLevel() > logging.DEBUG:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
