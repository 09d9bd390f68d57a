"""What happens on a worker of the cluster: one host's task, in a thread of its own."""

import logging
import pickle
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from distributed import get_worker
from nornir.core import Nornir
from nornir.core.processor import Processors
from nornir.core.task import Task

from dzbgp.errors import DzbgpError
from dzbgp.fleet.dask.pickling import pack
from dzbgp.fleet.dask.recipe import Recipe

log = logging.getLogger(__name__)

_HELD_S = 30.0
"""How long what could not be built is not tried again."""
_KEPT = 4
"""Inventories that a worker keeps, those used last: that of a run is needed for each of its hosts."""


@dataclass(frozen=True, slots=True)
class Work:
    """What all hosts of a task have in common. What may hold a secret has no repr."""

    name: str
    """The task's."""
    severity_level: int
    dry_run: bool
    key: str
    """Of the recipe: the same key, the same Nornir."""
    recipe: Recipe = field(repr=False)
    call: bytes = field(repr=False)
    """A pickled pair: the task's function, and the arguments that all hosts have in common."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of it: the packed results, or why the worker could not even begin."""

    worker: str
    results: bytes = field(default=b"", repr=False)
    refused: str = ""
    unfit: bool = False
    """Whether the worker could not begin with any host."""


def ask(name: str, own: bytes, packed: bytes) -> Answer:
    """Runs a task for the host of that name, with the connections of this worker, which are closed afterwards.

    `own`: the pickled arguments that are the host's alone; `packed`: the pickled `Work`.
    """
    here = get_worker().address
    try:
        # A cluster runs what its clients send.
        work: Work = pickle.loads(packed)  # noqa: S301
        nornir = _nornir(work.key, work.recipe)
        function, params = pickle.loads(work.call)  # noqa: S301
        params |= pickle.loads(own)  # noqa: S301
    except Exception as error:
        log.debug("worker %s", here, exc_info=True)
        return Answer(here, refused=f"worker {here}: {_told(error)}", unfit=True)
    if name not in nornir.inventory.hosts:
        return Answer(here, refused=f"worker {here}: its inventory has no host {name!r}")
    task = Task(
        function, nornir, work.dry_run, Processors(), work.name, severity_level=work.severity_level, **params
    )
    host = nornir.inventory.hosts[name]
    try:
        return Answer(here, pack(task.start(host)))
    finally:
        try:
            host.close_connections()
        except Exception:
            log.debug("host %s: closing", host.name, exc_info=True)


def _told(error: Exception) -> str:
    """Says why a worker can not begin. Words that are neither ours nor the import system's may hold secrets."""
    if isinstance(error, DzbgpError):
        return str(error)
    if isinstance(error, ImportError):
        return f"{type(error).__name__}: {error}"
    return f"it could not build its inventory: {type(error).__name__}"


_building = threading.Lock()
_built: OrderedDict[str, Nornir] = OrderedDict()
_failed: dict[str, tuple[float, Exception]] = {}


def _nornir(key: str, recipe: Recipe) -> Nornir:
    """Gives the Nornir of a recipe, built once for all hosts that come with this key; so is a failure told."""
    with _building:
        if key in _failed:
            at, known_error = _failed[key]
            if time.monotonic() - at < _HELD_S:
                raise known_error
        known = _built.get(key)
        if known is not None:
            _built.move_to_end(key)
        else:
            try:
                known = _built[key] = recipe()
            except Exception as error:
                _failed.clear()
                _failed[key] = (time.monotonic(), error)
                raise
            while len(_built) > _KEPT:
                _built.popitem(last=False)
        return known
