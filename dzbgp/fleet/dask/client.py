"""What the scheduler is asked, and for how long: one that hangs keeps its connections, and never answers."""

import asyncio
import concurrent.futures
import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from distributed import Client

T = TypeVar("T")

LOOK_S = 1.0
"""How often the cluster's workers are counted."""


def threadsafe(client: "Client", asking: Coroutine[Any, Any, T]) -> "concurrent.futures.Future[T]":
    """Lets the client's own loop do it."""
    loop: Any = client.loop
    future: concurrent.futures.Future[T] = asyncio.run_coroutine_threadsafe(asking, loop.asyncio_loop)
    return future


def bounded(client: "Client", asking: Coroutine[Any, Any, T], patience_s: float) -> T:
    """Asks the scheduler something. One that hangs answers never, and keeps its connections: then TimeoutError."""
    coming = threadsafe(client, asking)
    try:
        return coming.result(patience_s)
    finally:
        coming.cancel()


class Workers:
    """The cluster's workers, counted every now and then."""

    def __init__(self, client: "Client", patience_s: float) -> None:
        self._client = client
        self._patience_s = patience_s
        self._present: tuple[str, ...] = ()
        self._looked = 0.0
        self._seen = time.monotonic()
        self.unfit: dict[str, str] = {}
        """Workers that could not build their Nornir, and why."""

    def look(self) -> None:
        """Counts them, if that is due."""
        now = time.monotonic()
        if now - self._looked >= LOOK_S or not self._present:
            self._present = tuple(
                bounded(self._client, self._client.nthreads(asynchronous=True), self._patience_s)
            )
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


def innermost(error: BaseException) -> str:
    """Says what an error came of in the first place."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return line(error)


def line(error: BaseException) -> str:
    """Gives an error's own words as one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__
