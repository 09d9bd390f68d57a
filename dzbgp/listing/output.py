"""Puts a listing on stdout, in the format that was asked for."""

import logging
from typing import Any

from dzbgp.console.formats import Format
from dzbgp.console.stdout import print_result, print_text
from dzbgp.errors import ExitCode
from dzbgp.listing import csv, json, table
from dzbgp.listing.model import Listing

log = logging.getLogger(__name__)


def deliver(listing: Listing[Any], output: Format) -> ExitCode:
    """Print a listing. Return PARTIAL if it could not be printed."""
    if output is Format.TABLE:
        return print_result(lambda console: table.render(listing, console))
    for note in listing.source.notes:
        log.warning("%s", note)
    return print_text(csv.render(listing) if output is Format.CSV else json.render(listing))
