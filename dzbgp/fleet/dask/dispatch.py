"""Dispatches the hosts of one task to the workers, and takes in their answers. What runs where is Dask's decision."""

import concurrent.futures
import contextlib
import logging
import queue
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from nornir.core.inventory import Host
from nornir.core.task import MultiResult, Result, Task

from dzbgp.errors import ClusterError
from dzbgp.fleet.dask.client import LOOK_S, Cluster, one_line
from dzbgp.fleet.dask.pickling import unpack
from dzbgp.fleet.dask.work import Answer

if TYPE_CHECKING:
    from distributed import Future

log = logging.getLogger(__name__)

_SHARES = 8
"""Into how many shares a worker's part of the hosts is cut: fewer cost less, more are spread more evenly."""


@dataclass(frozen=True, slots=True)
class _Share:
    """Hosts that are sent together."""

    names: Sequence[str]
    home: str | None = None
    """The worker that ran them last, if they are sent there."""
    refusals: Mapping[str, str] = field(default_factory=dict)
    """By worker that could not begin with them: why."""


class Dispatcher:
    """One run of a task on the workers."""

    def __init__(
        self,
        cluster: Cluster,
        call: Callable[[Sequence[str]], Answer],
        most: int,
        task: Task,
        homes: dict[str, str],
    ) -> None:
        """`most`: how many hosts a worker runs at once. `homes`, kept up to date: the worker that ran a host last."""
        self._cluster = cluster
        self._call = call
        self._most = most
        self._task = task
        self._homes = homes
        self._started: dict[str, Task] = {}
        """By host: its own copy of the task."""
        self._results: dict[str, MultiResult] = {}
        self._calls: dict[Future[Answer], _Share] = {}
        self._answers: queue.SimpleQueue[tuple[Future[Answer], concurrent.futures.Future[list[Answer]]]] = (
            queue.SimpleQueue()
        )
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
            self._cut()
            while self._calls:
                # A scheduler may hang, and its last worker may be lost.
                self._cluster.count()
                with contextlib.suppress(queue.Empty):
                    self._receive(*self._answers.get(timeout=LOOK_S))
        except ClusterError as error:
            if not self._any_begun:
                raise
            for name in self._started.keys() - self._results.keys():
                self._fail(name, str(error))
        finally:
            self._cluster.cancel(list(self._calls))
        if not self._any_begun:
            raise ClusterError(self._why)
        return self._results

    def _cut(self) -> None:
        """Send all hosts of a home in one share, and the others in shares that can be spread evenly."""
        workers = self._cluster.workers
        by_home: defaultdict[str | None, list[str]] = defaultdict(list)
        for name in self._started:
            home = self._homes.get(name)
            by_home[home if home in workers else None].append(name)
        anywhere = by_home.pop(None, [])
        size = min(max(1, len(anywhere) // (_SHARES * max(1, len(workers)))), self._most)
        self._send([_Share(anywhere[at : at + size]) for at in range(0, len(anywhere), size)], [])
        for home, names in by_home.items():
            self._send([_Share(names, home)], [str(home)])

    def _send(self, shares: Sequence[_Share], workers: list[str]) -> None:
        names = [share.names for share in shares]
        for future, share in zip(
            self._cluster.start(self._call, names, self._task.name, workers), shares, strict=True
        ):
            self._calls[future] = share
            self._cluster.fetch(future).add_done_callback(partial(self._put, future))

    def _put(self, future: "Future[Answer]", fetched: concurrent.futures.Future[list[Answer]]) -> None:
        self._answers.put((future, fetched))

    def _receive(self, future: "Future[Answer]", fetched: concurrent.futures.Future[list[Answer]]) -> None:
        share = self._calls.pop(future)
        try:
            [(worker, results, why, slow)] = fetched.result()
        except (OSError, concurrent.futures.CancelledError) as error:
            raise self._cluster.lost(one_line(error)) from None
        except Exception as error:
            log.debug("%s", future, exc_info=True)
            self._take_failure(error, share)
            return
        for name, packed in results.items():
            self._any_begun = True
            self._homes[name] = worker
            self._end(name, self._unpacked(packed, name, worker))
        if slow:
            self._send([_Share(slow, worker)], [worker])
        if left := [name for name in share.names if name not in results and name not in slow]:
            why = why or f"its inventory has no host {left[0]!r}"
            refusals = {**share.refusals, worker: f"worker {worker}: {why}"}
            if able := [one for one in self._cluster.workers if one not in refusals]:
                self._send([_Share(left, None, refusals)], able)
            else:
                for name in left:
                    self._fail(name, next(iter(refusals.values())))

    def _take_failure(self, error: Exception, share: _Share) -> None:
        if type(error).__name__ != "KilledWorker":
            for name in share.names:
                self._fail(name, f"the cluster could not ask {name!r}: {type(error).__name__}")
            return
        self._any_begun = True
        if len(share.names) == 1 and share.home is None:
            [name] = share.names
            self._fail(name, f"each worker that asked {name!r} was lost; the scheduler does not retry")
            return
        # To Dask, what waited on a lost worker is as suspicious as what ran there. By itself it is not.
        self._send([_Share([name], None, share.refusals) for name in share.names], [])

    def _unpacked(self, packed: bytes, name: str, worker: str) -> MultiResult:
        def host_of(other: str) -> Host | None:
            task = self._started.get(other)
            return task.host if task else None

        try:
            return unpack(packed, host_of)
        except Exception as error:
            log.debug("host %s", name, exc_info=True)
            return self._failed(name, f"the result of worker {worker} cannot be read: {one_line(error)}")

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
