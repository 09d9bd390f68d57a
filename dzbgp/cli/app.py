"""The command line: parse, call, print, exit code. Whatever takes long to import is imported by a command."""

import contextlib
import os
import re
import sys
import threading
import traceback
from typing import Annotated, NoReturn, TextIO

import typer
from typer.exceptions import TyperException

from dzbgp import __version__
from dzbgp.cli.overview import Overview, commands_in, is_completing
from dzbgp.errors import DzbgpError, ExitCode, UsageError, internal_error, one_line

app = typer.Typer(
    name="dzbgp",
    cls=Overview,
    help="Reads BGP sessions from a fleet of Arista devices and writes each DoubleZero user's status onchain.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
)


def main() -> NoReturn:
    """Run the command line."""
    _settle_environment()
    if is_completing():
        # Typer would load it to strip markup from the help, which takes longer than all the rest.
        sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        code = app(standalone_mode=False)
    except typer.Abort:
        code = ExitCode.COULD_NOT_RUN
    except DzbgpError as error:
        code = error.exit_code
        is_in_help = isinstance(error, UsageError) and error.is_about_option
        _complain(str(error), _advice(sys.argv[1:]) if is_in_help else "")
    except TyperException as error:
        code = error.exit_code
        _complain(_what_is_wrong(error), _advice(sys.argv[1:]))
    except BrokenPipeError:
        _forget(sys.stdout)
        code = ExitCode.OK
    except OSError as error:
        # Of what Typer prints itself: the version, a command's help.
        _forget(sys.stdout)
        code = ExitCode.PARTIAL
        _complain(f"stdout: {error.strerror or type(error).__name__}")
    except Exception as error:  # noqa: BLE001 - the last place that can turn it into a line
        # Of what comes before a command or instead of one: its options, its configuration file, completion.
        code = ExitCode.COULD_NOT_RUN
        if not is_completing():
            if {"-v", "-vv", "--verbose"} & set(sys.argv):
                traceback.print_exc()
            _complain(internal_error(error))
    _leave(code if isinstance(code, int) else ExitCode.OK)


def _settle_environment() -> None:
    for stream in ("stdout", "stderr"):
        if getattr(sys, stream) is None:
            # It was closed before the start: nobody wants what is printed.
            setattr(sys, stream, open(os.devnull, "w", encoding="utf-8", errors="replace"))  # noqa: SIM115, PTH123
    if os.environ.get("COLUMNS") == "0":
        # Some programs say so that they do not know; rich would print nothing.
        del os.environ["COLUMNS"]
    if os.path.expanduser("~") == "~":
        # A container of any uid, which passwd does not know. Nornir wants a home to be imported; Docker gives this one.
        os.environ["HOME"] = "/"


def _what_is_wrong(error: TyperException) -> str:
    """Return the message, with the option or the variable that it is about."""
    if not isinstance(error, typer.BadParameter) or error.param is None or error.ctx is None:
        return error.format_message()
    source = error.ctx.get_parameter_source(error.param.name or "")
    variable = getattr(error.param, "envvar", None)
    where = variable if source is not None and source.name == "ENVIRONMENT" else error.param.opts[0]
    return f"{where}: {_in_our_words(error.message)}" if error.message else error.format_message()


def _in_our_words(told: str) -> str:
    """Return what Typer and pydantic tell of a value as dzbgp's own parsers tell it."""
    told = told.removeprefix("Value error, ")
    if found := re.fullmatch(r"(?s)('.*') is not one of (.*)\.", told):
        return f"unknown value {found[1]}: expected one of {found[2].replace(chr(39), '')}"
    if told.startswith("Input should be a valid boolean"):
        return "invalid value: expected true or false"
    if told.startswith("Input should be a valid integer"):
        return "invalid value: expected a whole number"
    return told


def _complain(what: str, advice: str = "") -> None:
    # Typer's own form of it is a box of four lines.
    with contextlib.suppress(OSError):
        for line in filter(None, (f"error: {one_line(what)}", advice)):
            print(line, file=sys.stderr)  # noqa: T201 - nothing else is printed then


def _advice(words: list[str]) -> str:
    """Return where the help of the command is that these words name."""
    return f"see `{' '.join(['dzbgp', *commands_in(words), '--help'])}`"


def _forget(stream: TextIO) -> None:
    from dzbgp.console.stdout import forget  # noqa: PLC0415 - slow

    forget(stream)


def _leave(code: int) -> NoReturn:
    """End the process, after an interrupt without waiting for the threads that still wait for devices.

    They are daemons, but concurrent.futures joins its workers anyway.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            _forget(stream)
    if threading.active_count() == 1:
        sys.exit(code)
    os._exit(code)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dzbgp {__version__}")
        raise typer.Exit


@app.callback()
def _dzbgp(
    version: Annotated[
        bool,
        typer.Option("--version", "-V", callback=_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    pass
