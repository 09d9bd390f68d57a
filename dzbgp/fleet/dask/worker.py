"""What runs on a worker: a task for a few hosts, each in a thread of its own."""

import logging
import math
import pickle
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field

from distributed import get_worker, secede
from nornir.core import Nornir
from nornir.core.inventory import Host
from nornir.core.processor import Processors
from nornir.core.task import Task

from dzbgp.errors import DzbgpError
from dzbgp.fleet.dask.pickling import pack
from dzbgp.fleet.dask.work import Answer, Work

log = logging.getLogger(__name__)

SLOW_S = 3.0
"""Hosts that take longer do not hold up the answer of the others that were sent with them."""
_HELD_S = 30.0
"""For how long a Nornir that could not be built is not built again."""
_KEPT = 4
"""How many a worker keeps, those used last."""


@dataclass
class _Place:
    """A Nornir of this worker, and the hosts that are being asked."""

    nornir: Nornir
    slots: threading.Semaphore
    running: dict[tuple[str, str], "Future[bytes]"] = field(default_factory=dict)
    """By run and host: those whose result nobody has fetched yet."""


def ask(names: Sequence[str], packed: bytes) -> Answer:
    """Run a task for those of the hosts that this worker's inventory has, with connections of its own.

    `packed`: the pickled `Work`. The Dask worker's thread is held until all hosts have begun, so that the scheduler
    sends more only when there is room.
    """
    here = get_worker().address
    try:
        # A cluster runs what its clients send.
        work: Work = pickle.loads(packed)  # noqa: S301
        place = _place(work)
        function, params = pickle.loads(work.call)  # noqa: S301
    except Exception as error:
        log.debug("worker %s", here, exc_info=True)
        return here, {}, _reason(error), ()
    until = time.monotonic() + SLOW_S
    hosts = place.nornir.inventory.hosts
    known = [name for name in names if name in hosts]
    asked: dict[str, Future[bytes]] = {}
    for name in known:
        begun = place.running.pop((work.run, name), None)
        if begun is None and place.slots.acquire(timeout=_left(until)):
            task = Task(
                function,
                place.nornir,
                work.dry_run,
                Processors(),
                work.name,
                severity_level=work.severity_level,
                **params,
            )
            begun = _begun(task, hosts[name], place.slots, keeps=work.keeps)
        if begun is not None:
            asked[name] = begun
    secede()
    wait(asked.values(), _left(until))
    results = {name: future.result() for name, future in asked.items() if future.done()}
    place.running.update(((work.run, name), asked[name]) for name in asked.keys() - results.keys())
    return here, results, "", [name for name in known if name not in results]


def _left(until: float) -> float:
    return max(0.0, until - time.monotonic())


def _begun(task: Task, host: Host, slots: threading.Semaphore, *, keeps: bool) -> "Future[bytes]":
    """Run the task for the host in a thread, which does not keep the worker from ending."""
    future: Future[bytes] = Future()

    def run() -> None:
        kept = False
        try:
            results = task.start(host)
            kept = keeps and not results.failed
            future.set_result(pack(results))
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            future.set_exception(error)
        finally:
            slots.release()
            if not kept:
                _close(host)

    threading.Thread(target=run, name=host.name, daemon=True).start()
    return future


def _close(host: Host) -> None:
    try:
        host.close_connections()
    except Exception:
        log.debug("host %s: closing", host.name, exc_info=True)


def _reason(error: Exception) -> str:
    """Say why a worker cannot begin. Words that are neither ours nor the import system's may hold secrets."""
    if isinstance(error, DzbgpError):
        return str(error)
    if isinstance(error, ImportError):
        return f"{type(error).__name__}: {error}"
    return f"it could not build its inventory: {type(error).__name__}"


_building = threading.Lock()
_built: OrderedDict[str, _Place] = OrderedDict()
_failed: dict[str, tuple[float, Exception]] = {}


def _place(work: Work) -> _Place:
    """Build the Nornir of a recipe, once for all that is sent with its key. A failure is kept for a while too."""
    with _building:
        at, error = _failed.get(work.key, (-math.inf, None))
        if error is not None and time.monotonic() - at < _HELD_S:
            raise error
        if work.key not in _built:
            try:
                _built[work.key] = _Place(work.recipe(), threading.Semaphore(work.most))
            except Exception as error:
                _failed.clear()
                _failed[work.key] = (time.monotonic(), error)
                raise
            while len(_built) > _KEPT:
                _built.popitem(last=False)
        _built.move_to_end(work.key)
        return _built[work.key]
