"""Where the report goes: stdout, and as many files as were asked for, each in its format."""

import contextlib
import io
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from dzbgp.console.formats import Output
from dzbgp.console.stdout import CandidConsole, forget
from dzbgp.errors import UsageError
from dzbgp.models.report import Report

log = logging.getLogger(__name__)

_FILE_WIDTH = 200
"""Columns of a table in a file, where there is no terminal to ask."""


@dataclass(frozen=True, slots=True)
class Destination:
    """One place for the report. `file` None: stdout."""

    output: Output
    file: Path | None = None
    option: str = ""
    """What the user has written, for messages."""


def destinations(outputs: Sequence[str] | None, report_file: Path | None = None) -> tuple[Destination, ...]:
    """Gives the places that --output and --report-file name: files first, stdout last. Raises UsageError.

    Stdout gets the table when no --output names another format for it.
    """
    given = [_destination(text) for text in outputs or ()]
    if report_file is not None:
        given.append(Destination(Output.JSON, report_file, f"--report-file {report_file}"))
    files = [place for place in given if place.file is not None]
    printed = [place for place in given if place.file is None]
    if len(printed) > 1:
        both = " and ".join(place.option for place in printed)
        raise UsageError(f"{both}: stdout takes one format; expected a file for the others, FORMAT=FILE")
    seen: dict[Path, Destination] = {}
    for place in files:
        path = Path(os.path.realpath(place.file or ""))
        other = seen.setdefault(path, place)
        if other is not place:
            raise UsageError(f"{other.option} and {place.option}: expected a file of its own for each")
    return (*files, *(printed or [Destination(Output.TABLE)]))


def check(places: Sequence[Destination]) -> None:
    """Finds out before anything is written onchain that a report would have nowhere to go. Raises UsageError."""
    for place in places:
        if place.file is not None and not _can_be_written(place.file):
            raise UsageError(f"{place.option}: expected a file in a directory that can be written to")


def deliver(report: Report, places: Sequence[Destination], *, show_all: bool) -> bool:
    """Saves and prints the report; says whether all went well.

    Raises nothing: by now there may be writes, and they stay written.
    """
    try:
        # All of them: one that fails does not keep the others from theirs.
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
            "%s: a fault of dzbgp's own (%s); --verbose shows where. Please report it. What the pass wrote is written",
            place.option or "stdout",
            type(error).__name__,
        )
        return False


def rendered(report: Report, output: Output, *, show_all: bool) -> str:
    """Gives the report as text, without a final newline."""
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
        raise UsageError(f"{option}: {name!r} is no format; expected one of {known}") from None
    if equals and not path:
        raise UsageError(f"{option}: expected a file after the equals sign")
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
        # Markdown and HTML know such references; JSON is plain ASCII.
        encoding = sys.stdout.encoding or "utf-8"
        typer.echo(text.encode(encoding, "xmlcharrefreplace").decode(encoding))
    except BrokenPipeError:
        # Whoever read the report has seen enough of it.
        forget(sys.stdout)
    except OSError as error:
        log.error("stdout: the report could not be printed: %s", error.strerror)  # noqa: TRY400 - one line
        forget(sys.stdout)
        return False
    return True


def _save(text: str, place: Destination, file: Path) -> bool:
    """Replaces `file` as a whole: nobody reads half a report."""
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        fresh.write_text(text + "\n", encoding="utf-8")
        fresh.replace(file)
    except OSError as error:
        log.error("%s: %s", place.option, error.strerror)  # noqa: TRY400 - one line
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        return False
    return True
