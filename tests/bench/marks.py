"""Keeps the figures of a page: a table between two marks, with a row for each figure that has a goal."""

import re
from collections.abc import Mapping

from goals import Table

BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
_HEAD = ("| benchmark | figure | measured | goal | |", "|---|---|---|---|---|")
_ROW = re.compile(r"\| `(\w+)` \|")
_WORDS = {True: "met", False: "**missed**"}


class NoMarksError(ValueError):
    """A page has no place for the figures."""


def replaced(page: str, tables: Mapping[str, Table]) -> str:
    """Return the page with the rows of these benchmarks, by name; the rows of others stay."""
    before, begin, rest = page.partition(BEGIN)
    inside, end, after = rest.partition(END)
    if not begin or not end:
        raise NoMarksError(f"expected {BEGIN} and, below it, {END}")
    rows: dict[str, list[str]] = {}
    for line in inside.splitlines():
        if match := _ROW.match(line):
            rows.setdefault(match[1], []).append(line)
    rows |= {name: lines_of(name, table) for name, table in tables.items()}
    lines = [*_HEAD, *(line for name in sorted(rows) for line in rows[name])]
    return f"{before}{begin}\n" + "\n".join(lines) + f"\n{end}{after}"


def lines_of(name: str, table: Table) -> list[str]:
    """Return a benchmark's rows that have a goal."""
    return [
        f"| `{name}` | {row.name} | {row.value} | {row.goal} | {_WORDS[row.met]} |"
        for row in table.rows
        if row.met is not None
    ]
