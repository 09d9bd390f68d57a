"""A check for people and for machines."""

import json
from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.console import Console

from dzbgp.console.layout import DIM, INDENT, SECOND_INDENT, TITLE, Line, Lines, Terminal
from dzbgp.console.words import amount, iso, moment
from dzbgp.diagnostics.check.results import CheckReport, CheckResult, CheckSection, Verdict

SCHEMA_VERSION = 1
_STYLE = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.FAIL: "bold red"}
_WIDTH = max(map(len, Verdict))


def render_json(report: CheckReport) -> str:
    """Return the check as indented JSON in plain ASCII, without a final newline; schema_version 1.

    Every finding has every key; `hint` is empty if it is ok. Keys are never removed within a version.
    """
    document = {
        "schema_version": SCHEMA_VERSION,
        "env": report.env,
        "program_id": report.program_id,
        "checked_at": iso(report.checked_at),
        "duration_s": round(report.duration_s, 3),
        "verdict": report.verdict.value,
        "exit_code": int(report.exit_code),
        "findings": [
            {
                "section": item.section.value,
                "subject": item.subject,
                "check": item.check,
                "verdict": item.verdict.value,
                "detail": item.detail,
                "hint": item.hint,
            }
            for item in report.results
        ],
        "summary": {verdict.value: report.count(verdict) for verdict in Verdict},
    }
    return json.dumps(document, indent=2, allow_nan=False)


def render_table(report: CheckReport, console: Console, *, show_all: bool = False) -> None:
    """Print the check on `console`; no line is wider than the console.

    A device without problems takes one line; with `show_all` it has one for each test.
    """
    lines = _lines(report, Terminal.of(console), show_all=show_all)
    console.print(Lines(list(lines)), soft_wrap=True)


def _lines(report: CheckReport, terminal: Terminal, *, show_all: bool) -> Iterator[Line]:
    yield from terminal.joined(["dzbgp check", report.env, moment(report.checked_at)], DIM)
    said: set[str] = set()
    for section, group in groupby(report.results, key=lambda item: item.section):
        yield []
        yield from terminal.paragraph(section.value.capitalize(), style=TITLE)
        items = list(group)
        if section is CheckSection.DEVICES and not show_all:
            items = _by_host(items)
        for item in items:
            yield from _finding(item, terminal, said)
    yield []
    counts = [f"{report.count(verdict):,} {verdict.value}" for verdict in reversed(Verdict)]
    yield from terminal.joined([_outcome(report), *counts, amount(int(report.duration_s), "second")], TITLE)


def _by_host(items: Sequence[CheckResult]) -> list[CheckResult]:
    """Merge the results of a host without problems into one; of another host keep the problems only."""
    shown: list[CheckResult] = []
    for host, group in groupby(items, key=lambda item: item.subject):
        about = list(group)
        wrong = [item for item in about if item.verdict is not Verdict.OK]
        if wrong:
            shown += wrong
            continue
        told = ", ".join(item.detail for item in about if item.check in {"reachable", "tls", "eos", "bgp"})
        shown.append(CheckResult(CheckSection.DEVICES, host, "", Verdict.OK, told))
    return shown


def _finding(item: CheckResult, terminal: Terminal, said: set[str]) -> Iterator[Line]:
    lead = f"{INDENT}{item.verdict.value.ljust(_WIDTH)}  "
    about = f"{item.subject}: {item.check}: " if item.check else f"{item.subject}: "
    for number, line in enumerate(terminal.paragraph(about + item.detail, lead)):
        yield [(lead, _STYLE[item.verdict]), line[1]] if number == 0 else line
    if item.hint:
        # A fleet that fails in one way needs the remedy only once.
        hint = item.hint if item.hint not in said else "as above"
        said.add(item.hint)
        yield from terminal.paragraph(hint, f"{SECOND_INDENT}{' ' * _WIDTH}{terminal.arrow} ", DIM)


def _outcome(report: CheckReport) -> str:
    words = {
        Verdict.OK: "Ready",
        Verdict.WARNING: "Ready, with warnings",
        Verdict.FAIL: f"Not ready (exit code {int(report.exit_code)})",
    }
    return words[report.verdict]
