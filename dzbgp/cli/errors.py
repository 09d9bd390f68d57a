"""Errors as one line and an exit code."""

import contextlib
import logging
import signal
import sys
from collections.abc import Iterator

import typer
from rich.console import Console

from dzbgp.cli.options import LogFormat, Logging
from dzbgp.console.stdout import CandidConsole
from dzbgp.errors import DzbgpError, ExitCode

log = logging.getLogger(__name__)


@contextlib.contextmanager
def reporting_errors(wanted: Logging) -> Iterator[Console]:
    """Give the console for stderr; turn what ends a command into one line and the contract's exit code."""
    from dzbgp.console import logs  # noqa: PLC0415

    stderr = CandidConsole(file=sys.stderr, stderr=True)
    as_json = wanted.log_format is LogFormat.JSON
    logs.configure(stderr, verbose=wanted.verbose, quiet=wanted.quiet, as_json=as_json)
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
        if wanted.verbose:
            log.exception("internal error")
        logs.say(
            f"error: internal error ({type(error).__name__}); please report it. --verbose shows the traceback"
        )
        raise typer.Exit(ExitCode.COULD_NOT_RUN) from None


def _terminated(*_: object) -> None:
    raise KeyboardInterrupt
