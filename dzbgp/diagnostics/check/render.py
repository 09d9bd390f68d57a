"""A check for people and for machines."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.cells import cell_len
from rich.console import Console

from dzbgp.console.formats import FindingsOutput
from dzbgp.console.json_text import json_text
from dzbgp.console.junit import Case, Result, Suite, junit
from dzbgp.console.layout import DIM, GAP, INDENT, SECOND_INDENT, TITLE, Line, Lines, Terminal, padded
from dzbgp.console.tsv import tsv
from dzbgp.console.words import amount, iso, moment
from dzbgp.diagnostics.check.results import CheckReport, CheckResult, CheckSection, Verdict

SCHEMA_VERSION = 1
_STYLE = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.FAIL: "bold red"}
_WORST_FIRST = (Verdict.FAIL, Verdict.WARNING, Verdict.OK)
_VERDICT_WIDTH = max(map(len, Verdict))


def rendered(report: CheckReport, output: FindingsOutput) -> str:
    """Return the check as text for machines, without a final newline."""
    match output:
        case FindingsOutput.JSON:
            return render_json(report)
        case FindingsOutput.JUNIT:
            return _render_junit(report)
        case _:
            return tsv(
                (item.verdict, item.section, item.check, item.subject, item.detail, item.hint)
                for item in report.results
            )


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
    return json_text(document)


def _render_junit(report: CheckReport) -> str:
    """Return a suite a section; a warning passes, with its text as the case's output."""
    suites = [
        Suite(section.value, [_case(item) for item in group])
        for section, group in groupby(report.results, key=lambda item: item.section)
    ]
    return junit("check", suites, report.duration_s)


def _case(item: CheckResult) -> Case:
    name = f"{item.check}: {item.subject}"
    if item.verdict is Verdict.FAIL:
        return Case(name, Result.FAILED, item.detail, item.check, item.hint)
    note = f"{item.verdict.value}: {item.detail}"
    return Case(name, note=f"{note} -> {item.hint}" if item.hint else note)


def render_table(report: CheckReport, console: Console, *, show_all: bool = False) -> None:
    """Print the check on `console`; no line is wider than the console.

    Each section has its worst results first. A device without problems takes one line; with `show_all` it has one for
    each test.
    """
    lines = _lines(report, Terminal.of(console), show_all=show_all)
    console.print(Lines(list(lines)), soft_wrap=True)


def _lines(report: CheckReport, terminal: Terminal, *, show_all: bool) -> Iterator[Line]:
    yield from terminal.joined(["dzbgp check", report.env, moment(report.checked_at)], DIM)
    sections = []
    for section, group in groupby(report.results, key=lambda item: item.section):
        items = list(group)
        if section is CheckSection.DEVICES and not show_all:
            items = _by_host(items)
        sections.append((section, sorted(items, key=lambda item: _WORST_FIRST.index(item.verdict))))
    check_width = max((cell_len(item.check) for _, items in sections for item in items), default=0)
    said: set[str] = set()
    for section, items in sections:
        yield []
        yield from terminal.paragraph(section.value.capitalize(), style=TITLE)
        subject_width = max(cell_len(terminal.clean(terminal.key(item.subject))) for item in items)
        for item in items:
            yield from _result(item, terminal, (check_width, subject_width), said)
    yield []
    counts = [f"{report.count(verdict):,} {verdict.value}" for verdict in _WORST_FIRST]
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
        told = ", ".join(item.detail for item in about if item.check in {"eos", "bgp"})
        shown.append(CheckResult(CheckSection.DEVICES, host, "device", Verdict.OK, told))
    return shown


def _result(item: CheckResult, terminal: Terminal, widths: tuple[int, int], said: set[str]) -> Iterator[Line]:
    """Yield the check, its verdict and its subject on one line, and the detail beside it if it is ok and fits."""
    subject, detail = terminal.clean(terminal.key(item.subject)), terminal.clean(item.detail)
    check = INDENT + padded(item.check, widths[0]) + GAP
    verdict = padded(item.verdict.value, _VERDICT_WIDTH) + GAP
    room = terminal.width - cell_len(check) - cell_len(verdict)
    line: Line = [(check, TITLE if item.hint else ""), (verdict, _STYLE[item.verdict])]
    beside = padded(subject, widths[1]) + GAP
    if not item.hint and cell_len(beside) + cell_len(detail) <= room:
        yield [*line, (beside + detail, "")]
        return
    first, *more = terminal.fold(subject, room)
    yield [*line, (first, "")]
    for part in more:
        yield [(" " * cell_len(check + verdict), ""), (part, "")]
    yield from terminal.paragraph(detail, SECOND_INDENT)
    if item.hint:
        # A fleet that fails in one way needs the remedy only once.
        hint = item.hint if item.hint not in said else "as above"
        said.add(item.hint)
        yield from terminal.paragraph(hint, f"{SECOND_INDENT}{terminal.arrow} ", DIM)


def _outcome(report: CheckReport) -> str:
    words = {
        Verdict.OK: "Ready",
        Verdict.WARNING: "Ready, with warnings",
        Verdict.FAIL: f"Not ready (exit code {int(report.exit_code)})",
    }
    return words[report.verdict]
