"""The command line: parse, call, print, exit code. Whatever takes long to import is imported by a command."""

import contextlib
import os
import sys
import threading
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from dzbgp import __version__
from dzbgp.cli import audit, check, config, explain, history, init, inventory, lab, listing, run
from dzbgp.console.stdout import CandidConsole, forget
from dzbgp.errors import DzbgpError, ExitCode

app = typer.Typer(
    name="dzbgp",
    help="Reads BGP sessions from a fleet of Arista devices and writes each DoubleZero user's status onchain.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
)


def main() -> NoReturn:
    """Run the command line."""
    _settle_environment()
    try:
        # Typer reads the options of every command before it looks at any: for this one that is most of the time.
        code = _version_alone() if sys.argv[1:] == ["--version"] else app(standalone_mode=False)
    except typer.Abort:
        code = ExitCode.COULD_NOT_RUN
    except DzbgpError as error:
        code = error.exit_code
        _complain(str(error))
    except TyperException as error:
        code = error.exit_code
        _complain(_what_is_wrong(error))
    except BrokenPipeError:
        forget(sys.stdout)
        code = ExitCode.OK
    except OSError as error:
        # Of what Typer prints itself: the version, a command's help.
        forget(sys.stdout)
        code = ExitCode.PARTIAL
        _complain(f"stdout: {error.strerror or type(error).__name__}")
    _leave(code if isinstance(code, int) else ExitCode.OK)


def _settle_environment() -> None:
    if os.environ.get("COLUMNS") == "0":
        # Some programs say so that they do not know; rich would print nothing.
        del os.environ["COLUMNS"]
    if os.path.expanduser("~") == "~":  # noqa: PTH111 - Path raises instead
        # A container of any uid, which passwd does not know. Nornir wants a home to be imported; Docker gives this one.
        os.environ["HOME"] = "/"


def _what_is_wrong(error: TyperException) -> str:
    """Give the message, empty after the help that stands for missing arguments."""
    if not isinstance(error, typer.BadParameter) or error.param is None or error.ctx is None:
        return error.format_message()
    source = error.ctx.get_parameter_source(error.param.name or "")
    variable = getattr(error.param, "envvar", None)
    where = variable if source is not None and source.name == "ENVIRONMENT" else error.param.opts[0]
    return (
        f"{where}: {error.message.removeprefix('Value error, ')}" if error.message else error.format_message()
    )


def _complain(what: str) -> None:
    if what:
        # Typer's own form of it is a box of four lines.
        with contextlib.suppress(OSError):
            CandidConsole(stderr=True).print(f"error: {what}", markup=False, highlight=False, soft_wrap=True)


def _leave(code: int) -> NoReturn:
    """End the process, after an interrupt without waiting for the threads that still wait for devices.

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


run.register(app)
lab.register(app)
listing.register(app)
history.register(app)
explain.register(app)
audit.register(app)
check.register(app)
init.register(app)
inventory.register(app)
config.register(app)
