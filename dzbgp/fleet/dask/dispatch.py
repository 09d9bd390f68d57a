"""Dispatches the hosts of one task to the workers, and takes in their answers. What runs where is Dask's decision."""

import concurrent.futures
import contextlib
import logging
import queue
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from nornir.core.inventory import Host
from nornir.core.task import MultiResult, Result, Task

from dzbgp.errors import ClusterError
from dzbgp.fleet.dask.client import LOOK_S, Cluster, one_line
from dzbgp.fleet.dask.payload import Payload
from dzbgp.fleet.dask.pickling import unpack
from dzbgp.fleet.dask.work import Answer

if TYPE_CHECKING:
    from distributed import Future

log = logging.getLogger(__name__)

_SHARES = 8
"""Into how many calls a worker's part of the hosts is cut: fewer cost less, more are spread more evenly."""


class Dispatcher:
    """One run of a task on the workers."""

    def __init__(self, cluster: Cluster, payload: Payload, task: Task, homes: dict[str, str]) -> None:
        """`homes`: the worker that ran a host last, which is where it goes again; kept up to date."""
        self._cluster = cluster
        self._payload = payload
        self._task = task
        self._homes = homes
        self._started: dict[str, Task] = {}
        """By host: its own copy of the task."""
        self._results: dict[str, MultiResult] = {}
        self._calls: dict[Future[Any], tuple[Sequence[str], str | None]] = {}
        """The hosts of each, and the worker that it was sent to."""
        self._answers: queue.SimpleQueue[tuple[Future[Any], concurrent.futures.Future[list[Any]]]] = (
            queue.SimpleQueue()
        )
        self._unfit: dict[str, str] = {}
        """Workers that cannot begin with any host, and why."""
        self._refused: defaultdict[str, dict[str, str]] = defaultdict(dict)
        """By host: workers that cannot begin with it, and why."""
        self._any_begun = False
        self._why = ""
        """Why the first host failed that no worker could begin with."""

    def run(self, hosts: Sequence[Host]) -> dict[str, MultiResult]:
        """Return the results of every host by its name. Raises ClusterError when no worker could begin with any."""
        for host in hosts:
            task = self._started[host.name] = self._task.copy()
            task.host = host
            task.processors.task_instance_started(task, host)
        try:
            self._cluster.count()
            for names, home in self._shares():
                self._send(names, home)
            while self._calls:
                self._receive()
        except ClusterError as error:
            if not self._any_begun:
                raise
            for name in self._started.keys() - self._results.keys():
                self._fail(name, str(error))
        finally:
            self._withdraw()
        if not self._any_begun:
            raise ClusterError(self._why)
        return self._results

    def _shares(self) -> Iterator[tuple[Sequence[str], str | None]]:
        """Cut the hosts into those that are sent together, each with its home if that is still there."""
        workers = self._cluster.workers
        share = len(self._started) // (_SHARES * max(1, len(workers)))
        size = min(max(1, share), self._payload.most)
        by_home: defaultdict[str | None, list[str]] = defaultdict(list)
        for name in self._started:
            home = self._homes.get(name)
            by_home[home if home in workers else None].append(name)
        for home, names in by_home.items():
            for start in range(0, len(names), size):
                yield names[start : start + size], home

    def _send(self, names: Sequence[str], worker: str | None = None) -> None:
        """Send hosts to `worker`, or to any that has not refused them."""
        able = [worker] if worker else self._able(names) if self._unfit or self._refused else []
        key = f"{self._task.name}-{uuid.uuid4().hex}"
        future = self._cluster.submit(self._payload.call(names), key, able)
        self._calls[future] = names, worker
        self._cluster.fetch(future).add_done_callback(lambda fetched: self._answers.put((future, fetched)))

    def _able(self, names: Iterable[str]) -> list[str]:
        refused = self._unfit.keys() | {worker for name in names for worker in self._refused.get(name, ())}
        return [worker for worker in self._cluster.workers if worker not in refused]

    def _receive(self) -> None:
        """Wait for the next answer, but not for long: the workers are counted now and then."""
        self._cluster.count()
        if self._unfit and self._cluster.workers and not self._able(()):
            raise ClusterError(next(iter(self._unfit.values())))
        try:
            future, fetched = self._answers.get(timeout=LOOK_S)
        except queue.Empty:
            return
        names, worker = self._calls.pop(future)
        try:
            found = fetched.result()
        except (OSError, concurrent.futures.CancelledError) as error:
            raise self._cluster.lost(one_line(error)) from None
        except Exception as error:
            log.debug("%s", future, exc_info=True)
            self._take_failure(error, names, worker)
        else:
            if found:
                answer = found[0]
                self._take(Answer(*answer) if isinstance(answer, tuple) else answer, names)
            else:
                self._take_failure(self._cluster.error_of(future), names, worker)
        future.release()

    def _take(self, answer: Answer, names: Sequence[str]) -> None:
        if answer.unfit:
            self._unfit[answer.worker] = f"worker {answer.worker}: {answer.unfit}"
            self._send(names)
            return
        for name in names:
            if name in answer.results:
                self._any_begun = True
                self._homes[name] = answer.worker
                self._end(name, self._unpacked(answer, name))
            elif name in answer.unknown:
                refused = self._refused[name]
                refused[answer.worker] = f"worker {answer.worker}: its inventory has no host {name!r}"
                if self._able([name]):
                    self._send([name])
                else:
                    self._fail(name, next(iter(refused.values())))
            else:
                self._send([name], answer.worker if name in answer.running else None)

    def _take_failure(self, error: BaseException, names: Sequence[str], worker: str | None) -> None:
        if type(error).__name__ != "KilledWorker":
            for name in names:
                self._fail(name, f"the cluster could not ask {name!r}: {type(error).__name__}")
            return
        self._any_begun = True
        if len(names) == 1 and worker is None:
            self._fail(names[0], f"each worker that asked {names[0]!r} was lost; the scheduler tries no more")
            return
        # To Dask, what waited on a lost worker is as suspicious as what ran there. By itself it is not.
        for name in names:
            self._send([name])

    def _withdraw(self) -> None:
        """Cancel what is still under way."""
        with contextlib.suppress(ClusterError):
            self._cluster.cancel(list(self._calls))
        self._calls.clear()

    def _unpacked(self, answer: Answer, name: str) -> MultiResult:
        def host_of(other: str) -> Host | None:
            task = self._started.get(other)
            return task.host if task else None

        try:
            return unpack(answer.results[name], host_of)
        except Exception as error:
            log.debug("host %s", name, exc_info=True)
            return self._failed(
                name, f"the result of worker {answer.worker} cannot be read: {one_line(error)}"
            )

    def _fail(self, name: str, why: str) -> None:
        self._why = self._why or why
        self._end(name, self._failed(name, why))

    def _failed(self, name: str, why: str) -> MultiResult:
        result = Result(
            self._started[name].host,
            why,
            failed=True,
            exception=ClusterError(why),
            severity_level=logging.ERROR,
        )
        named: Any = result
        named.name = self._task.name  # typed as None, which it is until the task is run
        results = MultiResult(self._task.name)
        results.append(result)
        return results

    def _end(self, name: str, results: MultiResult) -> None:
        task = self._started[name]
        task.results = self._results[name] = results
        task.processors.task_instance_completed(task, task.host, results)
