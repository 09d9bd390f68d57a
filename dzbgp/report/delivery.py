"""Delivers the report: to stdout, and to each file that was asked for in its format."""

import io
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from dzbgp.console.files import replace_file
from dzbgp.console.formats import Output
from dzbgp.console.stdout import CandidConsole, forget
from dzbgp.errors import UsageError
from dzbgp.models.report import Report

log = logging.getLogger(__name__)

_FILE_WIDTH = 200
"""Columns of a table in a file."""


@dataclass(frozen=True, slots=True)
class Destination:
    """One place for the report. `file` None: stdout."""

    output: Output
    file: Path | None = None
    option: str = ""
    """What the user wrote, for messages."""


def destinations(outputs: Sequence[str] | None, report_file: Path | None = None) -> tuple[Destination, ...]:
    """Return the places that --output and --report-file name: files first, stdout last. Raises UsageError.

    Stdout gets the table unless an --output names another format for it.
    """
    given = [_destination(text) for text in outputs or ()]
    if report_file is not None:
        given.append(Destination(Output.JSON, report_file, f"--report-file {report_file}"))
    files = [place for place in given if place.file is not None]
    printed = [place for place in given if place.file is None]
    if len(printed) > 1:
        both = " and ".join(place.option for place in printed)
        raise UsageError(f"{both}: stdout takes one format: give the others a file with FORMAT=FILE")
    seen: dict[Path, Destination] = {}
    for place in files:
        path = Path(os.path.realpath(place.file or ""))
        other = seen.setdefault(path, place)
        if other is not place:
            raise UsageError(f"{other.option} and {place.option}: both name the same file: give each its own")
    return (*files, *(printed or [Destination(Output.TABLE)]))


def check(places: Sequence[Destination]) -> None:
    """Test, before anything is written onchain, that every file can be written. Raises UsageError."""
    for place in places:
        if place.file is not None and not _can_be_written(place.file):
            raise UsageError(
                f"{place.option}: the file cannot be written: expected a file in a writable directory"
            )


def deliver(report: Report, places: Sequence[Destination], *, show_all: bool) -> bool:
    """Save and print the report; return whether every destination has it.

    Raises nothing: there may be writes by now, and they stay written.
    """
    try:
        # A destination that fails must not keep the report from the others.
        failed = [place for place in places if not _delivered(report, place, show_all=show_all)]
    except KeyboardInterrupt:
        log.error("interrupted while the report was printed; what the pass wrote is written")  # noqa: TRY400
        return False
    return not failed


def _delivered(report: Report, place: Destination, *, show_all: bool) -> bool:
    try:
        if place.file is None:
            return _print(report, place.output, show_all=show_all)
        return _save(rendered(report, place.output, show_all=show_all), place, place.file)
    except Exception as error:
        log.debug("the report ended here", exc_info=True)
        log.error(  # noqa: TRY400 - one line
            "%s: internal error (%s); please report it. --verbose shows the traceback. What the pass wrote is written",
            place.option or "stdout",
            type(error).__name__,
        )
        return False


def rendered(report: Report, output: Output, *, show_all: bool) -> str:
    """Return the report as text, without a final newline."""
    from dzbgp.report import json, markdown, table  # noqa: PLC0415

    match output:
        case Output.JSON:
            return json.render(report)
        case Output.MARKDOWN:
            return markdown.render(report, show_all=show_all)
        case Output.HTML:
            from dzbgp.report.html import page  # noqa: PLC0415 - the template engine, for this alone

            return page.render(report, show_all=show_all)
        case Output.TABLE:
            out = io.StringIO()
            table.render(report, CandidConsole(file=out, width=_FILE_WIDTH), show_all=show_all)
            return out.getvalue().removesuffix("\n")


def _can_be_written(file: Path) -> bool:
    try:
        if file.exists() and not file.is_file():
            return False
        return file.parent.is_dir() and os.access(file.parent, os.W_OK)
    except OSError:
        return False


def _destination(text: str) -> Destination:
    name, equals, path = text.partition("=")
    option = f"--output {text}"
    try:
        output = Output(name)
    except ValueError:
        known = ", ".join(repr(each.value) for each in Output)
        raise UsageError(f"{option}: unknown format {name!r}: expected one of {known}") from None
    if equals and not path:
        raise UsageError(f"{option}: the file is missing: expected FORMAT=FILE")
    return Destination(output, Path(path) if equals else None, option)


def _print(report: Report, output: Output, *, show_all: bool) -> bool:
    from dzbgp.report import table  # noqa: PLC0415

    try:
        if output is Output.TABLE:
            table.render(report, CandidConsole(file=sys.stdout), show_all=show_all)
            return True
        if output is Output.JSON:
            for note in report.notes:
                log.warning("%s", note)
        text = rendered(report, output, show_all=show_all)
        # Markdown and HTML have such references; JSON is plain ASCII.
        encoding = sys.stdout.encoding or "utf-8"
        typer.echo(text.encode(encoding, "xmlcharrefreplace").decode(encoding))
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough.
        forget(sys.stdout)
    except OSError as error:
        log.error("stdout: the report could not be printed: %s", error.strerror)  # noqa: TRY400 - one line
        forget(sys.stdout)
        return False
    return True


def _save(text: str, place: Destination, file: Path) -> bool:
    """Replace `file` as a whole, so that nobody reads half a report."""
    try:
        replace_file(file, f"{text}\n".encode())
    except OSError as error:
        log.error("%s: %s", place.option, error.strerror)  # noqa: TRY400 - one line
        return False
    return True
