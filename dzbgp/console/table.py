"""Tables for a terminal."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest

from rich.cells import cell_len

from dzbgp.console.layout import DIM, GAP, INDENT, SECOND_INDENT, TITLE, Cell, Line, Terminal, padded

_ENOUGH_FOR_TAIL = 40
"""Cells."""
_SILENT = frozenset({"", "-"})
"""Cells that say nothing."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `cells` has one cell for each row; `short` replaces them when space is scarce."""

    title: str
    cells: Sequence[Cell]
    short: Sequence[Cell] = ()
    rank: int = 0
    """When it leaves the first line of a row: 1 leaves first, 0 stays."""
    right: bool = False
    limit: int = 1_000
    width: int = field(init=False)

    def __post_init__(self) -> None:
        widest = max((cell_len(text) for text, _ in self.cells), default=0)
        object.__setattr__(self, "width", max(cell_len(self.title), min(widest, self.limit)))

    def cleaned(self, terminal: Terminal) -> "Column":
        """Return the column with only what the terminal can show."""
        cells, short = (
            [(terminal.clean(text), style) for text, style in each] for each in (self.cells, self.short)
        )
        return replace(self, cells=cells, short=short)

    def shortened(self) -> "Column":
        """Return the column with its short cells, if it has any."""
        return replace(self, cells=self.short, short=()) if self.short else self

    def pad(self, text: str) -> str:
        """Return text filled up to the column's width."""
        if self.right:
            return " " * (self.width - cell_len(text)) + text
        return padded(text, self.width)


@dataclass(frozen=True, slots=True)
class _Arrangement:
    """Which columns are on the first line of a row, and which below it."""

    first: tuple[Column, ...]
    below: tuple[Column, ...] = ()
    is_tail_inline: bool = False
    """The tail is on the first line, as its last column."""


def table(
    terminal: Terminal,
    columns: Sequence[Column],
    tail: Sequence[str] = (),
    tail_title: str = "",
    *,
    hides_rest: bool = False,
) -> Iterator[Line]:
    """Yield the lines of a table: titles, a rule, and the rows.

    The tail is a sentence a row. It takes the space that is left on the row's line when that is enough, else it
    stands below. Where even the columns are too wide, short cells replace the long ones, and then columns leave
    the row's first line in the order of their rank: with `hides_rest` they are left out, else they go below,
    each with its title; there a cell that says nothing (`-`) is left out.
    """
    arrangement = _arrange([column.cleaned(terminal) for column in columns], tail, terminal.width)
    if hides_rest:
        arrangement = replace(arrangement, below=())
    titles = GAP.join(column.pad(column.title) for column in arrangement.first)
    end = min(_line_width(arrangement.first), terminal.width)
    if arrangement.is_tail_inline:
        titles, end = titles + GAP + tail_title, terminal.width
    yield [(INDENT + titles, TITLE)]
    yield [(INDENT + terminal.rule * (end - len(INDENT)), DIM)]
    for number in range(len(columns[0].cells)):
        sentence = tail[number] if tail else ""
        yield from _first_lines(terminal, arrangement, number, sentence)
        facts = [
            f"{column.title} {text}"
            for column in arrangement.below
            if (text := column.cells[number][0]) not in _SILENT
        ]
        if sentence and not arrangement.is_tail_inline:
            facts.append(sentence)
        if facts:
            yield from terminal.joined(facts, DIM, SECOND_INDENT)


def _line_width(columns: Iterable[Column]) -> int:
    return len(INDENT) + sum(column.width + len(GAP) for column in columns) - len(GAP)


def _arrange(columns: Sequence[Column], tail: Sequence[str], width: int) -> _Arrangement:
    """Choose the fewest columns below the first line, with long cells if they fit."""
    forms = (tuple(columns), tuple(column.shortened() for column in columns))
    if tail:
        needed = min(_ENOUGH_FOR_TAIL, max(map(cell_len, tail)))
        for form in forms:
            if _line_width(form) + len(GAP) + needed <= width:
                return _Arrangement(form, is_tail_inline=True)
    for moved in sorted({0, *(column.rank for column in columns)}):
        for form in forms:
            first = tuple(column for column in form if not 0 < column.rank <= moved)
            if first and _line_width(first) <= width:
                return _Arrangement(first, tuple(column for column in form if 0 < column.rank <= moved))
    first = tuple(column for column in forms[1] if column.rank == 0) or forms[1][:1]
    return _Arrangement(first, tuple(column for column in forms[1] if column not in first))


def _first_lines(terminal: Terminal, arrangement: _Arrangement, number: int, sentence: str) -> Iterator[Line]:
    cells = [(column, *column.cells[number]) for column in arrangement.first]
    folded = [terminal.fold(text, column.width) for column, text, _ in cells]
    beside = len(INDENT) + sum(column.width + len(GAP) for column in arrangement.first)
    tail = (
        terminal.fold(terminal.clean(sentence), terminal.width - beside) if arrangement.is_tail_inline else []
    )
    for parts in zip_longest(tail, *folded, fillvalue=""):
        line: Line = [(INDENT, "")]
        for (column, _, style), part in zip(cells, parts[1:], strict=True):
            line += [(column.pad(part), style), (GAP, "")]
        yield [*line, (parts[0], DIM)]
