"""What is sent to the workers with each host."""

import pickle
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nornir.core.task import Task

from dzbgp.fleet.dask.pickling import common, narrowed
from dzbgp.fleet.dask.recipe import Recipe

if TYPE_CHECKING:
    from distributed import Client, Future

    from dzbgp.fleet.dask.worker import Answer


class Shipment:
    """What is sent with each host."""

    def __init__(self, task: Task, recipe: Recipe, key: str, address: str) -> None:
        import cloudpickle  # noqa: PLC0415 - with the extra

        from dzbgp.fleet.dask.worker import Work  # noqa: PLC0415 - it needs the extra

        self.task = task
        self.address = address
        call = cloudpickle.dumps((task.task, common(task.params)))
        work = Work(task.name, task.severity_level, task.global_dry_run, key, recipe, call)
        self._work = pickle.dumps(work)

    def submitted(self, client: "Client", host: str, worker: str) -> "Future[Answer]":
        """Sends one host's part to a worker; where that is lost, any other takes it over."""
        future: Future[Answer] = client.submit(
            _asking(host, pickle.dumps(narrowed(self.task.params, host)), self._work),
            key=f"{self.task.name}-{host}-{uuid.uuid4().hex}",
            pure=False,
            workers=[worker],
            allow_other_workers=True,
        )
        return future


def _asking(host: str, own: bytes, work: bytes) -> Callable[[], Any]:
    """Gives a function that travels by value.

    A worker that can not take in what it is sent ends, and on a cluster that others use too there may be some without
    this package: those say so, in plain data, with the address of the one that was really asked. Nor does Dask log what
    a function encloses.
    """

    def ask_host() -> Any:
        from distributed import get_worker, secede  # noqa: PLC0415 - on the worker

        # Before the first import, which takes its time: what waits behind it could go to a worker without the package.
        secede()
        try:
            from dzbgp.fleet.dask.worker import ask  # noqa: PLC0415
        except ImportError as error:
            return get_worker().address, f"{type(error).__name__}: {error}"
        return ask(host, own, work)

    return ask_host
