"""Lines for a terminal: columns that know how wide the console is, and text that wraps.

Not rich's Table, for two reasons: on a narrow console a row here becomes two lines instead of losing columns,
and 5,000 rows print at once (rich measures, wraps and pads every cell as a document of its own). rich still
does what it is best at: styles, colour systems, recording.
"""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, zip_longest
from operator import itemgetter

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.text import Text

Cell = tuple[str, str]
"""Text and the name of its style."""
Line = list[Cell]

INDENT = "  "
GAP = "  "
DIM = "dim"
SECOND_INDENT = "    "
_SMALLEST_CONSOLE = 40
_ENOUGH_FOR_TAIL = 40


@dataclass(frozen=True, slots=True)
class Paper:
    """What can be drawn on a console: how wide a line may be (40 at least), and with which characters."""

    width: int
    encoding: str
    arrow: str
    rule: str
    dot: str

    @classmethod
    def of(cls, console: Console) -> "Paper":
        """Takes the measure of `console`; one that can't encode the nicer characters gets plain ASCII."""
        nice = ("→", "─", "·")
        arrow, rule, dot = nice if _encodes(console.encoding, nice) else ("->", "-", "|")
        return cls(max(console.width, _SMALLEST_CONSOLE), console.encoding, arrow, rule, dot)

    def clean(self, text: str) -> str:
        """Makes text from outside safe to print: one line, no control characters, nothing unencodable.

        A device's banner or error could otherwise move the cursor, or stop the report with an encoding error.
        """
        if text.isascii() and text.isprintable():
            return text
        printable = "".join(char if char.isprintable() else " " for char in text)
        encoded = " ".join(printable.split()).encode(self.encoding, "backslashreplace")
        return encoded.decode(self.encoding)

    def fold(self, text: str, width: int) -> list[str]:
        """Breaks text into lines of at most `width` cells, between words where it can; nothing is cut."""
        width = max(width, 1)
        if text.isascii():
            if len(text) <= width:
                return [text]
            return textwrap.wrap(text, width, break_on_hyphens=False) or [""]
        # rich knows how wide a character is. The console's own width plays no part in it.
        wrapped = Text(text).wrap(Console(width=width), width)
        return [line.plain.rstrip() for line in wrapped]

    def paragraph(self, text: str, first: str, style: str = "") -> Iterator[Line]:
        """Gives wrapped text that begins with `first` and goes on under its end."""
        room = self.width - cell_len(first)
        for number, part in enumerate(self.fold(text, room)):
            lead = first if number == 0 else " " * cell_len(first)
            yield [(lead, style), (part, style)]

    def joined(self, facts: Iterable[str], style: str) -> Iterator[Line]:
        """Gives facts with dots between them; where a line is too narrow it is broken between two facts."""
        line = ""
        for fact in facts:
            longer = f"{line} {self.dot} {fact}" if line else fact
            if line and cell_len(longer) > self.width:
                yield [(line, style)]
                longer = fact
            line = longer
        yield from self.paragraph(line, "", style)

    def listed(self, rows: Sequence[tuple[str, str, str]], style: str = "") -> Iterator[Line]:
        """Gives rows of a name, a word in `style` and a text; the text goes below when those are long."""
        name_width, word_width = (max(cell_len(row[column]) for row in rows) for column in (0, 1))
        below = len(INDENT) + name_width + len(GAP) + word_width + len(GAP) > self.width // 2
        for name, word, text in rows:
            lead = INDENT + _padded(name, name_width) + GAP
            middle = _padded(word, word_width) + GAP
            if below:
                yield from self.paragraph(f"{name}{GAP}{word}", INDENT, style)
                yield from self.paragraph(text, SECOND_INDENT)
                continue
            for number, line in enumerate(self.paragraph(text, lead + middle)):
                yield [(lead, ""), (middle, style), line[1]] if number == 0 else line


def _padded(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))


def _encodes(encoding: str, texts: Iterable[str]) -> bool:
    try:
        "".join(texts).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


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


@dataclass(frozen=True, slots=True)
class Lines:
    """Finished lines, for `console.print(..., soft_wrap=True)`. Nothing in them is read as markup."""

    lines: Iterable[Line]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Gives the segments; a line's trailing blanks are left out."""
        del options
        for line in self.lines:
            shown = list(line)
            while shown and not shown[-1][0].strip():
                shown.pop()
            if shown:
                shown[-1] = (shown[-1][0].rstrip(), shown[-1][1])
            for style, cells in groupby(shown, key=itemgetter(1)):
                text = "".join(text for text, _ in cells)
                yield Segment(text, console.get_style(style) if style else None)
            yield Segment.line()
