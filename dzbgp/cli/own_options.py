"""The options that only the command line has: what it says, in which formats, where to; and the lab.

Light: this is read for `--help` too.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from dzbgp.console.formats import FindingsOutput, ListingOutput, Output
from dzbgp.console.option import DAILY, DEVICES, REPORT, apart, option, repeated
from dzbgp.errors import UsageError

_DEFAULT_FORMAT = "table, or tsv if stdout is not a terminal"


def _outputs(formats: type[StrEnum], help: str, key: str = "") -> Any:  # noqa: A002
    """Declare --output, each mention of which names a format and perhaps a file."""
    return repeated(
        DAILY,
        help,
        "output",
        "FORMAT[=FILE]",
        short="-o",
        key=key,
        completion=lambda _: formats,
        split=apart(rf"(?:{'|'.join(formats)})\s*(?:[=,\n]|$)"),
    )


class LogLevel(StrEnum):
    """The least of what is logged."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"
    DEBUG = "debug"


class LogFormat(StrEnum):
    """How the lines on stderr look."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, kw_only=True)
class Logging:
    """What a command says on stderr."""

    verbose: int = option(
        0,
        DAILY,
        "Log everything; -vv: also messages of libraries.",
        short="-v",
        metavar="",
        is_counted=True,
    )
    quiet: bool = option(False, REPORT, "Log errors only; no progress bar.", short="-q")
    log_level: LogLevel | None = option(
        None,
        REPORT,
        "Log level: error, warning, info or debug.",
        metavar="LEVEL",
        shown_default="info",
    )
    log_format: LogFormat = option(LogFormat.TEXT, REPORT, "Log format on stderr.")
    command: str = field(default="", compare=False)
    """The command that is run, which the line under a usage error names."""


@dataclass(frozen=True, kw_only=True)
class ReportOutputs:
    """Where reports go, and in which formats."""

    outputs: tuple[str, ...] = _outputs(Output, "table, tsv, json, markdown, html, junit. Repeatable.")


@dataclass(frozen=True, kw_only=True)
class ReportOptions(ReportOutputs):
    """Where the report of a run goes, and in which format."""

    report_file: Path | None = option(
        None, REPORT, "Also write the JSON report to this file.", metavar="PATH"
    )
    metrics_textfile: Path | None = option(
        None,
        REPORT,
        "Also write metrics for node_exporter to this file.",
        metavar="PATH",
    )
    show_all: bool = option(False, REPORT, "Also show users without an action.", name="all")
    exit_code: bool = option(False, REPORT, "Exit with 5 if a dry run has changes.")


@dataclass(frozen=True, kw_only=True)
class ListingFormat:
    """The format of a listing."""

    output: ListingOutput | None = option(
        None,
        DAILY,
        "Output format.",
        short="-o",
        shown_default=_DEFAULT_FORMAT,
        key="listing-output",
    )
    json: bool = option(False, DAILY, "Print a JSON array of the rows.")
    wide: bool = option(False, REPORT, "Show all columns.")

    @property
    def format(self) -> ListingOutput | None:
        """What --output says. Raises UsageError where --json says something else."""
        if self.json and self.output not in {None, ListingOutput.JSON}:
            raise UsageError(
                f"--json: cannot be combined with --output {self.output}; expected one of the two"
            )
        return self.output


@dataclass(frozen=True, kw_only=True)
class AuditOutput:
    """The format of what audit and check found."""

    outputs: tuple[str, ...] = _outputs(
        FindingsOutput, "table, tsv, json or junit. Repeatable.", "findings-output"
    )
    json: bool = option(False, DAILY, "Same as --output json.")

    @property
    def places(self) -> tuple[str, ...]:
        """What --output and --json say."""
        return (*self.outputs, *[FindingsOutput.JSON.value] * self.json)


@dataclass(frozen=True, kw_only=True)
class LabChoice:
    """Whether the lab stands in for the network."""

    lab: bool = option(
        False,
        DEVICES,
        "Use simulated devices and a local ledger.",
        replaces_file=True,
    )
