"""A check for people and for machines."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC
from itertools import groupby

from rich.console import Console

from dzbgp.console.layout import DIM, INDENT, SECOND_INDENT, Line, Lines, Paper
from dzbgp.console.words import amount
from dzbgp.diagnostics.check.findings import CheckReport, Finding, Section, Verdict

SCHEMA_VERSION = 1
_STYLE = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.FAIL: "bold red"}
_WIDTH = max(map(len, Verdict))


def render_json(report: CheckReport) -> str:
    """Gives the check as indented JSON in plain ASCII, without a final newline; schema_version 1.

    Every finding has every key; `hint` is empty where all is well. Keys never disappear within a version.
    """
    document = {
        "schema_version": SCHEMA_VERSION,
        "env": report.env,
        "program_id": report.program_id,
        "checked_at": report.checked_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
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
            for item in report.findings
        ],
        "summary": {verdict.value: report.count(verdict) for verdict in Verdict},
    }
    return json.dumps(document, indent=2, allow_nan=False)


def render_table(report: CheckReport, console: Console, *, show_all: bool = False) -> None:
    """Prints the check on `console`; no line is wider than the console.

    A device that is well takes one line; `show_all`: one for each thing about it.
    """
    lines = _lines(report, Paper.of(console), show_all=show_all)
    console.print(Lines(list(lines)), soft_wrap=True)


def _lines(report: CheckReport, paper: Paper, *, show_all: bool) -> Iterator[Line]:
    moment = f"{report.checked_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    yield from paper.joined(["dzbgp check", paper.clean(report.env), moment], DIM)
    said: set[str] = set()
    for section, group in groupby(report.findings, key=lambda item: item.section):
        yield []
        yield from paper.paragraph(section.value.capitalize(), "", "bold")
        items = list(group)
        if section is Section.DEVICES and not show_all:
            items = _by_host(items)
        for item in items:
            yield from _finding(item, paper, said)
    yield []
    counts = [f"{report.count(verdict):,} {verdict.value}" for verdict in reversed(Verdict)]
    yield from paper.joined([_outcome(report), *counts, amount(int(report.duration_s), "second")], "bold")


def _by_host(items: Sequence[Finding]) -> list[Finding]:
    """Puts what is well about a host that is well together, and leaves it out where something is not."""
    shown: list[Finding] = []
    for host, group in groupby(items, key=lambda item: item.subject):
        about = list(group)
        wrong = [item for item in about if item.verdict is not Verdict.OK]
        if wrong:
            shown += wrong
            continue
        told = ", ".join(item.detail for item in about if item.check in {"reachable", "tls", "eos", "bgp"})
        shown.append(Finding(Section.DEVICES, host, "", Verdict.OK, told))
    return shown


def _finding(item: Finding, paper: Paper, said: set[str]) -> Iterator[Line]:
    lead = f"{INDENT}{item.verdict.value.ljust(_WIDTH)}  "
    about = f"{item.subject}: {item.check}: " if item.check else f"{item.subject}: "
    for number, line in enumerate(paper.paragraph(paper.clean(about + item.detail), lead)):
        yield [(lead, _STYLE[item.verdict]), line[1]] if number == 0 else line
    if item.hint:
        # A fleet that fails in one way needs to be told only once what to do about it.
        hint = item.hint if item.hint not in said else "as above"
        said.add(item.hint)
        yield from paper.paragraph(paper.clean(hint), f"{SECOND_INDENT}{' ' * _WIDTH}{paper.arrow} ", DIM)


def _outcome(report: CheckReport) -> str:
    words = {
        Verdict.OK: "All is well",
        Verdict.WARNING: "A run would go on",
        Verdict.FAIL: f"Not ready (exit code {int(report.exit_code)})",
    }
    return words[report.verdict]
