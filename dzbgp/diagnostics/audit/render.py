"""An audit for people and for machines."""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import groupby

from rich.console import Console

from dzbgp.console.layout import Line, Lines, Paper
from dzbgp.console.words import amount
from dzbgp.diagnostics.audit.findings import Audit, Finding, Severity
from dzbgp.listing.json import origin
from dzbgp.listing.model import name_or_key
from dzbgp.listing.table import heading, noted

_TITLE = "bold"
_STYLE = {Severity.ERROR: "bold red", Severity.WARNING: "bold"}
_FULL_KEYS_FROM = 160


def render_json(audit: Audit) -> str:
    """Gives the audit as indented JSON in plain ASCII, without a final newline; schema_version 1.

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
    return json.dumps(document, indent=2, allow_nan=False)


def render_table(audit: Audit, console: Console) -> None:
    """Prints the audit on `console`, a section for each kind of finding; no line is wider than the console."""
    console.print(Lines(list(_lines(audit, Paper.of(console)))), soft_wrap=True)


def _lines(audit: Audit, paper: Paper) -> Iterator[Line]:
    yield from heading("dzbgp audit", audit.source, paper)
    yield []
    for kind, group in groupby(audit.findings, key=lambda item: item.kind):
        items = list(group)
        yield from paper.paragraph(
            f"{kind.words}: {len(items):,} ({kind.value}, {kind.severity.value})", "", _STYLE[kind.severity]
        )
        yield from paper.listed([_row(item, paper) for item in items])
        yield []
    yield from noted(audit.source.notes, paper)
    yield from paper.joined(_totals(audit), _TITLE)


def _row(item: Finding, paper: Paper) -> tuple[str, str, str]:
    device = paper.clean(name_or_key(item.device or "-"))
    subject = item.subject if paper.width >= _FULL_KEYS_FROM else name_or_key(item.subject)
    return device, paper.clean(subject), paper.clean(item.detail)


def _totals(audit: Audit) -> Iterator[str]:
    severities = Counter(item.severity for item in audit.findings)
    yield f"{amount(audit.users, 'activated user')} on {amount(audit.devices, 'device')}"
    yield "no device was asked" if audit.devices_read is None else f"{audit.devices_read:,} answered"
    if not audit.findings:
        yield "nothing odd"
    for severity in Severity:
        if severities[severity]:
            yield amount(severities[severity], severity.value)
