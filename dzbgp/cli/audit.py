"""`dzbgp audit`: what is odd across the ledger and, with an inventory, the fleet. Nothing is written, anywhere."""

from dataclasses import dataclass

import typer

from dzbgp.cli.errors import reporting_errors
from dzbgp.cli.options import takes
from dzbgp.cli.own_options import AuditOutput, Logging
from dzbgp.console.formats import FindingsOutput
from dzbgp.console.option import REPORT, option
from dzbgp.diagnostics.audit.request import AuditRequest
from dzbgp.errors import ExitCode


@dataclass(frozen=True, kw_only=True)
class _Wanted(AuditOutput):
    exit_code: bool = option(False, REPORT, "Exit with 5 if there are findings.")


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""

    @app.command()
    @takes(AuditRequest, _Wanted, Logging)
    def audit(request: AuditRequest, wanted: _Wanted, logging: Logging) -> None:
        """Reports inconsistencies on the ledger and, with --inventory, between the ledger and the devices.

        Nothing is written. Exit codes: 0 done, with or without findings; 1 the ledger could not be read;
        2 usage or configuration; 3 the result could not be printed; 5 there are findings (with --exit-code).
        """
        with reporting_errors(logging) as stderr:
            from dzbgp.console.destinations import check_files, deliver, destinations  # noqa: PLC0415 - slow
            from dzbgp.console.progress import progress_bar  # noqa: PLC0415 - slow
            from dzbgp.diagnostics.audit.audit import run_audit  # noqa: PLC0415 - slow
            from dzbgp.diagnostics.audit.render import render_table, rendered  # noqa: PLC0415 - slow

            places = destinations(wanted.places, FindingsOutput)
            check_files(places)
            with progress_bar(stderr, enabled=not logging.quiet) as progress:
                found = run_audit(request, progress)
            is_delivered = deliver(
                places,
                lambda console: render_table(found, console),
                lambda output: rendered(found, FindingsOutput(output)),
            )
            code = ExitCode.OK if is_delivered else ExitCode.PARTIAL
            if is_delivered and wanted.exit_code and found.findings:
                code = ExitCode.CHANGES_PENDING
        raise typer.Exit(code)
