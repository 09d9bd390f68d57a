"""Puts a listing on stdout, in the format that was asked for."""

import logging
from typing import Any

from dzbgp.console.destinations import Destination, deliver
from dzbgp.console.formats import ListingOutput
from dzbgp.errors import ExitCode
from dzbgp.listing import csv, json, table
from dzbgp.listing.model import Listing

log = logging.getLogger(__name__)


def print_listing(
    listing: Listing[Any], output: ListingOutput | None, *, is_wide: bool, as_rows: bool
) -> ExitCode:
    """Print a listing. Return PARTIAL if it could not be printed.

    `output` None: the table on a terminal, else tab-separated lines. `is_wide`: the table has all columns. `as_rows`: a
    JSON array instead.
    """
    place = Destination(ListingOutput.JSON if as_rows else output or "")
    if place.format != ListingOutput.TABLE:
        for note in listing.source.notes:
            log.warning("%s", note)
    is_printed = deliver(
        (place,),
        lambda console: table.render(listing, console, is_wide=is_wide),
        lambda chosen: json.render_rows(listing) if as_rows else _rendered(listing, ListingOutput(chosen)),
    )
    return ExitCode.OK if is_printed else ExitCode.PARTIAL


def _rendered(listing: Listing[Any], output: ListingOutput) -> str:
    match output:
        case ListingOutput.JSON:
            return json.render(listing)
        case ListingOutput.CSV:
            return csv.render(listing.chosen, listing.rows)
        case _:
            return csv.render_tsv(listing.chosen, listing.rows)
