"""Where a command's result goes: stdout, and each file that was asked for, each in its format."""

import io
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from rich.console import Console

from dzbgp.console.files import replace_file
from dzbgp.console.stdout import CandidConsole, print_result
from dzbgp.errors import ExitCode, UsageError, internal_error

log = logging.getLogger(__name__)

TABLE, TSV = "table", "tsv"
_FILE_WIDTH = 200
"""Columns of a table in a file."""

Show = Callable[[Console], None]
"""Prints the table on a console."""
Render = Callable[[str], str]
"""Returns the text of another format, without a final newline."""


@dataclass(frozen=True, slots=True)
class Destination:
    """One place for the result. `file` None: stdout."""

    output: str
    """The format; empty: the table on a terminal, else TSV."""
    file: Path | None = None
    option: str = ""
    """What the user wrote, for messages."""

    @property
    def format(self) -> str:
        """The format, with the default found out."""
        if self.output:
            return self.output
        return TABLE if sys.stdout and CandidConsole(file=sys.stdout).is_terminal else TSV


def destinations(
    outputs: Sequence[str], formats: type[StrEnum], json_file: Path | None = None
) -> tuple[Destination, ...]:
    """Return the places that --output and --report-file name: files first, stdout last. Raises UsageError.

    Stdout has the default format unless an --output names another one for it.
    """
    given = [_destination(text, formats) for text in outputs]
    if json_file is not None:
        given.append(Destination("json", json_file, f"--report-file {json_file}"))
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
    return (*files, *(printed or [Destination("")]))


def check_files(places: Sequence[Destination]) -> None:
    """Test, before anything is done, that every file can be written. Raises UsageError."""
    for place in places:
        if place.file is not None and not _can_be_written(place.file):
            raise UsageError(
                f"{place.option}: the file cannot be written: expected a file in a writable directory"
            )


def deliver(places: Sequence[Destination], show: Show, render: Render) -> bool:
    """Save and print the result; return whether every destination has it.

    Raises nothing: there may be writes onchain by now, and they stay written.
    """
    try:
        # A destination that fails must not keep the result from the others.
        failed = [place for place in places if not _is_delivered(place, show, render)]
    except KeyboardInterrupt:
        log.error("interrupted while printing the report; the writes of this pass are done")  # noqa: TRY400
        return False
    return not failed


def as_text(output: str, show: Show, render: Render) -> str:
    """Return the result in a format as text, without a final newline."""
    if output != TABLE:
        return render(output)
    text = io.StringIO()
    show(CandidConsole(file=text, width=_FILE_WIDTH))
    return text.getvalue().removesuffix("\n")


def _is_delivered(place: Destination, show: Show, render: Render) -> bool:
    try:
        if place.file is None:
            return _is_printed(place.format, show, render)
        return _is_saved(as_text(place.format, show, render), place, place.file)
    except Exception as error:
        log.debug("the report ended here", exc_info=True)
        log.error(  # noqa: TRY400 - one line
            "%s: %s. The writes of this pass are done",
            place.option or "stdout",
            internal_error(error),
        )
        return False


def _is_printed(output: str, show: Show, render: Render) -> bool:
    def show_rendered(_: Console) -> None:
        if text := render(output):
            # Markdown, HTML and XML have such references; JSON is plain ASCII.
            encoding = sys.stdout.encoding or "utf-8"
            print(text.encode(encoding, "xmlcharrefreplace").decode(encoding))  # noqa: T201 - the result

    return print_result(show if output == TABLE else show_rendered) is ExitCode.OK


def _is_saved(text: str, place: Destination, file: Path) -> bool:
    try:
        replace_file(file, f"{text}\n".encode() if text else b"")
    except OSError as error:
        log.error("%s: %s", place.option, error.strerror)  # noqa: TRY400 - one line
        return False
    return True


def _can_be_written(file: Path) -> bool:
    try:
        if file.exists() and not file.is_file():
            return False
        return file.parent.is_dir() and os.access(file.parent, os.W_OK)
    except OSError:
        return False


def _destination(text: str, formats: type[StrEnum]) -> Destination:
    name, equals, path = text.partition("=")
    option = f"--output {text}"
    if name not in list(formats):
        raise UsageError(f"{option}: unknown format {name!r}: expected one of {', '.join(formats)}")
    if equals and not path:
        raise UsageError(f"{option}: the file is missing: expected FORMAT=FILE")
    return Destination(name, Path(path) if equals else None, option)
