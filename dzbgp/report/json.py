"""The report for machines: Report.to_dict() (models/json_schema.py) as text."""

from dzbgp.console.json_text import json_text
from dzbgp.models.report import Report


def render(report: Report) -> str:
    """Return the report as indented JSON in plain ASCII, without a final newline."""
    return json_text(report.to_dict())
