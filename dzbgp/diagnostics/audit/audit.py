"""One audit: read the ledger, ask the devices of an inventory, return what is odd."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from solders.pubkey import Pubkey

from dzbgp.console.progress import Progress
from dzbgp.decision.resolver import assess_credibility, users_by_device
from dzbgp.diagnostics.audit.devices import audit
from dzbgp.diagnostics.audit.findings import Audit, AuditInput, AuditRules
from dzbgp.diagnostics.audit.request import AuditRequest
from dzbgp.fleet.network import network_for
from dzbgp.ledger.networks import Network
from dzbgp.ledger.program.snapshot import Snapshot, take_snapshot
from dzbgp.ledger.submit.signers import load_signers
from dzbgp.listing.devices import list_devices
from dzbgp.listing.query import DeviceQuery
from dzbgp.models.session import DeviceReading
from dzbgp.run.request import NO_STATE
from dzbgp.state.other_writers import other_writers
from dzbgp.state.place import state_path


def run_audit(request: AuditRequest, progress: Progress) -> Audit:
    """Read the ledger and, with an inventory, the devices; return what is odd. Raises a DzbgpError."""
    net = network_for(request)
    held = frozenset(load_signers(request.keypairs).keypairs) if request.keypairs else None
    snapshot = take_snapshot(net)
    rules = AuditRules(
        request.down_for_s, request.stale_after_s, documentation_is_martian=net.name != "localnet"
    )
    evidence = AuditInput(snapshot, rules, held=held, others=_others(request, net, snapshot))
    if request.device or request.contributor:
        query = DeviceQuery(device=request.device, contributor=request.contributor)
        chosen = list_devices(snapshot, query)
        evidence = replace(evidence, scope=frozenset(row.device.pubkey for row in chosen.rows))
    if request.inventory is not None:
        readings = _ask_fleet(request.inventory, request, net, evidence, progress)
        evidence = replace(evidence, readings=readings)
    return audit(evidence)


def _others(request: AuditRequest, net: Network, snapshot: Snapshot) -> Mapping[Pubkey, int]:
    """Return by device how many users another writer reported."""
    if request.state == NO_STATE:
        return {}
    users = chain.from_iterable(users_by_device(snapshot.data).values())
    return other_writers(state_path(request.state, net.program_id), net.program_id, net.genesis_hash, users)


def _ask_fleet(
    inventory: Path, request: AuditRequest, net: Network, evidence: AuditInput, progress: Progress
) -> Sequence[DeviceReading]:
    """Ask the devices of the inventory for their neighbors, and assess the answers as a run does."""
    from dzbgp.fleet.fleet import Fleet  # noqa: PLC0415 - Nornir, for this alone
    from dzbgp.fleet.load import load_inventory  # noqa: PLC0415 - as above
    from dzbgp.run.setup import known_keys_of_file  # noqa: PLC0415 - as above

    data = evidence.snapshot.data
    users = users_by_device(data)
    with Fleet(load_inventory(inventory, request, net), request.shard) as fleet:
        fleet.trust(known_keys_of_file(request.state, net.program_id))
        matched = {
            name: device
            for name, device in fleet.match(data.devices).items()
            if device is None or evidence.covers(device.pubkey)
        }
        progress.stage("asking devices", sum(device is not None for device in matched.values()))
        identity_checks = fleet.identity_checks()
        readings = fleet.read(matched, lambda _: progress.step())
    return [
        assess_credibility(
            reading,
            users.get(reading.device.pubkey, ()) if reading.device else (),
            identity_check=identity_checks.get(reading.host, request.identity_check),
        )
        for reading in readings
    ]
