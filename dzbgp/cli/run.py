"""`dzbgp run` and `dzbgp watch`: the commands that write."""

from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from dzbgp.cli import options
from dzbgp.cli.errors import reporting_errors
from dzbgp.cli.run_options import PassValues, takes_pass_options

if TYPE_CHECKING:
    from dzbgp.run.request import RunRequest


def register(app: typer.Typer) -> None:
    """Gives `app` the commands."""

    @app.command()
    @takes_pass_options
    def run(
        given: PassValues,
        output: options.Outputs = None,
        report_file: options.ReportFile = None,
        metrics_textfile: options.MetricsTextfile = None,
        show_all: options.All = False,
        exit_code: options.ExitCodeOption = False,
    ) -> None:
        """Does one pass: reads the fleet, decides, and writes onchain what must be written.

        Exit codes: 0 done; 1 could not run, nothing was written; 2 usage or configuration; 3 done in part;
        4 the guard held something; 5 a dry run with changes pending (with --exit-code).
        """
        with reporting_errors(
            verbose=given.verbose, quiet=given.quiet, log_format=given.log_format
        ) as stderr:
            from dzbgp.metrics.textfile import MetricsTextfile  # noqa: PLC0415
            from dzbgp.report.delivery import deliver, destinations  # noqa: PLC0415
            from dzbgp.report.summary import exit_code_of  # noqa: PLC0415
            from dzbgp.run.once import run_once  # noqa: PLC0415 - slow

            request = replace(request_of(given), destinations=destinations(output, report_file))
            textfile = MetricsTextfile(metrics_textfile)
            with textfile.recording_failure():
                report = run_once(request, stderr, textfile.metrics)
            delivered = deliver(report, request.destinations, show_all=show_all)
            code = exit_code_of(report, changes_count=exit_code, delivered=delivered)
            if not textfile.finish(report, code):
                code = exit_code_of(report, changes_count=exit_code, delivered=False)
        raise typer.Exit(code)

    @app.command()
    @takes_pass_options
    def watch(
        given: PassValues,
        interval: options.Interval = "60s",  # type: ignore[assignment]
        metrics_addr: options.MetricsAddr = None,
    ) -> None:
        """Runs a pass every --interval until stopped: SIGTERM or Ctrl-C ends it, SIGHUP reloads the inventory.

        Writes go out beside the passes, so that a slow ledger delays none. One bad pass does not end it.
        """
        with reporting_errors(verbose=given.verbose, quiet=given.quiet, log_format=given.log_format):
            from dzbgp.run.service import watch_fleet  # noqa: PLC0415 - slow

            watch_fleet(request_of(given), interval, metrics_addr)


def request_of(given: PassValues) -> "RunRequest":
    """Gives the request that the common options of a command make."""
    from dzbgp.decision.policy import Rules  # noqa: PLC0415 - slow
    from dzbgp.fleet.shard import Shard  # noqa: PLC0415 - slow
    from dzbgp.run.request import RunRequest  # noqa: PLC0415 - slow

    return RunRequest(
        inventory=given.inventory,
        limit=options.names(given.limit),
        filters=options.pairs(given.filter),
        groups=options.names(given.group),
        shard=Shard.parse(given.shard),
        workers=given.workers,
        runner=given.runner,
        scheduler=given.scheduler,
        identity_check=given.identity_check,
        tls_verify=given.tls_verify,
        tls_ca_file=given.tls_ca_file,
        lab=given.lab,
        env=given.env,
        rpc_urls=tuple(given.rpc_url or ()),
        program_id=given.program_id,
        genesis_hash=given.genesis_hash,
        keypairs=tuple(given.keypair or ()),
        commitment=given.commitment.value,
        priority_fee=given.priority_fee,
        low_balance_sol=given.low_balance,
        verify=given.verify,
        submit_timeout_s=given.submit_timeout,
        dry_run=given.dry_run,
        rules=Rules(
            refresh_interval_s=given.refresh_interval,
            refresh_spread=given.refresh_spread,
            down_grace_period_s=given.down_grace_period,
            flap_limit=given.flap_limit,
            flap_window_s=given.flap_window,
            cooldown_s=given.cooldown,
            max_down=given.max_down,
            max_down_min=given.max_down_min,
            guard_passes=given.guard_passes,
            guard_window_s=given.guard_window,
            force=given.force,
        ),
        confirm_down_s=given.confirm_down,
        state=given.state,
        progress=not given.quiet,
    )
