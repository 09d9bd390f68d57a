"""What is sent to the workers: the task, its arguments, and which hosts to run it for."""

import pickle
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from nornir.core.task import Task

from dzbgp.fleet.dask.recipe import Recipe
from dzbgp.fleet.dask.work import Work


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
