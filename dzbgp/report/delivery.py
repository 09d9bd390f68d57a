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
    silence success only.
    """
    from dzbgp.report import table  # noqa: PLC0415 - slow
    from dzbgp.report.problems import problems  # noqa: PLC0415

    is_delivered = destinations.deliver(
        places,
        lambda console: table.render(report, console, show_all=show_all),
        lambda output: rendered(report, Output(output), show_all=show_all),
    )
    printed = [place.format for place in places if place.file is None]
    if Output.TABLE not in printed or not (sys.stdout and sys.stdout.isatty()):
        for problem in problems(report):
            log.error("%s", problem)
    if Output.TSV in printed:
        # Every other format has the notes.
        for note in report.notes:
            log.warning("%s", note)
    return is_delivered


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
