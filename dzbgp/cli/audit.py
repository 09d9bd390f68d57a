"""`dzbgp audit`: what is odd across the ledger and, with an inventory, the fleet. Nothing is written, anywhere."""

from typing import TYPE_CHECKING

import typer

from dzbgp.cli import listing_options as read_options
from dzbgp.cli import options
from dzbgp.cli.listing import Reporting
from dzbgp.console.formats import AuditFormat
from dzbgp.diagnostics.audit.audit import AuditRequest, run_audit
from dzbgp.errors import ExitCode
from dzbgp.fleet.shard import Shard

if TYPE_CHECKING:
    from dzbgp.diagnostics.audit.findings import Audit


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


def _deliver(found: "Audit", output: AuditFormat) -> ExitCode:
    from dzbgp.console.stdout import print_result, print_text  # noqa: PLC0415 - slow
    from dzbgp.diagnostics.audit.render import render_json, render_table  # noqa: PLC0415 - slow

    if output is AuditFormat.JSON:
        return print_text(render_json(found))
    return print_result(lambda console: render_table(found, console))
