"""What the README and the pages of docs/ hold: the shell blocks with what stands above them."""

import re
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
README = DOCS.parent / "README.md"
PAGES = sorted(DOCS.glob("*.md"))
_BLOCK = re.compile(r"(?:<!-- (?P<note>[^\n]*?) -->\n)?```sh\n(?P<text>.*?)```", re.DOTALL)
_NOT_RUN, _EXITS, _FROM = "not run: ", "exits ", "from "


@dataclass(frozen=True)
class Block:
    """A block of shell commands. `not_run`: why it can't be run by a test; `exits`: the code it ends with."""

    page: str
    text: str
    not_run: str = ""
    exits: int = 0


def blocks(page: Path) -> list[Block]:
    found = []
    for match in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        note = match["note"] or ""
        exits = int(note.removeprefix(_EXITS).split(":")[0]) if note.startswith(_EXITS) else 0
        if note.startswith(_FROM):
            continue  # A part of a file, which is held to it.
        not_run = note.removeprefix(_NOT_RUN) if note.startswith(_NOT_RUN) else ""
        found.append(Block(page.name, match["text"], not_run, exits))
    return found


def shown(page: Path) -> list[tuple[str, str]]:
    """Return the files of which a page shows a part, and the parts."""
    return re.findall(r"<!-- from (\S+) -->\n```\w+\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def releases() -> dict[str, str]:
    """Return the command that releases a held guard under each deployment, as the page on the guard has them."""
    page = (DOCS / "guard.md").read_text(encoding="utf-8")
    rows: list[tuple[str, str]] = re.findall(
        r"^\| ([^|]+) \| [^|`]*`([^`]* release[^`]*)` \|$", page, re.MULTILINE
    )
    return dict(rows)
