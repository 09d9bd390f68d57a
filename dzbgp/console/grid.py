"""A table of many columns on a terminal of any width.

What finds no room in a row goes below it, each value with its title: nothing is cut, and nothing is left out
but what has nothing to tell.
"""

from collections.abc import Iterator, Sequence

from rich.cells import cell_len

from dzbgp.console.layout import DIM, GAP, INDENT, SECOND_INDENT, Column, Line, Paper

_SILENT = frozenset({"", "-"})


def grid(paper: Paper, columns: Sequence[Column]) -> Iterator[Line]:
    """Gives the lines of a table; columns leave the first line of a row in the order of their rank."""
    first, below = _arrange(columns, paper.width)
    yield [(INDENT + GAP.join(column.pad(column.title) for column in first), "bold")]
    yield [(INDENT + paper.rule * (min(_width(first), paper.width) - len(INDENT)), DIM)]
    for number in range(len(columns[0].cells)):
        yield from _first_line(paper, first, number)
        yield from _facts(paper, below, number)


def _width(columns: Sequence[Column]) -> int:
    return len(INDENT) + sum(column.width + len(GAP) for column in columns) - len(GAP)


def _arrange(columns: Sequence[Column], width: int) -> tuple[list[Column], list[Column]]:
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
