"""Tab-separated lines for pipes: one a row, without a header, the same fields in the same order on any terminal."""

from collections.abc import Iterable, Sequence

from dzbgp.errors import one_line


def tsv(rows: Iterable[Sequence[object]]) -> str:
    """Return a line a row, without a final newline. No value is an empty field, a list is separated by blanks."""
    return "\n".join("\t".join(map(_field, row)) for row in rows)


def _field(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return " ".join(map(one_line, value))
    return one_line(value)
