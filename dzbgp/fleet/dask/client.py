"""The connection to the scheduler. Whatever is asked of it has a time limit: a scheduler may hang and never answer."""

import asyncio
import concurrent.futures
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from dzbgp.errors import ClusterError, UsageError

if TYPE_CHECKING:
    from distributed import Client, Future

log = logging.getLogger(__name__)

T = TypeVar("T")

EXTRA = "the Dask runner needs the extra dask: pip install distributed"
LOOK_S = 1.0
"""How often the workers are counted."""


class Cluster:
    """A Dask client, the workers behind it, and how long to wait for either. Raises ClusterError when one is lost."""

    def __init__(self, client: "Client", patience_s: float) -> None:
        self._client = client
        self._patience_s = patience_s
        self._counted_at = 0.0
        self._seen_at = time.monotonic()
        self.workers: dict[str, int] = {}
        """By address: how many threads they have."""

    @property
    def address(self) -> str:
        """The scheduler's."""
        scheduler: Any = self._client.scheduler
        return str(scheduler.address)

    @property
    def is_own(self) -> bool:
        """Whether its workers are processes of this command."""
        return self._client.cluster is not None

    @property
    def is_running(self) -> bool:
        """Whether the client is connected."""
        return bool(self._client.status == "running")

    def count(self) -> None:
        """Count the workers, if that is due."""
        if not self.is_running:
            raise self.lost()
        if self.workers and time.monotonic() - self._counted_at < LOOK_S:
            return
        self.workers = dict(self._bounded(self._client.nthreads(asynchronous=True)))
        self._counted_at = time.monotonic()
        if self.workers:
            self._seen_at = self._counted_at
        elif self._counted_at - self._seen_at >= self._patience_s:
            raise ClusterError(f"scheduler {self.address}: no worker for {self._patience_s:g} s")

    def start(
        self, call: Callable[[Sequence[str]], T], shares: list[Sequence[str]], name: str, workers: list[str]
    ) -> "list[Future[T]]":
        """Start a call for each share, on one of `workers` if any of them is left."""
        if not self.is_running:
            raise self.lost()
        return self._client.map(
            call,
            shares,
            key=name,
            pure=False,
            workers=workers or None,
            allow_other_workers=bool(workers),
            retries=3,
        )

    def fetch(self, future: "Future[T]") -> "concurrent.futures.Future[list[T]]":
        """Fetch a result once it is there. Where the worker that holds it is lost, another one makes it again."""
        return self._soon(self._client.gather([future], asynchronous=True))

    def cancel(self, futures: "list[Future[Any]]") -> None:
        """Cancel calls, if the scheduler is still there."""
        if futures and self.is_running:
            self._soon(self._client.cancel(futures, asynchronous=True))

    def lost(self, why: str = "") -> ClusterError:
        """Return the error that says that the connection is lost."""
        return ClusterError(f"scheduler {self.address}: the connection is lost" + (f": {why}" if why else ""))

    def _bounded(self, asking: Coroutine[Any, Any, T]) -> T:
        coming = self._soon(asking)
        try:
            return coming.result(self._patience_s)
        except (OSError, concurrent.futures.CancelledError) as error:
            log.debug("scheduler %s", self.address, exc_info=True)
            raise self.lost(innermost(error)) from None
        finally:
            coming.cancel()

    def _soon(self, asking: Coroutine[Any, Any, T]) -> "concurrent.futures.Future[T]":
        loop: Any = self._client.loop
        return asyncio.run_coroutine_threadsafe(asking, loop.asyncio_loop)


def connect(scheduler: str | None, processes: int | None, patience_s: float) -> "Client":
    """Join the cluster at `scheduler`, or the one of Dask's configuration; without either start `processes` for one.

    Raises UsageError without the extra or for a malformed address, ClusterError when nobody answers there.
    """
    try:
        import dask  # noqa: PLC0415 - an extra, and slow
        from distributed import Client  # noqa: PLC0415
    except ImportError:
        raise UsageError(EXTRA) from None
    address = scheduler or (None if processes else dask.config.get("scheduler-address", None))
    if not address:
        from dzbgp.fleet.dask import local  # noqa: PLC0415 - it needs the extra

        return Client(local.start(processes), set_as_default=False, name="dzbgp", direct_to_workers=True)
    try:
        return Client(address, timeout=patience_s, set_as_default=False, name="dzbgp")
    except OSError as error:
        log.debug("scheduler %s", address, exc_info=True)
        raise ClusterError(f"scheduler {address}: cannot be reached: {innermost(error)}") from None
    except (TypeError, ValueError, RuntimeError) as error:
        # Dask's own words for a malformed address, and for missing TLS settings.
        log.debug("scheduler %s", address, exc_info=True)
        raise UsageError(f"scheduler {address}: Dask refuses it: {one_line(error)}") from None


def innermost(error: BaseException) -> str:
    """Return the message of the error at the start of a chain."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return one_line(error)


def one_line(error: BaseException) -> str:
    """Return an error's message as one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__
