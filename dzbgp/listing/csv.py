"""A listing for spreadsheets and scripts: RFC 4180 with a header, and line feeds as Unix has them."""

import csv
import io
from typing import Any

from dzbgp.listing.model import Listing, Value


def render(listing: Listing[Any]) -> str:
    """Return a header and a line a row. No value is an empty cell; lists are separated by blanks."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([item.name for item in listing.chosen])
    writer.writerows([[_cell(item.value(row)) for item in listing.chosen] for row in listing.rows])
    return text.getvalue()


def _cell(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return " ".join(value)
    return "" if value is None else str(value)
