"""A listing for people, at whatever width their terminal has."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console

from dzbgp.console.layout import BAD, DIM, GOOD, TITLE, Cell, Line, Lines, Terminal
from dzbgp.console.table import Column, table
from dzbgp.console.words import amount, duration, moment, name_or_key
from dzbgp.listing.model import BgpCounts, DeviceCounts, Field, Listing, Source

_NAME_LIMIT = 44


def render(listing: Listing[Any], console: Console, *, is_wide: bool = False) -> None:
    """Print the listing on `console`; no line is wider than the console.

    A row takes one line: columns that do not fit are left out. With `is_wide` or --columns they go below the row.
    """
    console.print(Lines(list(_lines(listing, Terminal.of(console), is_wide=is_wide))), soft_wrap=True)


def _lines(listing: Listing[Any], terminal: Terminal, *, is_wide: bool) -> Iterator[Line]:
    yield from heading(f"dzbgp {listing.noun}s", listing.source, terminal)
    yield []
    if listing.rows:
        columns = [column(title, item, listing.rows) for title, item in listing.titled]
        yield from table(terminal, columns, hides_rest=not (is_wide or listing.columns))
        yield []
    if listing.devices:
        yield from terminal.paragraph("By device", style=TITLE)
        yield from _by_device(listing.devices, terminal)
        yield []
    yield from noted(listing.source.notes, terminal)
    yield from terminal.joined(_totals(listing), TITLE)


def heading(command: str, source: Source, terminal: Terminal) -> Iterator[Line]:
    """Yield what was read, where and when."""
    yield from terminal.joined([command, source.env, f"slot {source.slot}", moment(source.fetched_at)], DIM)


def noted(notes: Sequence[str], terminal: Terminal) -> Iterator[Line]:
    """Yield the notes, followed by a blank line."""
    if notes:
        yield from terminal.notes(notes)
        yield []


def column(title: str, item: Field[Any], rows: Sequence[Any]) -> Column:
    """Return a field of these rows as a column of a table."""
    cells = [item.shown(row) for row in rows]
    short: list[Cell] = []
    if item.short is not None:
        short = [(item.short(row), style) for row, (_, style) in zip(rows, cells, strict=True)]
    limit = _NAME_LIMIT if item.short is None and not item.right else 1_000
    return Column(title, cells, short=short, rank=item.rank, right=item.right, limit=limit)


def _by_device(devices: Sequence[DeviceCounts], terminal: Terminal) -> Iterator[Line]:
    def numbers(title: str, name: str, style: str, rank: int = 0) -> Column:
        values = [getattr(one.counts, name) for one in devices]
        cells = [(str(number), style if number else DIM) for number in values]
        return Column(title, cells, rank=rank, right=True)

    names = [(name_or_key(one.device), "") for one in devices]
    yield from table(
        terminal,
        [
            Column("Device", names, limit=_NAME_LIMIT),
            numbers("Users", "users", "", 1),
            numbers("Up", "up", GOOD),
            numbers("Down", "down", BAD),
            numbers("Unknown", "unknown", "", 2),
            numbers("Stale", "stale", BAD),
        ],
    )


def _totals(listing: Listing[Any]) -> Iterator[str]:
    shown = amount(len(listing.rows), listing.noun)
    yield shown if len(listing.rows) == listing.total else f"{shown} of {listing.total:,}"
    yield from counted(listing.counts, listing.source.stale_after_s)


def counted(counts: BgpCounts, stale_after_s: float) -> Iterator[str]:
    """Yield the counts of activated users in words."""
    yield f"{counts.users:,} activated: {counts.up:,} up, {counts.down:,} down, {counts.unknown:,} unknown"
    yield f"{counts.stale:,} stale (reported more than {duration(stale_after_s)} ago)"
