"""Lines for a terminal: columns that know how wide the console is, and text that wraps.

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
