"""The formats that a reading command prints."""

from enum import StrEnum


class Format(StrEnum):
    """A format of a listing."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


class AuditFormat(StrEnum):
    """A format of an audit."""

    TABLE = "table"
    JSON = "json"


class Output(StrEnum):
    """A format of the report."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"
    HTML = "html"
