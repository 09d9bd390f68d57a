"""Puts what a reading command has found on stdout, in the format that was asked for."""

import logging
import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console

from dzbgp.console.formats import Format
from dzbgp.console.stdout import CandidConsole
from dzbgp.errors import ExitCode
from dzbgp.listing import csv, json, table
from dzbgp.listing.model import Listing

log = logging.getLogger(__name__)


def deliver(listing: Listing[Any], output: Format) -> ExitCode:
    """Prints a listing. Gives PARTIAL when it could not be printed."""
    if output is Format.TABLE:
        return printed(lambda console: table.render(listing, console))
    for note in listing.source.notes:
        log.warning("%s", note)
    text = csv.render(listing) if output is Format.CSV else json.render(listing) + "\n"
    return printed(lambda _: written(text))


def printed(show: Callable[[Console], None]) -> ExitCode:
    """Lets `show` print on stdout. Gives PARTIAL when it could not; who has read enough of it is no failure."""
    try:
        show(CandidConsole(file=sys.stdout))
        sys.stdout.flush()
    except BrokenPipeError:
        return ExitCode.OK
    except OSError as error:
        log.error("stdout: the result could not be printed: %s", error.strerror)  # noqa: TRY400 - one line
        return ExitCode.PARTIAL
    return ExitCode.OK


def written(text: str) -> None:
    """Writes text to stdout as it is."""
    sys.stdout.write(text)
