"""Delivers the report of a pass: to stdout, and to each file that was asked for in its format."""

import logging
import sys
from collections.abc import Sequence

from dzbgp.console import destinations
from dzbgp.console.destinations import Destination
from dzbgp.console.formats import Output
from dzbgp.models.report import Report

log = logging.getLogger(__name__)


def deliver(report: Report, places: Sequence[Destination], *, show_all: bool) -> bool:
    """Save and print the report; return whether every destination has it. Raises nothing.

    Problems go to stderr as well, a line each, unless the table on a terminal shows them: `> /dev/null` and --quiet
    silence success only. Those that an earlier pass said a short while ago are left out (report.alarms).
    """
    from dzbgp.report.problems import bounded, problems  # noqa: PLC0415

    is_delivered = save(report, places, show_all=show_all)
    printed = [place.format for place in places if place.file is None]
    if Output.TABLE not in printed or not (sys.stdout and sys.stdout.isatty()):
        all_lines = [problem.line for problem in problems(report)] if report.alarms is None else []
        for line in bounded(all_lines) if report.alarms is None else report.alarms:
            log.error("%s", line)
    if Output.TSV in printed:
        # Every other format has the notes.
        for note in report.notes:
            log.warning("%s", note)
    return is_delivered


def save(report: Report, places: Sequence[Destination], *, show_all: bool) -> bool:
    """Save and print the report, and nothing else; return whether every destination has it. Raises nothing."""
    from dzbgp.report import table  # noqa: PLC0415 - slow

    return destinations.deliver(
        places,
        lambda console: table.render(report, console, show_all=show_all),
        lambda output: rendered(report, Output(output), show_all=show_all),
    )


def rendered(report: Report, output: Output, *, show_all: bool) -> str:
    """Return the report as text, without a final newline."""
    from dzbgp.report import json, junit, markdown, table, tsv  # noqa: PLC0415

    match output:
        case Output.TABLE:
            return destinations.as_text(
                output, lambda console: table.render(report, console, show_all=show_all), str
            )
        case Output.TSV:
            return tsv.render(report, show_all=show_all)
        case Output.JSON:
            return json.render(report)
        case Output.JUNIT:
            return junit.render(report, show_all=show_all)
        case Output.MARKDOWN:
            return markdown.render(report, show_all=show_all)
        case Output.HTML:
            from dzbgp.report.html import page  # noqa: PLC0415 - the template engine, for this alone

            return page.render(report, show_all=show_all)
