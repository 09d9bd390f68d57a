"""`dzbgp check`: everything that a run needs, tested and explained one by one. Nothing is written, anywhere."""

import typer

from dzbgp.cli import listing_options as read_options
from dzbgp.cli import options
from dzbgp.cli.listing import Reporting
from dzbgp.console.formats import AuditFormat
from dzbgp.fleet.shard import Shard


def register(app: typer.Typer, reporting_errors: Reporting) -> None:
    """Gives `app` the command."""

    @app.command()
    def check(
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
        lab: options.Lab = False,
        env: options.PassEnv = "",
        rpc_url: options.RpcUrl = None,
        program_id: options.ProgramId = None,
        genesis_hash: options.GenesisHash = None,
        keypair: options.Keypair = None,
        low_balance: options.LowBalance = 0.5,
        state: options.State = None,
        output: read_options.AuditOutput = AuditFormat.TABLE,
        show_all: options.All = False,
        verbose: options.Verbose = 0,
        quiet: options.Quiet = False,
        log_format: options.LogFormatOption = options.LogFormat.TEXT,
    ) -> None:
        """Tests everything that a run needs, and says what to do about what fails. Nothing is written, anywhere.

        Exit codes: 0 a run can go on, perhaps with warnings; 1 the ledger can not be read, so nothing can run;
        2 usage or configuration; 3 some devices can not be read, or not be written for. The lowest one wins.
        """
        with reporting_errors(verbose=verbose, quiet=quiet, log_format=log_format) as stderr:
            from dzbgp.console.stdout import print_result, print_text  # noqa: PLC0415 - slow
            from dzbgp.diagnostics.check.checks import run_check  # noqa: PLC0415 - slow
            from dzbgp.diagnostics.check.render import render_json, render_table  # noqa: PLC0415
            from dzbgp.run.request import RunRequest  # noqa: PLC0415 - slow

            request = RunRequest(
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
                lab=lab,
                env=env,
                rpc_urls=tuple(rpc_url or ()),
                program_id=program_id,
                genesis_hash=genesis_hash,
                keypairs=tuple(keypair or ()),
                low_balance_sol=low_balance,
                state=state,
                progress=not quiet,
            )
            report = run_check(request, stderr)
            if output is AuditFormat.TABLE:
                code = print_result(lambda console: render_table(report, console, show_all=show_all))
            else:
                code = print_text(render_json(report))
            code = report.exit_code or code
        raise typer.Exit(code)
