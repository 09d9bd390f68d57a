"""The command line: parse, call, print, exit code. Whatever takes long to import is imported by a command."""

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from typer.exceptions import TyperException

from dzbgp import __version__
from dzbgp.cli import audit as audit_command
from dzbgp.cli import check as check_command
from dzbgp.cli import inventory as inventory_command
from dzbgp.cli import listing as read_command
from dzbgp.cli import options
from dzbgp.cli.run_options import PassValues, takes_pass_options
from dzbgp.console.stdout import CandidConsole, forget
from dzbgp.errors import DzbgpError, ExitCode

log = logging.getLogger(__name__)

app = typer.Typer(
    name="dzbgp",
    help="Reads BGP sessions from a fleet of Arista devices and writes each DoubleZero user's status onchain.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
)


def main() -> NoReturn:
    """Runs the command line."""
    try:
        # Typer reads the options of every command before it looks at any: for this one that is most of the time.
        code = _version_alone() if sys.argv[1:] == ["--version"] else app(standalone_mode=False)
    except typer.Abort:
        code = ExitCode.COULD_NOT_RUN
    except TyperException as error:
        code = error.exit_code
        # Empty after the help that stands for missing arguments. Typer's own form of it is a box of four lines.
        if error.format_message():
            with contextlib.suppress(OSError):
                line = f"error: {error.format_message()}"
                CandidConsole(stderr=True).print(line, markup=False, highlight=False, soft_wrap=True)
    _leave(code if isinstance(code, int) else ExitCode.OK)


def _leave(code: int) -> NoReturn:
    """Ends the process, after an interrupt without waiting for the threads that still wait for devices.

    They are daemons, but concurrent.futures joins its workers all the same.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            # None when it was closed before the start.
            if stream is not None:
                stream.flush()
        except OSError:
            forget(stream)
    if threading.active_count() == 1:
        sys.exit(code)
    os._exit(code)


def _version(wanted: bool) -> None:
    if wanted:
        raise typer.Exit(_version_alone())


def _version_alone() -> int:
    typer.echo(f"dzbgp {__version__}")
    return ExitCode.OK


@app.callback()
def _dzbgp(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave."),
    ] = False,
) -> None:
    pass


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
    with _reporting_errors(verbose=given.verbose, quiet=given.quiet, log_format=given.log_format) as stderr:
        from dzbgp.metrics.textfile import MetricsTextfile  # noqa: PLC0415
        from dzbgp.report.delivery import deliver, destinations  # noqa: PLC0415
        from dzbgp.report.summary import exit_code_of  # noqa: PLC0415
        from dzbgp.run.setup import request_of, run_once  # noqa: PLC0415 - slow

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
    """Does a pass every interval until it is told to end: SIGTERM or Ctrl-C ends it, SIGHUP reads the inventory anew.

    Writes go out beside the passes, so that a slow ledger delays none. One bad pass does not end it.
    """
    with _reporting_errors(verbose=given.verbose, quiet=given.quiet, log_format=given.log_format):
        from dzbgp.run.service import watch_fleet  # noqa: PLC0415 - slow
        from dzbgp.run.setup import request_of  # noqa: PLC0415 - slow

        watch_fleet(request_of(given), interval, metrics_addr)


@app.command("lab")
def lab_command(
    directory: Annotated[
        Path,
        typer.Option(
            "--dir", envvar="DZBGP_DIR", metavar="PATH", help="Where the keypairs go while the lab runs."
        ),
    ] = Path(".lab"),
    port: Annotated[
        int,
        typer.Option(
            "--port",
            envvar="DZBGP_PORT",
            min=0,
            max=65535,
            help="The ledger's port on 127.0.0.1, 0 for a free one.",
        ),
    ] = 8899,
    seed: Annotated[
        int, typer.Option("--seed", envvar="DZBGP_SEED", help="The same seed gives the same world.")
    ] = 1,
    verbose: options.Verbose = 0,
    log_format: options.LogFormatOption = options.LogFormat.TEXT,
) -> None:
    """Starts simulated devices and a local ledger, says how to use them, and runs until it is interrupted."""
    with _reporting_errors(verbose=verbose, quiet=False, log_format=log_format):
        from dzbgp.lab.serve import serve_lab  # noqa: PLC0415 - slow

        serve_lab(directory, port=port, seed=seed, say=typer.echo)


@contextlib.contextmanager
def _reporting_errors(*, verbose: int, quiet: bool, log_format: options.LogFormat) -> Iterator[Console]:
    """Gives the console for stderr; turns what ends a run into one line and the contract's exit code."""
    from dzbgp.console import logs  # noqa: PLC0415

    stderr = CandidConsole(file=sys.stderr, stderr=True)
    logs.configure(stderr, verbose=verbose, quiet=quiet, as_json=log_format is options.LogFormat.JSON)
    signal.signal(signal.SIGTERM, _terminated)
    try:
        yield stderr
    except DzbgpError as error:
        log.debug("the run ended here", exc_info=True)
        logs.say(f"error: {error}")
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        logs.say("error: interrupted; nothing was written")
        raise typer.Exit(ExitCode.COULD_NOT_RUN) from None
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:
        if verbose:
            log.exception("a fault of dzbgp's own")
        logs.say(
            f"error: a fault of dzbgp's own ({type(error).__name__}); --verbose shows where. Please report it."
        )
        raise typer.Exit(ExitCode.COULD_NOT_RUN) from None


def _terminated(*_: object) -> None:
    raise KeyboardInterrupt


read_command.register(app, _reporting_errors)
audit_command.register(app, _reporting_errors)
check_command.register(app, _reporting_errors)
inventory_command.register(app, _reporting_errors)
