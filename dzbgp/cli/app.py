"""The command line: parse, call, print, exit code. Whatever takes long to import is imported by a command."""

import contextlib
import os
import sys
import threading
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from dzbgp import __version__
from dzbgp.cli import audit as audit_command
from dzbgp.cli import check as check_command
from dzbgp.cli import inventory as inventory_command
from dzbgp.cli import lab as lab_command
from dzbgp.cli import listing as read_command
from dzbgp.cli import run as run_command
from dzbgp.cli.errors import reporting_errors
from dzbgp.console.stdout import CandidConsole, forget
from dzbgp.errors import ExitCode

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


run_command.register(app)
lab_command.register(app)
read_command.register(app, reporting_errors)
audit_command.register(app, reporting_errors)
check_command.register(app, reporting_errors)
inventory_command.register(app, reporting_errors)
