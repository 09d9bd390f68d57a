"""The report for machines: Report.to_dict() (models/json_schema.py) as text."""

import json

from dzbgp.models.report import Report


def render(report: Report) -> str:
    """Return the report as indented JSON in plain ASCII, without a final newline."""
    return json.dumps(report.to_dict(), indent=2, allow_nan=False)
