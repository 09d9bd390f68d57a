"""A listing for spreadsheets and scripts: CSV (RFC 4180 with a header, line feeds as Unix has them) and TSV."""

import csv
import io
from collections.abc import Sequence

from dzbgp.console.tsv import tsv
from dzbgp.listing.model import Field, R, Value


def render(fields: Sequence[Field[R]], rows: Sequence[R]) -> str:
    """Return a header and a line a row, without a final newline.

    No value is an empty cell; lists are separated by blanks.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([item.name for item in fields])
    writer.writerows([[_cell(item.value(row)) for item in fields] for row in rows])
    return text.getvalue().removesuffix("\n")


def render_tsv(fields: Sequence[Field[R]], rows: Sequence[R]) -> str:
    """Return a line a row with the columns of CSV, without a header and without a final newline."""
    return tsv([item.value(row) for item in fields] for row in rows)


def _cell(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return " ".join(value)
    return "" if value is None else str(value)
