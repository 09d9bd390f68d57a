"""`dzbgp run` and `dzbgp watch`: the commands that write."""

from dataclasses import replace

import typer

from dzbgp.cli.errors import SignalInterrupts, reporting_errors
from dzbgp.cli.lab import lab_for
from dzbgp.cli.options import takes
from dzbgp.cli.own_options import LabChoice, Logging, ReportOptions, ReportOutputs
from dzbgp.console.formats import Output
from dzbgp.run.request import RunRequest, WatchRequest


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""

    @app.command()
    @takes(RunRequest, LabChoice, ReportOptions, Logging)
    def run(request: RunRequest, choice: LabChoice, wanted: ReportOptions, logging: Logging) -> None:
        """Runs one pass: reads the devices, decides, and writes the changes onchain.

        Exit codes: 0 done; 1 could not run, nothing was written; 2 usage or configuration; 3 done in part;
        4 the guard held something; 5 a dry run with changes pending (with --exit-code).
        """
        interrupts = SignalInterrupts()
        with reporting_errors(logging, interrupts) as stderr:
            from dzbgp.console.destinations import check_files, destinations  # noqa: PLC0415
            from dzbgp.console.progress import progress_bar  # noqa: PLC0415 - slow
            from dzbgp.metrics.textfile import MetricsTextfile  # noqa: PLC0415
            from dzbgp.models.exit import exit_code_of  # noqa: PLC0415
            from dzbgp.report.delivery import deliver  # noqa: PLC0415
            from dzbgp.run.once import run_once  # noqa: PLC0415 - slow

            places = destinations(wanted.outputs, Output, wanted.report_file)
            check_files(places)
            textfile = MetricsTextfile(wanted.metrics_textfile)
            with (
                textfile.recording_failure(lambda: interrupts.is_begun),
                lab_for(request, choice) as asked,
                progress_bar(stderr, enabled=not logging.quiet) as progress,
            ):
                report = run_once(asked, progress, textfile.metrics, interrupts)
            report = replace(report, signals_changes=wanted.exit_code)
            delivered = deliver(report, places, show_all=wanted.show_all)
            code = exit_code_of(report, is_delivered=delivered)
            if not textfile.finish(report, code):
                code = exit_code_of(report, is_delivered=False)
        raise typer.Exit(code)

    @app.command()
    @takes(WatchRequest, LabChoice, ReportOutputs, Logging)
    def watch(request: WatchRequest, choice: LabChoice, wanted: ReportOutputs, logging: Logging) -> None:
        """Runs a pass every --interval until stopped: SIGTERM or Ctrl-C ends it, SIGHUP reloads the inventory.

        Writes are sent in parallel with the passes, so a slow ledger does not delay them. A failed pass does not end
        the watch. Files of --output are replaced after each pass; stdout gets reports only with an --output for it.
        """
        with reporting_errors(logging):
            from dzbgp.console.destinations import check_files, destinations  # noqa: PLC0415
            from dzbgp.run.service import watch_fleet  # noqa: PLC0415 - slow

            places = [place for place in destinations(wanted.outputs, Output) if place.option]
            check_files(places)
            with lab_for(request, choice) as asked:
                watch_fleet(asked, places)
