"""One task's way to the workers: its hosts are dealt to them, and their answers taken in."""

import contextlib
import logging
import queue
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nornir.core.inventory import Host
from nornir.core.task import MultiResult, Result, Task

from dzbgp.errors import ClusterError
from dzbgp.fleet.dask.client import LOOK_S, Workers, bounded, innermost, line, threadsafe
from dzbgp.fleet.dask.payload import Shipment
from dzbgp.fleet.dask.pickling import unpack

if TYPE_CHECKING:
    from distributed import Client, Future

    from dzbgp.fleet.dask.worker import Answer

log = logging.getLogger(__name__)

_ENDED = frozenset({"error", "cancelled"})


@dataclass(frozen=True, slots=True)
class _Seat:
    """A host that a worker has."""

    host: Host
    worker: str


class Deal:
    """One task, dealt to the workers host by host."""

    def __init__(self, client: "Client", shipment: Shipment, most: int, patience_s: float) -> None:
        self._client = client
        self._shipment = shipment
        self._most = most
        self._patience_s = patience_s
        self._workers = Workers(client, patience_s)
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
        except Exception as error:
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
                bounded(
                    self._client,
                    self._client.cancel(futures, asynchronous=True, force=True),
                    self._patience_s,
                )

    def _deal(self) -> None:
        """Gives waiting hosts to the workers that have the fewest."""
        loads = Counter(seat.worker for seat in self._seats.values())
        fit = self._workers.fit()
        # What lost workers had is with the others now, the scheduler knows with whom.
        moved = sum(count for worker, count in loads.items() if worker not in fit)
        for address in fit:
            loads[address] += -(-moved // len(fit))
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
            found = [self._landed.get(timeout=LOOK_S)]
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
            if isinstance(answer, tuple):
                address, words = answer
                self._workers.unfit[address] = f"worker {address}: {words}"
                self._waiting.append(seat.host)
            elif answer is None:
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
    ) -> dict["Future[Answer]", "Answer | tuple[str, str] | None"] | None:
        """Fetches answers. Where the worker that had one is lost, another makes it again, which may take its time.

        None when it is time to give up.
        """
        if not futures:
            return {}
        asking = self._client.gather(dict(enumerate(futures)), errors="skip", asynchronous=True)
        coming = threadsafe(self._client, asking)
        while not wait([coming], LOOK_S).done:
            self._workers.look()
            if self._workers.gone_s >= self._patience_s or self._client.status != "running":
                coming.cancel()
                return None
        answers: dict[int, Answer | tuple[str, str] | None] = coming.result()
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
        told = f"worker {seat.worker}: the cluster could not ask {name!r}: {type(error).__name__}"
        self._refused[name][seat.worker] = told
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
