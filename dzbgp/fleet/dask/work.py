"""What a worker is given, and what it answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dzbgp.fleet.dask.recipe import Recipe

Answer = tuple[str, Mapping[str, bytes], str, Sequence[str]]
"""The worker's address, the packed results by host, why it could not begin with any, and whom to ask it for again."""


@dataclass(frozen=True, slots=True)
class Work:
    """What all hosts of a run have in common. What may hold a secret has no repr."""

    name: str
    severity_level: int
    dry_run: bool
    run: str
    """Names this run of the task."""
    key: str
    """Names the recipe: the same key, the same Nornir."""
    recipe: Recipe = field(repr=False)
    most: int
    """How many hosts to run at once."""
    keeps: bool
    """Whether connections stay open after a task that went well: the next run sends the host here again."""
    call: bytes = field(repr=False)
    """A pickled pair: the task's function and its arguments."""
