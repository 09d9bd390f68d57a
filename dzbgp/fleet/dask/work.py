"""What a worker is given, and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from dzbgp.fleet.dask.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Work:
    """What all hosts of a run have in common. What may hold a secret has no repr."""

    name: str
    run: str
    """Names this run of the task."""
    severity_level: int
    dry_run: bool
    key: str
    """Names the recipe: the same key, the same Nornir."""
    recipe: Recipe = field(repr=False)
    most: int
    """How many hosts to run at once."""
    keeps: bool
    """Whether connections stay open after a task that went well: the next run sends the host here again."""
    call: bytes = field(repr=False)
    """A pickled pair: the task's function and its arguments."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of it."""

    worker: str
    """The worker's address."""
    results: Mapping[str, bytes] = field(repr=False)
    """Packed, by host."""
    unfit: str = ""
    """Why the worker could not begin with any host."""
    running: tuple[str, ...] = ()
    """Hosts that are still being asked: to be sent here again, one by one."""
    unknown: tuple[str, ...] = ()
    """Hosts that this worker's inventory does not have."""
