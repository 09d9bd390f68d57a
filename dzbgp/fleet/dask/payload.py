"""What is sent to the workers: the task, its arguments, and which hosts to run it for."""

import pickle
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nornir.core.task import Task

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


class Payload:
    """A task as it is sent with each group of hosts. `most`: how many hosts a worker runs at once."""

    def __init__(self, task: Task, recipe: Recipe, key: str, most: int, *, keeps: bool) -> None:
        import cloudpickle  # noqa: PLC0415 - with the extra

        self.most = most
        call = cloudpickle.dumps((task.task, task.params))
        run = uuid.uuid4().hex
        work = Work(task.name, run, task.severity_level, task.global_dry_run, key, recipe, most, keeps, call)
        self._work = pickle.dumps(work)

    def call(self, hosts: Sequence[str]) -> Callable[[], Any]:
        """Return the function that a worker runs for these hosts. It gives an `Answer`, or a tuple of its fields.

        It is sent by value. A worker that cannot unpickle what it is sent ends, and a cluster that others use too may
        have workers without this package: these say so in plain data. Dask does not log what a function encloses.
        """
        work = self._work

        def ask_hosts() -> Any:
            try:
                from dzbgp.fleet.dask.worker import ask  # noqa: PLC0415 - on the worker

                return ask(hosts, work)
            except Exception as error:  # noqa: BLE001 - whatever another version raises
                from distributed import get_worker  # noqa: PLC0415 - on the worker

                words = f": {error}" if isinstance(error, ImportError) else ""
                return get_worker().address, {}, type(error).__name__ + words

        return ask_hosts
