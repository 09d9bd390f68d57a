"""Errors as one line and an exit code."""

import contextlib
import logging
import signal
import sys
from collections.abc import Iterator

import typer
from rich.console import Console

from dzbgp.cli import options
from dzbgp.console.stdout import CandidConsole
from dzbgp.errors import DzbgpError, ExitCode

log = logging.getLogger(__name__)


@contextlib.contextmanager
def reporting_errors(*, verbose: int, quiet: bool, log_format: options.LogFormat) -> Iterator[Console]:
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
