"""One audit: read the ledger, ask the devices of an inventory, return what is odd."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from dzbgp.errors import UsageError
from dzbgp.fleet.shard import Shard
from dzbgp.models.session import DeviceReading

if TYPE_CHECKING:
    from dzbgp.diagnostics.audit.findings import Audit, AuditInput
    from dzbgp.ledger.networks import Network


@dataclass(frozen=True, slots=True)
class AuditRequest:
    """The options of an audit, parsed. Durations in seconds."""

    env: str = ""
    """Empty: the one that the inventory is made of, else mainnet-beta."""
    rpc_urls: tuple[str, ...] = ()
    program_id: str | None = None
    keypairs: tuple[Path, ...] = ()
    inventory: Path | None = None
    limit: tuple[str, ...] = ()
    filters: tuple[tuple[str, str], ...] = ()
    groups: tuple[str, ...] = ()
    shard: Shard | None = None
    workers: int | None = None
    runner: str | None = None
    scheduler: str | None = None
    identity_check: bool = True
    tls_verify: bool | None = None
    tls_ca_file: Path | None = None
    device: tuple[str, ...] = ()
    contributor: tuple[str, ...] = ()
    down_for_s: float = 24 * 3600
    stale_after_s: float = 12 * 3600
    progress: bool = True


def run_audit(request: AuditRequest, stderr: "Console") -> "Audit":
    """Read the ledger and, with an inventory, the devices; return what is odd. Raises a DzbgpError."""
    from dzbgp.console.logs import silence_retry_logs  # noqa: PLC0415
    from dzbgp.diagnostics.audit.devices import audit  # noqa: PLC0415
    from dzbgp.diagnostics.audit.findings import AuditInput, AuditRules  # noqa: PLC0415 - slow
    from dzbgp.ledger.program.snapshot import take_snapshot  # noqa: PLC0415
    from dzbgp.ledger.submit.signers import load_signers  # noqa: PLC0415
    from dzbgp.listing.devices import DeviceQuery, list_devices  # noqa: PLC0415

    silence_retry_logs()
    net = _network(request)
    held = frozenset(load_signers(request.keypairs).keypairs) if request.keypairs else None
    snapshot = take_snapshot(net)
    rules = AuditRules(
        request.down_for_s, request.stale_after_s, documentation_is_martian=net.name != "localnet"
    )
    evidence = AuditInput(snapshot, rules, held=held)
    if request.device or request.contributor:
        query = DeviceQuery(device=request.device, contributor=request.contributor)
        chosen = list_devices(snapshot, query)
        evidence = replace(evidence, scope=frozenset(row.device.pubkey for row in chosen.rows))
    if request.inventory is not None:
        readings = _ask_fleet(request.inventory, request, net, evidence, stderr)
        evidence = replace(evidence, readings=readings)
    return audit(evidence)


def _network(request: AuditRequest) -> "Network":
    """Return the network to look at: an inventory made of one ledger is of no use on another."""
    from dzbgp.ledger.networks import network  # noqa: PLC0415 - slow

    named = None
    if request.inventory is not None:
        from dzbgp.fleet.load import network_of  # noqa: PLC0415 - slow

        named = network_of(request.inventory)
    if request.env and named and request.env != named:
        raise UsageError(f"--env: {request.env!r} was given, but the inventory is made of {named!r}")
    return network(request.env or named or "mainnet-beta", request.rpc_urls, request.program_id)


def _ask_fleet(
    inventory: Path, request: AuditRequest, net: "Network", evidence: "AuditInput", stderr: "Console"
) -> "Sequence[DeviceReading]":
    """Ask the devices of the inventory for their neighbors, and assess the answers as a run does."""
    from dzbgp.console.progress import progress_bar  # noqa: PLC0415
    from dzbgp.decision.resolver import judge, users_by_device  # noqa: PLC0415
    from dzbgp.eos.tls import Verification  # noqa: PLC0415 - slow
    from dzbgp.fleet.fleet import Fleet  # noqa: PLC0415
    from dzbgp.fleet.load import load_inventory  # noqa: PLC0415
    from dzbgp.fleet.options import FleetOptions  # noqa: PLC0415

    data = evidence.snapshot.data
    users = users_by_device(data)
    chosen = FleetOptions(
        limit=request.limit,
        filters=request.filters,
        groups=request.groups,
        workers=request.workers,
        runner=request.runner,
        scheduler=request.scheduler,
        network=net,
        verification=Verification(request.tls_verify, request.tls_ca_file),
    )
    with (
        Fleet(load_inventory(inventory, chosen), request.shard) as fleet,
        progress_bar(stderr, enabled=request.progress) as progress,
    ):
        matched = {
            name: device
            for name, device in fleet.match(data.devices).items()
            if device is None or evidence.covers(device.pubkey)
        }
        progress.stage("asking devices", sum(device is not None for device in matched.values()))
        readings = fleet.read(matched, lambda _: progress.step())
    return [
        judge(
            reading,
            users.get(reading.device.pubkey, ()) if reading.device else (),
            identity_check=request.identity_check,
        )
        for reading in readings
    ]
