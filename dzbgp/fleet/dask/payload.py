"""What is sent to the workers: the task and its arguments. They answer with plain data."""

import pickle
import uuid
from collections.abc import Callable, Sequence

from nornir.core.task import Task

from dzbgp.fleet.dask.recipe import Recipe
from dzbgp.fleet.dask.work import Answer, Work


def call_of(
    task: Task, recipe: Recipe, key: str, most: int, *, keeps: bool
) -> Callable[[Sequence[str]], Answer]:
    """Return the function that a worker runs for some hosts.

    It is sent by value. A worker that cannot unpickle what it is sent ends, and a cluster that others use too may
    have workers without this package: these say so in plain data. Dask does not log what a function encloses.
    """
    import cloudpickle  # noqa: PLC0415 - with the extra

    call = cloudpickle.dumps((task.task, task.params))
    work = Work(
        task.name, task.severity_level, task.global_dry_run, uuid.uuid4().hex, key, recipe, most, keeps, call
    )
    packed = pickle.dumps(work)

    def ask_hosts(names: Sequence[str]) -> Answer:
        try:
            from dzbgp.fleet.dask.worker import ask  # noqa: PLC0415 - on the worker

            return ask(names, packed)
        except Exception as error:  # noqa: BLE001 - whatever another version raises
            from distributed import get_worker  # noqa: PLC0415 - on the worker

            words = f": {error}" if isinstance(error, ImportError) else ""
            return get_worker().address, {}, type(error).__name__ + words, ()

    return ask_hosts
