"""The result of a pass, as the library returns it."""

from dataclasses import dataclass
from typing import Any

from dzbgp.models.json_schema import document
from dzbgp.models.pass_result import PassResult


@dataclass(frozen=True, slots=True)
class Report(PassResult):
    """Everything that one pass found and did; each format of dzbgp/report prints this only."""

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON report's document, schema_version 1."""
        return document(self)
