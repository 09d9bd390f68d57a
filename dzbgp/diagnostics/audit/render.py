"""An audit for people and for machines."""

from collections import Counter
from collections.abc import Iterator
from itertools import groupby

from rich.console import Console

from dzbgp.console.formats import FindingsOutput
from dzbgp.console.json_text import json_text
from dzbgp.console.junit import Case, Result, Suite, junit
from dzbgp.console.layout import LOUD, TITLE, Line, Lines, Terminal
from dzbgp.console.tsv import tsv
from dzbgp.console.words import amount, name_or_key
from dzbgp.diagnostics.audit.findings import Audit, FindingKind, Severity
from dzbgp.listing.json import origin
from dzbgp.listing.table import heading, noted

_STYLE = {Severity.ERROR: LOUD, Severity.WARNING: TITLE}


def rendered(audit: Audit, output: FindingsOutput) -> str:
    """Return the audit as text for machines, without a final newline."""
    match output:
        case FindingsOutput.JSON:
            return render_json(audit)
        case FindingsOutput.JUNIT:
            return _render_junit(audit)
        case _:
            return tsv(
                (item.severity, item.kind, item.subject, item.device, item.detail) for item in audit.findings
            )


def _render_junit(audit: Audit) -> str:
    """Return a suite a kind of finding, with a case a finding; a kind without findings has one case that passes."""
    suites = []
    for kind in FindingKind:
        cases = [
            Case(
                f"{item.subject} on {item.device}" if item.device else item.subject,
                Result.FAILED,
                item.detail,
                item.severity,
            )
            for item in audit.findings
            if item.kind is kind
        ]
        suites.append(Suite(kind.value, cases or [Case(kind.words)]))
    return junit("audit", suites)


def render_json(audit: Audit) -> str:
    """Return the audit as indented JSON in plain ASCII, without a final newline; schema_version 1.

    `devices_read` is the number of credible answers, null where no device was asked. `summary` counts by
    severity, `kinds` by kind.
    """
    severities = Counter(item.severity for item in audit.findings)
    document = {
        **origin(audit.source),
        "users": audit.users,
        "devices": audit.devices,
        "devices_read": audit.devices_read,
        "findings": [
            {
                "kind": item.kind.value,
                "severity": item.severity.value,
                "subject": item.subject,
                "device": item.device,
                "detail": item.detail,
            }
            for item in audit.findings
        ],
        "summary": {
            "findings": len(audit.findings),
            **{severity.value: severities[severity] for severity in Severity},
            "kinds": dict(Counter(item.kind.value for item in audit.findings)),
        },
        "notes": list(audit.source.notes),
    }
    return json_text(document)


def render_table(audit: Audit, console: Console) -> None:
    """Print the audit on `console`, a section for each kind of finding; no line is wider than the console."""
    console.print(Lines(list(_lines(audit, Terminal.of(console)))), soft_wrap=True)


def _lines(audit: Audit, terminal: Terminal) -> Iterator[Line]:
    yield from heading("dzbgp audit", audit.source, terminal)
    yield []
    for kind, group in groupby(audit.findings, key=lambda item: item.kind):
        items = list(group)
        title = f"{kind.words}: {len(items):,} ({kind.value}, {kind.severity.value})"
        yield from terminal.paragraph(title, style=_STYLE[kind.severity])
        yield from terminal.listed(
            [(name_or_key(item.device or "-"), terminal.key(item.subject), item.detail) for item in items]
        )
        yield []
    yield from noted(audit.source.notes, terminal)
    yield from terminal.joined(_totals(audit), TITLE)


def _totals(audit: Audit) -> Iterator[str]:
    severities = Counter(item.severity for item in audit.findings)
    yield f"{amount(audit.users, 'activated user')} on {amount(audit.devices, 'device')}"
    yield "no device was asked" if audit.devices_read is None else f"{audit.devices_read:,} answered"
    if not audit.findings:
        yield "nothing is odd"
    for severity in Severity:
        if severities[severity]:
            yield amount(severities[severity], severity.value)
