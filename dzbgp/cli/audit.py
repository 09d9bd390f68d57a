"""`dzbgp audit`: what is odd across the ledger and, with an inventory, the fleet. Nothing is written, anywhere."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from dzbgp.cli import listing_options as read_options
from dzbgp.cli import options
from dzbgp.cli.listing import Reporting
from dzbgp.console.formats import AuditFormat
from dzbgp.errors import ExitCode, UsageError
from dzbgp.fleet.shard import Shard

if TYPE_CHECKING:
    from rich.console import Console

    from dzbgp.diagnostics.audit.findings import Audit, Evidence
    from dzbgp.ledger.networks import Network
    from dzbgp.models.ledger import DeviceReading


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


def register(app: typer.Typer, reporting_errors: Reporting) -> None:
    """Gives `app` the command."""

    @app.command()
    def audit(
        inventory: options.Inventory = None,
        limit: options.Limit = "",
        filter: options.Filter = None,  # noqa: A002 - the option's name
        group: options.GroupNames = "",
        shard: options.ShardOption = "",
        workers: options.Workers = None,
        runner: options.RunnerOption = None,
        scheduler: options.Scheduler = None,
        identity_check: options.IdentityCheck = True,
        tls_verify: options.TlsVerify = None,
        tls_ca_file: options.TlsCaFile = None,
        env: options.PassEnv = "",
        rpc_url: options.RpcUrl = None,
        program_id: options.ProgramId = None,
        keypair: read_options.Keypair = None,
        device: read_options.Device = "",
        contributor: read_options.Contributor = "",
        down_for: read_options.DownFor = "24h",  # type: ignore[assignment]
        stale_after: read_options.StaleAfter = "12h",  # type: ignore[assignment]
        output: read_options.AuditOutput = AuditFormat.TABLE,
        exit_code: read_options.ExitCodeOption = False,
        verbose: options.Verbose = 0,
        quiet: options.Quiet = False,
        log_format: options.LogFormatOption = options.LogFormat.TEXT,
    ) -> None:
        """Says what is odd on the ledger, and with --inventory also between the ledger and the devices.

        Nothing is written, anywhere. Exit codes: 0 done, whatever was found; 1 the ledger could not be read;
        2 usage or configuration; 3 the result could not be printed; 5 something odd was found (with --exit-code).
        """
        with reporting_errors(verbose=verbose, quiet=quiet, log_format=log_format) as stderr:
            request = AuditRequest(
                env=env,
                rpc_urls=tuple(rpc_url or ()),
                program_id=program_id,
                keypairs=tuple(keypair or ()),
                inventory=inventory,
                limit=options.names(limit),
                filters=options.pairs(filter),
                groups=options.names(group),
                shard=Shard.parse(shard),
                workers=workers,
                runner=runner,
                scheduler=scheduler,
                identity_check=identity_check,
                tls_verify=tls_verify,
                tls_ca_file=tls_ca_file,
                device=options.names(device),
                contributor=options.names(contributor),
                down_for_s=down_for,
                stale_after_s=stale_after,
                progress=not quiet,
            )
            found = run_audit(request, stderr)
            code = _deliver(found, output)
            if code is ExitCode.OK and exit_code and found.findings:
                code = ExitCode.CHANGES_PENDING
        raise typer.Exit(code)


def run_audit(request: AuditRequest, stderr: "Console") -> "Audit":
    """Reads the ledger and, with an inventory, the devices; gives what is odd. Raises a DzbgpError."""
    from dzbgp.console.logs import silence_retry_logs  # noqa: PLC0415
    from dzbgp.diagnostics.audit.devices import audit  # noqa: PLC0415
    from dzbgp.diagnostics.audit.findings import AuditRules, Evidence  # noqa: PLC0415 - slow
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
    evidence = Evidence(snapshot, rules, held=held)
    if request.device or request.contributor:
        query = DeviceQuery(device=request.device, contributor=request.contributor)
        chosen = list_devices(snapshot, query)
        evidence = replace(evidence, scope=frozenset(row.device.pubkey for row in chosen.rows))
    if request.inventory is not None:
        readings = _ask_fleet(request.inventory, request, net, evidence, stderr)
        evidence = replace(evidence, readings=readings)
    return audit(evidence)


def _network(request: AuditRequest) -> "Network":
    """Gives the network to look at: an inventory made of one ledger is of no use on another."""
    from dzbgp.ledger.networks import network  # noqa: PLC0415 - slow

    named = None
    if request.inventory is not None:
        from dzbgp.fleet.load import network_of  # noqa: PLC0415 - slow

        named = network_of(request.inventory)
    if request.env and named and request.env != named:
        raise UsageError(f"--env: {request.env!r} was given, but the inventory is made of {named!r}")
    return network(request.env or named or "mainnet-beta", request.rpc_urls, request.program_id)


def _ask_fleet(
    inventory: Path, request: AuditRequest, net: "Network", evidence: "Evidence", stderr: "Console"
) -> "Sequence[DeviceReading]":
    """Asks the devices of the inventory for their neighbors, and judges the answers as a run would."""
    from dzbgp.console.progress import progress_bar  # noqa: PLC0415
    from dzbgp.decision.resolver import judge, users_by_device  # noqa: PLC0415
    from dzbgp.eos.tls import Verification  # noqa: PLC0415 - slow
    from dzbgp.fleet.fleet import Fleet  # noqa: PLC0415
    from dzbgp.fleet.load import FleetOptions, load_inventory  # noqa: PLC0415

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


def _deliver(found: "Audit", output: AuditFormat) -> ExitCode:
    from dzbgp.diagnostics.audit.render import render_json, render_table  # noqa: PLC0415 - slow
    from dzbgp.listing.output import printed, written  # noqa: PLC0415

    if output is AuditFormat.JSON:
        return printed(lambda _: written(render_json(found) + "\n"))
    return printed(lambda console: render_table(found, console))
