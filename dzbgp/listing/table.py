"""A listing for people, at whatever width their terminal has."""

from collections.abc import Iterator, Sequence
from datetime import UTC
from typing import Any

from rich.console import Console

from dzbgp.console.layout import DIM, INDENT, Cell, Line, Lines, Paper
from dzbgp.console.table import Column, grid
from dzbgp.console.words import BAD, GOOD, amount, duration
from dzbgp.listing.model import BgpCounts, DeviceCounts, Field, Listing, Source, name_or_key

_TITLE = "bold"
_NAME_LIMIT = 44


def render(listing: Listing[Any], console: Console) -> None:
    """Prints the listing on `console`; no line is wider than the console.

    What comes from the ledger is printed without markup and without control characters.
    """
    console.print(Lines(list(_lines(listing, Paper.of(console)))), soft_wrap=True)


def _lines(listing: Listing[Any], paper: Paper) -> Iterator[Line]:
    yield from heading(f"dzbgp {listing.noun}s", listing.source, paper)
    yield []
    if listing.rows:
        yield from grid(paper, [_column(title, item, listing.rows, paper) for title, item in listing.titled])
        yield []
    if listing.devices:
        yield from paper.paragraph("By device", "", _TITLE)
        yield from _by_device(listing.devices, paper)
        yield []
    yield from noted(listing.source.notes, paper)
    yield from paper.joined(_totals(listing), _TITLE)


def heading(command: str, source: Source, paper: Paper) -> Iterator[Line]:
    """Says what was read, where and when."""
    moment = f"{source.fetched_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    yield from paper.joined([command, paper.clean(source.env), f"slot {source.slot}", moment], DIM)


def noted(notes: Sequence[str], paper: Paper) -> Iterator[Line]:
    """Gives the notes, with a blank line behind them."""
    if notes:
        yield from paper.paragraph("Notes", "", _TITLE)
        for note in notes:
            yield from paper.paragraph(paper.clean(note), INDENT + "- ")
        yield []


def _column(title: str, item: Field[Any], rows: Sequence[Any], paper: Paper) -> Column:
    cells: list[Cell] = []
    for row in rows:
        text, style = item.shown(row)
        cells.append((paper.clean(text), style))
    short: list[Cell] = []
    if item.short is not None:
        short = [(paper.clean(item.short(row)), style) for row, (_, style) in zip(rows, cells, strict=True)]
    limit = _NAME_LIMIT if item.short is None and not item.right else 1_000
    return Column(title, cells, short=short, rank=item.rank, right=item.right, limit=limit)


def _by_device(devices: Sequence[DeviceCounts], paper: Paper) -> Iterator[Line]:
    def numbers(title: str, name: str, style: str, rank: int = 0) -> Column:
        values = [getattr(one.counts, name) for one in devices]
        cells = [(str(number), style if number else DIM) for number in values]
        return Column(title, cells, rank=rank, right=True)

    names = [(paper.clean(name_or_key(one.device)), "") for one in devices]
    yield from grid(
        paper,
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
    """Gives the counts of activated users in words."""
    yield f"{counts.users:,} activated: {counts.up:,} up, {counts.down:,} down, {counts.unknown:,} unknown"
    yield f"{counts.stale:,} stale (reported more than {duration(stale_after_s)} ago)"
