"""Lines for a terminal: text that wraps, facts with dots between them, lists of a name, a word and a text.

Not rich's Table, for two reasons: on a narrow console a row here becomes two lines instead of losing columns,
and 5,000 rows print at once (rich measures, wraps and pads every cell as a document of its own). rich still
does what it is best at: styles, colour systems, recording.
"""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.text import Text

from dzbgp.console.words import name_or_key
from dzbgp.errors import one_line

Cell = tuple[str, str]
"""Text and the name of its style."""
Line = list[Cell]

INDENT = "  "
GAP = "  "
SECOND_INDENT = "    "
DIM, TITLE, GOOD, BAD, LOUD = "dim", "bold", "green", "red", "bold red"
"""Styles by what they mean."""
_SMALLEST_CONSOLE = 40
_WHOLE_KEYS_FROM = 160
"""Columns."""


@dataclass(frozen=True, slots=True)
class Terminal:
    """What a console can show: how wide a line may be (40 at least), and which characters.

    Every method makes text from outside safe to print.
    """

    width: int
    encoding: str
    arrow: str
    rule: str
    dot: str

    @classmethod
    def of(cls, console: Console) -> "Terminal":
        """Return what `console` can show; one that cannot encode the nicer characters gets plain ASCII."""
        nice = ("→", "─", "·")
        arrow, rule, dot = nice if _encodes(console.encoding, nice) else ("->", "-", "|")
        return cls(max(console.width, _SMALLEST_CONSOLE), console.encoding, arrow, rule, dot)

    def clean(self, text: str) -> str:
        """Return text on one line with only what the console can show."""
        line = one_line(text)
        return (
            line if line.isascii() else line.encode(self.encoding, "backslashreplace").decode(self.encoding)
        )

    def key(self, text: str) -> str:
        """Return a key, whole on a wide terminal and by its two ends on a narrow one; a name as it is."""
        return text if self.width >= _WHOLE_KEYS_FROM else name_or_key(text)

    def fold(self, text: str, width: int) -> list[str]:
        """Break clean text into lines of at most `width` cells, between words where it can; nothing is cut."""
        width = max(width, 1)
        if text.isascii():
            if len(text) <= width:
                return [text]
            return textwrap.wrap(text, width, break_on_hyphens=False) or [""]
        # rich knows how wide a character is. The console's own width plays no part in it.
        wrapped = Text(text).wrap(Console(width=width), width)
        return [line.plain.rstrip() for line in wrapped]

    def paragraph(self, text: str, first: str = "", style: str = "") -> Iterator[Line]:
        """Yield wrapped text that begins with `first` and is indented by its width."""
        room = self.width - cell_len(first)
        for number, part in enumerate(self.fold(self.clean(text), room)):
            lead = first if number == 0 else " " * cell_len(first)
            yield [(lead, style), (part, style)]

    def joined(self, facts: Iterable[str], style: str, indent: str = "") -> Iterator[Line]:
        """Yield facts with dots between them; where a line is too narrow it is broken between two facts."""
        line = ""
        for fact in map(self.clean, facts):
            longer = f"{line} {self.dot} {fact}" if line else fact
            if line and cell_len(indent + longer) > self.width:
                yield from self.paragraph(line, indent, style)
                longer = fact
            line = longer
        yield from self.paragraph(line, indent, style)

    def notes(self, notes: Sequence[str]) -> Iterator[Line]:
        """Yield the notes of a result below their title; nothing where there are none."""
        if notes:
            yield from self.paragraph("Notes", style=TITLE)
        for text in notes:
            yield from self.paragraph(text, INDENT + "- ")

    def listed(self, rows: Sequence[tuple[str, str, str]], style: str = "") -> Iterator[Line]:
        """Yield rows of a name, a word in `style` and a text; the text goes below when those are long."""
        cleaned = [(self.clean(name), self.clean(word), text) for name, word, text in rows]
        name_width, word_width = (max(cell_len(row[column]) for row in cleaned) for column in (0, 1))
        below = len(INDENT) + name_width + len(GAP) + word_width + len(GAP) > self.width // 2
        for name, word, text in cleaned:
            lead = INDENT + padded(name, name_width) + GAP
            middle = padded(word, word_width) + GAP
            if below:
                yield from self.paragraph(f"{name}{GAP}{word}", INDENT, style)
                yield from self.paragraph(text, SECOND_INDENT)
                continue
            for number, line in enumerate(self.paragraph(text, lead + middle)):
                yield [(lead, ""), (middle, style), line[1]] if number == 0 else line


def padded(text: str, width: int) -> str:
    """Return text filled up with blanks to `width` cells."""
    return text + " " * (width - cell_len(text))


def _encodes(encoding: str, texts: Iterable[str]) -> bool:
    try:
        "".join(texts).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class Lines:
    """Finished lines, for `console.print(..., soft_wrap=True)`. Nothing in them is read as markup."""

    lines: Iterable[Line]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the segments; a line's trailing blanks are left out."""
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
