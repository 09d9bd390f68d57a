"""Words and turns of phrase that may not come back: in the code, its messages, its tests, its pages and shipped files.

Each stands with what to write instead.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = sorted(
    file
    for folder in ("dzbgp", "tasks")
    for pattern in ("*.py", "*.j2")
    for file in (ROOT / folder).rglob(pattern)
    if file.parts[-2] != "tasks" or folder == "tasks"
)
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
TESTS = sorted(file for file in (ROOT / "tests").rglob("*.py") if file != Path(__file__))
SHIPPED = sorted(file for file in (ROOT / "contrib").rglob("*") if file.is_file())
INSTEAD = {
    r"can not\b": "cannot",
    r"\bis no (?!longer\b|such\b|more\b|\w+ (left|yet)\b)(?<!there is no )": "is not a",
    r"on the way can|way there\b": "the network path",
    r"fault of dzbgp's own": "internal error",
    r"nothing is known (of|about)": "unknown state",
    r"left as (they are|it is)": "unchanged",
    r"look(s|ed|ing)? (again|a second time)|look_again": "recheck",
    r"told to end": "until stopped",
    r"at a time of its own": "staggered",
    r"neither weigh": "left out of the ratio",
    r"\bthat answers never\b|\bhangs answers\b": "stops responding",
    r"\brid(e|es|ing|den|ers?) along|ride_along|without_lone_riders|\briders?\b|may_ride|\briding\b": "early refresh",
    r"\bboard(ed|s|ing)?\b": "with_early_refreshes",
    r"does without it or not at all": "the run cannot start",
    r"drawn by lot": "random",
    r"\banew\b": "again",
    r"\b(boxes)\b": "devices",
    r"\bput(s|ting)? ((it|them|these) )?right\b": "correct",
    r"for who(ever)? (does|is|has)\b": "for a reader that",
    r"needs? doing": "no action needed",
    r"\bgone over\b": "read",
    r"\bin truth\b": "really",
    r"\breckon": "compute",
    r"\bgives? out (first|last)\b": "reaches its limit",
    r"\bwhat bec(ame|omes|ome) of\b": "the result of, the fate of",
    r"\bheed(s|ed|ing)?\b": "use, read",
    r"\bfor want of\b": "missing",
    r"\btak(e|en|es|ing) for known\b": "believed",
    r"\ball the same\b": "anyway",
    r"\bsomebody else\b": "another writer",
    r"\bstands? still\b": "does not advance",
    r"\bwhat(ever)? came of\b": "the result of",
    r"\bheld no more\b": "not held any more",
    r"\bwhether anybody\b": "even if nobody",
    r"\bprints what follows\b": "prints these figures",
    r"\bin the order of what\b": "the most effective first",
    r"\beverything behind it\b": "everything after it",
    r"\bis told in\b": "see",
    r"\bPaper\b": "Terminal",
    r"\bRecall\b": "Memory",
    r"\bJudg(ing|e|ed|es)\b": "Decider, assess_credibility",
    r"\bDeal(s|t|ing|er)?\b": "Dispatcher, dispatch",
    r"\bSeats?\b": "assignment",
    r"\bShipments?\b": "Payload",
}
NAMES = frozenset({r"\bPaper\b", r"\bSeats?\b", r"\bRecall\b"})
"""Compared with the case: the words themselves are plain English."""
VERBS = (
    "Give",
    "Gives",
    "Says",
    "Tells",
    "Prints",
    "Makes",
    "Takes",
    "Finds",
    "Counts",
    "Asks",
    "Reads",
    "Writes",
    "Raises",
)
"""A function's docstring begins with an imperative: Return, Print, Ask."""


def found_in(file: Path) -> Iterator[str]:
    text = file.read_text(encoding="utf-8")
    for turn, instead in INSTEAD.items():
        for match in re.finditer(turn, text, 0 if turn in NAMES else re.IGNORECASE):
            number = text.count("\n", 0, match.start()) + 1
            yield f"{file.relative_to(ROOT)}:{number}: {match[0]!r}: write {instead!r}"
    if file.suffix == ".py":
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not _is_command(node):
                first = (ast.get_docstring(node) or " ").split(" ")[0]
                if first in VERBS:
                    yield f"{file.relative_to(ROOT)}:{node.lineno}: a docstring that begins with {first!r}"


def _is_command(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether its docstring is the help of a command, which says what the command does."""
    return any("command" in ast.unparse(decorator) for decorator in node.decorator_list)


@pytest.mark.parametrize(
    "file", [*CODE, *TESTS, *PAGES, *SHIPPED], ids=lambda file: str(file.relative_to(ROOT))
)
def test_a_file_speaks_plain_english(file: Path) -> None:
    found = list(found_in(file))
    assert not found, "\n".join(found)
