"""`dzbgp check`: everything that a run needs, tested and explained one by one. Nothing is written, anywhere."""

from dataclasses import dataclass

import typer

from dzbgp.cli.errors import reporting_errors
from dzbgp.cli.lab import lab_for
from dzbgp.cli.options import takes
from dzbgp.cli.own_options import AuditOutput, LabChoice, Logging
from dzbgp.console.formats import FindingsOutput
from dzbgp.console.option import REPORT, option
from dzbgp.errors import ExitCode
from dzbgp.run.request import SetupRequest


@dataclass(frozen=True, kw_only=True)
class _Wanted(AuditOutput):
    show_all: bool = option(False, REPORT, "Also show the checks that are ok.", name="all")


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""

    @app.command()
    @takes(SetupRequest, LabChoice, _Wanted, Logging)
    def check(request: SetupRequest, choice: LabChoice, wanted: _Wanted, logging: Logging) -> None:
        """Tests everything a run needs and reports ok, warning or failure for each. Nothing is written.

        Exit codes: 0 a run can go on, perhaps with warnings; 1 the ledger cannot be read, so no run can start;
        2 usage or configuration; 3 some devices cannot be read, or their users cannot be written. If several apply,
        the lowest of 1, 2, 3 is used.
        """
        with reporting_errors(logging) as stderr:
            from dzbgp.console.destinations import check_files, deliver, destinations  # noqa: PLC0415 - slow
            from dzbgp.console.progress import progress_bar  # noqa: PLC0415 - slow
            from dzbgp.diagnostics.check.checks import run_check  # noqa: PLC0415 - slow
            from dzbgp.diagnostics.check.render import render_table, rendered  # noqa: PLC0415

            places = destinations(wanted.places, FindingsOutput)
            check_files(places)
            with (
                lab_for(request, choice) as asked,
                progress_bar(stderr, enabled=not logging.quiet) as progress,
            ):
                report = run_check(asked, progress)
            is_delivered = deliver(
                places,
                lambda console: render_table(report, console, show_all=wanted.show_all),
                lambda output: rendered(report, FindingsOutput(output)),
            )
            code = report.exit_code or (ExitCode.OK if is_delivered else ExitCode.PARTIAL)
        raise typer.Exit(code)
