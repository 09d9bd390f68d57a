"""An audit for people and for machines."""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import groupby

from rich.console import Console

from dzbgp.console.layout import LOUD, TITLE, Line, Lines, Terminal
from dzbgp.console.words import amount, name_or_key
from dzbgp.diagnostics.audit.findings import Audit, Severity
from dzbgp.listing.json import origin
from dzbgp.listing.table import heading, noted

_STYLE = {Severity.ERROR: LOUD, Severity.WARNING: TITLE}


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
    return json.dumps(document, indent=2, allow_nan=False)


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
