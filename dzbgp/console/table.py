"""Tables for a terminal."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest

from rich.cells import cell_len

from dzbgp.console.layout import _ENOUGH_FOR_TAIL, DIM, GAP, INDENT, SECOND_INDENT, Cell, Line, Paper, _padded


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `cells` has one cell a row; `short` is what stands there when space is scarce."""

    title: str
    cells: Sequence[Cell]
    short: Sequence[Cell] = ()
    rank: int = 0
    """When it goes to the second line of a row: 1 goes first, 0 stays."""
    right: bool = False
    limit: int = 1_000
    width: int = field(init=False)

    def __post_init__(self) -> None:
        widest = max((cell_len(text) for text, _ in self.cells), default=0)
        object.__setattr__(self, "width", max(cell_len(self.title), min(widest, self.limit)))

    def shortened(self) -> "Column":
        """Gives the column with its short cells, if it has such."""
        return replace(self, cells=self.short, short=()) if self.short else self

    def pad(self, text: str) -> str:
        """Fills text up to the column's width."""
        if self.right:
            return " " * (self.width - cell_len(text)) + text
        return _padded(text, self.width)


@dataclass(frozen=True, slots=True)
class _Arrangement:
    """Which columns stand on the first line of a row, and which before the tail on the second."""

    first: tuple[Column, ...]
    second: tuple[Column, ...]
    inline: bool
    """The tail stands on the first line, as its last column."""


def table(paper: Paper, columns: Sequence[Column], tail: Sequence[str], tail_title: str) -> Iterator[Line]:
    """Gives the lines of a table: titles, a rule, and the rows.

    The tail is a sentence per row. It takes the space that is left on the row's line when that is enough,
    else it has a second line. Where even the columns are too wide, short cells replace the long ones, and
    then columns join the tail on the second line, in the order of their rank; there a cell with nothing to
    tell (`-`) is left out.
    """
    arrangement = _arrange(columns, tail, paper.width)
    yield from _titles(paper, arrangement, tail_title)
    for number, sentence in enumerate(tail):
        yield from _row(paper, arrangement, number, sentence)


def _line_width(columns: Iterable[Column]) -> int:
    return len(INDENT) + sum(column.width + len(GAP) for column in columns) - len(GAP)


def _arrange(columns: Sequence[Column], tail: Sequence[str], width: int) -> _Arrangement:
    forms = (tuple(columns), tuple(column.shortened() for column in columns))
    needed = min(_ENOUGH_FOR_TAIL, max((cell_len(text) for text in tail), default=0))
    for form in forms:
        if _line_width(form) + len(GAP) + needed <= width:
            return _Arrangement(form, (), inline=True)
    ranks = sorted({column.rank for column in columns})
    for moved in ranks:
        for form in forms:
            first = tuple(column for column in form if not 0 < column.rank <= moved)
            if _line_width(first) <= width or (moved == ranks[-1] and form is forms[-1]):
                second = tuple(column for column in form if 0 < column.rank <= moved)
                return _Arrangement(first, second, inline=False)
    return _Arrangement(forms[-1], (), inline=False)


def _titles(paper: Paper, arrangement: _Arrangement, tail_title: str) -> Iterator[Line]:
    first = GAP.join(column.pad(column.title) for column in arrangement.first)
    if arrangement.inline:
        yield [(INDENT + first + GAP + tail_title, "bold")]
    else:
        yield [(INDENT + first, "bold")]
        titles = [*(column.title for column in arrangement.second), tail_title]
        yield from paper.paragraph(f" {paper.dot} ".join(titles), SECOND_INDENT, DIM)
    end = paper.width if arrangement.inline else min(_line_width(arrangement.first), paper.width)
    yield [(INDENT + paper.rule * (end - len(INDENT)), DIM)]


def _row(paper: Paper, arrangement: _Arrangement, number: int, sentence: str) -> Iterator[Line]:
    cells = [(column, *column.cells[number]) for column in arrangement.first]
    folded = [paper.fold(text, column.width) for column, text, _ in cells]
    beside = len(INDENT) + sum(column.width + len(GAP) for column in arrangement.first)
    tail = paper.fold(sentence, paper.width - beside) if arrangement.inline else []
    for parts in zip_longest(tail, *folded, fillvalue=""):
        line: Line = [(INDENT, "")]
        for (column, _, style), part in zip(cells, parts[1:], strict=True):
            line += [(column.pad(part), style), (GAP, "")]
        yield [*line, (parts[0], DIM)]
    if not arrangement.inline:
        below = (column.cells[number][0] for column in arrangement.second)
        fields = [*(text for text in below if text not in {"", "-"}), sentence]
        yield from paper.paragraph(f" {paper.dot} ".join(fields), SECOND_INDENT, DIM)


_SILENT = frozenset({"", "-"})


def grid(paper: Paper, columns: Sequence[Column]) -> Iterator[Line]:
    """Gives the lines of a table; columns leave the first line of a row in the order of their rank."""
    first, below = _arrange_grid(columns, paper.width)
    yield [(INDENT + GAP.join(column.pad(column.title) for column in first), "bold")]
    yield [(INDENT + paper.rule * (min(_width(first), paper.width) - len(INDENT)), DIM)]
    for number in range(len(columns[0].cells)):
        yield from _first_line(paper, first, number)
        yield from _facts(paper, below, number)


def _width(columns: Sequence[Column]) -> int:
    return len(INDENT) + sum(column.width + len(GAP) for column in columns) - len(GAP)


def _arrange_grid(columns: Sequence[Column], width: int) -> tuple[list[Column], list[Column]]:
    """Gives the columns of a row's first line and those below: the fewest below, with long cells if they fit."""
    forms = ([*columns], [column.shortened() for column in columns])
    for moved in (0, *sorted({column.rank for column in columns} - {0})):
        for form in forms:
            first = [column for column in form if column.rank == 0 or column.rank > moved]
            below = [column for column in form if 0 < column.rank <= moved]
            if first and _width(first) <= width:
                return first, below
    fixed = [column for column in forms[1] if column.rank == 0] or forms[1][:1]
    return fixed, [column for column in forms[1] if column not in fixed]


def _first_line(paper: Paper, columns: Sequence[Column], number: int) -> Iterator[Line]:
    cells = [column.cells[number] for column in columns]
    folded = [paper.fold(text, column.width) for column, (text, _) in zip(columns, cells, strict=True)]
    for row in range(max(map(len, folded))):
        line: Line = [(INDENT, "")]
        for column, (_, style), parts in zip(columns, cells, folded, strict=True):
            line += [(column.pad(parts[row] if row < len(parts) else ""), style), (GAP, "")]
        yield line


def _facts(paper: Paper, columns: Sequence[Column], number: int) -> Iterator[Line]:
    """Gives titles with values below a row, broken between two of them where it can be."""
    line = ""
    for column in columns:
        text = column.cells[number][0]
        if text in _SILENT:
            continue
        fact = f"{column.title} {text}"
        longer = f"{line} {paper.dot} {fact}" if line else fact
        if line and cell_len(SECOND_INDENT + longer) > paper.width:
            yield from paper.paragraph(line, SECOND_INDENT, DIM)
            longer = fact
        line = longer
    if line:
        yield from paper.paragraph(line, SECOND_INDENT, DIM)
