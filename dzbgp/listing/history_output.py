"""Puts what a state file says on stdout: table, tab-separated lines, JSON, CSV."""

from collections.abc import Iterator
from typing import Any

from dzbgp.console.destinations import Destination, deliver
from dzbgp.console.formats import ListingOutput
from dzbgp.console.json_text import json_text
from dzbgp.console.layout import DIM, TITLE, Line, Lines, Terminal
from dzbgp.console.table import table
from dzbgp.console.words import amount, duration, iso
from dzbgp.errors import ExitCode
from dzbgp.listing import csv
from dzbgp.listing.history import History, when
from dzbgp.listing.json import SCHEMA_VERSION
from dzbgp.listing.table import column


def print_history(
    history: History[Any], output: ListingOutput | None, *, is_wide: bool, as_rows: bool
) -> ExitCode:
    """Print the rows, as a JSON array if `as_rows`. Return PARTIAL if they could not be printed."""
    is_printed = deliver(
        (Destination(ListingOutput.JSON if as_rows else output or ""),),
        lambda console: console.print(
            Lines(list(_lines(history, Terminal.of(console), is_wide=is_wide))), soft_wrap=True
        ),
        lambda chosen: (
            json_text(_rows(history)) if as_rows else render_history(history, ListingOutput(chosen))
        ),
    )
    return ExitCode.OK if is_printed else ExitCode.PARTIAL


def render_history(history: History[Any], output: ListingOutput) -> str:
    """Return the rows as text for machines, without a final newline. JSON has schema_version 1."""
    match output:
        case ListingOutput.CSV:
            return csv.render(history.fields, history.rows)
        case ListingOutput.JSON:
            document = {
                "schema_version": SCHEMA_VERSION,
                "state": str(history.state),
                "since": iso(when(history.now - history.since_s)),
                history.noun: _rows(history),
            }
            return json_text(document)
        case _:
            return csv.render_tsv(history.fields, history.rows)


def _rows(history: History[Any]) -> list[dict[str, Any]]:
    return [{item.name: item.value(row) for item in history.fields} for row in history.rows]


def _lines(history: History[Any], terminal: Terminal, *, is_wide: bool) -> Iterator[Line]:
    past = f"the last {duration(history.since_s)}"
    yield from terminal.joined([f"dzbgp history: {history.noun}", past, str(history.state)], DIM)
    yield []
    shown = [item for item in history.fields if item.title]
    if history.rows:
        columns = [column(item.title, item, history.rows) for item in shown]
        tail = [row.error or "" for row in history.rows] if history.noun == "passes" else ()
        yield from table(terminal, columns, tail if any(tail) else (), "Error", hides_rest=not is_wide)
        yield []
    yield from terminal.paragraph(
        amount(len(history.rows), "row") if history.rows else "No records.", style=TITLE
    )
