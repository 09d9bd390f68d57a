"""One task's way to the workers: its hosts are dealt to them, and their answers taken in."""

import asyncio
import contextlib
import logging
import pickle
import queue
import time
import uuid
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nornir.core.inventory import Host
from nornir.core.task import MultiResult, Result, Task

from dzbgp.cluster.recipe import Recipe
from dzbgp.cluster.travel import common, narrowed, unpack
from dzbgp.errors import ClusterError

if TYPE_CHECKING:
    from distributed import Client, Future

    from dzbgp.cluster.worker import Answer

log = logging.getLogger(__name__)

_ENDED = frozenset({"error", "cancelled"})
_LOOK_S = 1.0
"""How often the cluster's workers are counted."""


class Shipment:
    """What is sent with each host."""

    def __init__(self, task: Task, recipe: Recipe, key: str, address: str) -> None:
        import cloudpickle  # noqa: PLC0415 - with the extra

        from dzbgp.cluster.worker import Work  # noqa: PLC0415 - it needs the extra

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
    this package: to those it is an error of the task. Nor does Dask log what a function encloses.
    """

    def ask_host() -> Any:
        from dzbgp.cluster.worker import ask  # noqa: PLC0415 - on the worker

        return ask(host, own, work)

    return ask_host


@dataclass(frozen=True, slots=True)
class _Seat:
    """A host that a worker has."""

    host: Host
    worker: str


class _Workers:
    """The cluster's workers, counted every now and then."""

    def __init__(self, client: "Client") -> None:
        self._client = client
        self._present: tuple[str, ...] = ()
        self._looked = 0.0
        self._seen = time.monotonic()
        self.unfit: dict[str, str] = {}
        """Workers that could not build their Nornir, and why."""

    def look(self) -> None:
        """Counts them, if that is due."""
        now = time.monotonic()
        if now - self._looked >= _LOOK_S or not self._present:
            self._present = tuple(self._client.nthreads())
            self._looked = time.monotonic()
            if self._present:
                self._seen = self._looked

    def fit(self) -> list[str]:
        """Gives those that can be of use."""
        return [worker for worker in self._present if worker not in self.unfit]

    @property
    def all_unfit(self) -> bool:
        """Whether there are workers, and none that can be of use."""
        return bool(self._present) and not self.fit()

    @property
    def gone_s(self) -> float:
        """For how long there was none."""
        return 0.0 if self._present else time.monotonic() - self._seen


class Deal:
    """One task, dealt to the workers host by host."""

    def __init__(self, client: "Client", shipment: Shipment, most: int, patience_s: float) -> None:
        self._client = client
        self._shipment = shipment
        self._most = most
        self._patience_s = patience_s
        self._workers = _Workers(client)
        self._waiting: deque[Host] = deque()
        self._refused: defaultdict[str, dict[str, str]] = defaultdict(dict)
        """By host: the workers that do not have it in their inventory, and what they say."""
        self._seats: dict[Future[Answer], _Seat] = {}
        self._landed: queue.SimpleQueue[Future[Answer]] = queue.SimpleQueue()
        self._started: dict[str, Task] = {}
        self._found: dict[str, MultiResult] = {}
        self._hosts: dict[str, Host] = {}
        self._first_failure = ""
        self._raised: BaseException | None = None
        """What a processor raised: that is the caller's own."""
        self._begun = False
        """Whether any worker could begin with any host."""

    def run(self, hosts: Sequence[Host]) -> dict[str, MultiResult]:
        """Gives the results of every host by its name. Raises ClusterError when nobody could begin with any."""
        self._waiting.extend(hosts)
        self._hosts.update((host.name, host) for host in hosts)
        try:
            while self._waiting or self._seats:
                self._workers.look()
                self._give_up()
                self._deal()
                self._take(self._arrived())
        except (OSError, CancelledError, Exception) as error:
            # Dask's own for a client that is closed is no OSError.
            is_cluster = isinstance(error, OSError | CancelledError) or self._client.status != "running"
            if error is self._raised or isinstance(error, ClusterError) or not is_cluster:
                raise
            log.debug("scheduler %s", self._address, exc_info=True)
            self._fail_all(f"scheduler {self._address}: the connection is lost: {innermost(error)}")
        finally:
            self._withdraw()
        if not self._begun:
            raise ClusterError(self._first_failure)
        return self._found

    @property
    def _address(self) -> str:
        return self._shipment.address

    def _give_up(self) -> None:
        """Ends what nobody can do."""
        if self._client.status != "running":
            self._fail_all(f"scheduler {self._address}: the connection is lost")
        elif self._workers.all_unfit:
            self._fail_all(next(iter(self._workers.unfit.values())))
        elif self._workers.gone_s >= self._patience_s:
            self._fail_all(f"scheduler {self._address}: it has had no worker for {self._patience_s:g} s")

    def _fail_all(self, why: str) -> None:
        if not self._begun:
            raise ClusterError(why)
        self._withdraw()
        self._waiting.clear()
        for name, host in self._hosts.items():
            if name not in self._found:
                self._fail(host, ClusterError(why))

    def _withdraw(self) -> None:
        futures = list(self._seats)
        self._seats.clear()
        if futures and self._client.status == "running":
            with contextlib.suppress(OSError, CancelledError):
                self._client.cancel(futures, force=True)

    def _deal(self) -> None:
        """Gives waiting hosts to the workers that have the fewest."""
        loads = Counter(seat.worker for seat in self._seats.values())
        fit = self._workers.fit()
        for _ in range(len(self._waiting)):
            host = self._waiting[0]
            refused = self._refused[host.name]
            able = [worker for worker in fit if worker not in refused]
            worker = min(able, key=lambda one: loads[one], default=None)
            if worker is None and fit:
                self._waiting.popleft()
                self._fail(host, ClusterError(next(iter(refused.values()))))
            elif worker is None or loads[worker] >= self._most:
                return
            else:
                self._waiting.popleft()
                loads[worker] += 1
                self._send(host, worker)

    def _send(self, host: Host, worker: str) -> None:
        self._task_of(host)
        future = self._shipment.submitted(self._client, host.name, worker)
        self._seats[future] = _Seat(host, worker)
        future.add_done_callback(self._landed.put)

    def _arrived(self) -> list["Future[Answer]"]:
        """Waits for the next futures that are done, but not for long."""
        try:
            found = [self._landed.get(timeout=_LOOK_S)]
        except queue.Empty:
            return []
        with contextlib.suppress(queue.Empty):
            while True:
                found.append(self._landed.get_nowait())
        return [future for future in found if future in self._seats]

    def _take(self, futures: Sequence["Future[Answer]"]) -> None:
        """Takes in what the workers say."""
        # One that is lost since it was finished is under way again, and waited for like the others.
        answers = self._gathered([future for future in futures if future.status not in _ENDED])
        if answers is None:
            for future in futures:
                self._landed.put(future)
            return
        for future in futures:
            seat = self._seats.pop(future)
            answer = answers.get(future)
            if answer is None:
                self._take_failure(future, seat)
            elif answer.refused:
                refusals = self._workers.unfit if answer.unfit else self._refused[seat.host.name]
                refusals[answer.worker] = answer.refused
                self._waiting.append(seat.host)
            else:
                self._begun = True
                self._end(seat.host, self._unpacked(answer, seat.host))
            future.release()

    def _gathered(
        self, futures: Sequence["Future[Answer]"]
    ) -> dict["Future[Answer]", "Answer | None"] | None:
        """Fetches answers. Where the worker that had one is lost, another makes it again, which may take its time.

        None when it is time to give up.
        """
        if not futures:
            return {}
        asking = self._client.gather(dict(enumerate(futures)), errors="skip", asynchronous=True)
        loop: Any = self._client.loop
        coming = asyncio.run_coroutine_threadsafe(asking, loop.asyncio_loop)
        while not wait([coming], _LOOK_S).done:
            self._workers.look()
            if self._workers.gone_s >= self._patience_s or self._client.status != "running":
                coming.cancel()
                return None
        answers: dict[int, Answer | None] = coming.result()
        return {future: answers.get(number) for number, future in enumerate(futures)}

    def _take_failure(self, future: "Future[Answer]", seat: _Seat) -> None:
        """Takes in that a host has no answer: given up, lost, or a worker that does not understand what it is sent."""
        name = seat.host.name
        if future.status != "error":
            self._fail(seat.host, ClusterError(f"scheduler {self._address}: the connection is lost"))
            return
        error = future.exception(timeout=self._patience_s)
        if type(error).__name__ == "KilledWorker":
            self._begun = True
            told = f"each worker that asked {name!r} was lost; the scheduler tries no more"
            self._fail(seat.host, ClusterError(told))
            return
        is_unfit = isinstance(error, ImportError)
        words = f"{type(error).__name__}: {line(error)}" if is_unfit else type(error).__name__
        refusals = self._workers.unfit if is_unfit else self._refused[name]
        refusals[seat.worker] = f"worker {seat.worker}: the cluster could not ask {name!r}: {words}"
        self._waiting.append(seat.host)

    def _unpacked(self, answer: "Answer", host: Host) -> MultiResult:
        try:
            return unpack(answer.results, self._hosts.get)
        except Exception as error:
            log.debug("host %s", host.name, exc_info=True)
            told = ClusterError(f"what worker {answer.worker} says can not be read: {line(error)}")
            return _failed(host, told, self._shipment.task.name)

    def _task_of(self, host: Host) -> Task:
        """Gives the host's own copy of the task; the first time says that it is started."""
        known = self._started.get(host.name)
        if known is None:
            known = self._started[host.name] = self._shipment.task.copy()
            known.host = host
            with self._noting_what_is_raised():
                known.processors.task_instance_started(known, host)
        return known

    @contextlib.contextmanager
    def _noting_what_is_raised(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self._raised = error
            raise

    def _fail(self, host: Host, error: ClusterError) -> None:
        self._first_failure = self._first_failure or str(error)
        self._end(host, _failed(host, error, self._shipment.task.name))

    def _end(self, host: Host, results: MultiResult) -> None:
        task = self._task_of(host)
        task.results = results
        self._found[host.name] = results
        with self._noting_what_is_raised():
            task.processors.task_instance_completed(task, host, results)


def _failed(host: Host, error: ClusterError, name: str) -> MultiResult:
    result = Result(host, result=str(error), exception=error, failed=True, severity_level=logging.ERROR)
    named: Any = result
    named.name = name  # typed as None, which it is until it is run
    results = MultiResult(name)
    results.append(result)
    return results


def innermost(error: BaseException) -> str:
    """Says what an error came of in the first place."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return line(error)


def line(error: BaseException) -> str:
    """Gives an error's own words as one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__
