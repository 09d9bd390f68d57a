"""The formats of a command's result."""

from enum import StrEnum


class Output(StrEnum):
    """A format of the report of a run."""

    TABLE = "table"
    TSV = "tsv"
    JSON = "json"
    MARKDOWN = "markdown"
    HTML = "html"
    JUNIT = "junit"


class ListingOutput(StrEnum):
    """A format of a listing."""

    TABLE = "table"
    TSV = "tsv"
    JSON = "json"
    CSV = "csv"


class FindingsOutput(StrEnum):
    """A format of what a check or an audit found."""

    TABLE = "table"
    TSV = "tsv"
    JSON = "json"
    JUNIT = "junit"
