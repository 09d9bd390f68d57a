"""Devices are asked in rounds of a bounded length.

A device that does not answer within its round is lost for it, and delays nobody else. Hosts that a round had no time
for are the business of the next one.
"""

import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from typing import Any

from nornir.core import Nornir
from nornir.core.inventory import Host
from nornir.core.task import AggregatedResult, MultiResult, Result, Task

from dzbgp.eos.deadline import begin

_WAIT_S = 0.5
"""How long a signal may go unnoticed while devices are asked."""

Progress = Callable[[str], None]
"""Called with a host's name when it was asked."""


class _GivenUpError(Exception):
    """Nobody waits for this run any more."""


class _Round:
    """A Nornir processor that keeps each host's result, and lets no host begin once the round is over."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._lock = threading.Lock()
        self._begun: set[str] = set()
        self.results: dict[str, Result] = {}
        self.is_over = False

    def unanswered(self) -> set[str]:
        """Return the hosts that were asked and have not answered yet."""
        with self._lock:
            return self._begun - self.results.keys()

    def task_started(self, task: Task) -> None:
        """Nothing to do."""

    def task_completed(self, task: Task, result: AggregatedResult) -> None:
        """Nothing to do."""

    def task_instance_started(self, task: Task, host: Host) -> None:  # noqa: ARG002
        """Refuse a host once the round is over."""
        with self._lock:
            if self.is_over:
                raise _GivenUpError
            self._begun.add(host.name)

    def task_instance_completed(self, task: Task, host: Host, result: MultiResult) -> None:  # noqa: ARG002
        """Keep the result."""
        with self._lock:
            self.results[host.name] = result[0]
            is_over = self.is_over
        if not is_over:
            self._progress(host.name)

    def subtask_instance_started(self, task: Task, host: Host) -> None:
        """Nothing to do."""

    def subtask_instance_completed(self, task: Task, host: Host, result: MultiResult) -> None:
        """Nothing to do."""


class Rounds:
    """Runs tasks on the hosts of a Nornir, one round after the other."""

    def __init__(self, nornir: Nornir, timeout_s: float) -> None:
        self._nornir = nornir
        self._timeout_s = timeout_s
        self._running: Future[AggregatedResult] | None = None
        self._late: list[_Round] = []
        """Rounds that are over, and have hosts that are still being asked."""

    def run(
        self,
        task: Callable[..., Result],
        names: Sequence[str],
        progress: Progress,
        check: Callable[[], None] = lambda: None,
        within_s: float = math.inf,
    ) -> dict[str, Result | None]:
        """Return the results, in the order of `names`: None for a host that was asked and did not answer in time."""
        ends_at = time.monotonic() + within_s
        # A run that was given up may still be waiting for devices, whose connections are the same.
        if self._running is not None:
            _awaited(self._running, check, ends_at)
        self._late = [one for one in self._late if one.unanswered()]
        busy = {name for one in self._late for name in one.unanswered()}
        wanted = frozenset(names) - busy
        self._nornir.data.reset_failed_hosts()
        chosen = self._nornir.filter(filter_func=lambda host: host.name in wanted)
        asked = _Round(progress)
        observed = chosen.with_processors([asked])
        # Nornir's own waiting would end with the last device only.
        self._running = begin(
            lambda: observed.run(task=task, name=task.__name__, timeout_s=self._timeout_s), "fleet"
        )
        try:
            is_done = _awaited(self._running, check, ends_at)
        except BaseException:
            asked.is_over = True
            # The next one waits for it, but not for ever.
            self._late.append(asked)
            raise
        ended, self._running = self._running, None
        if is_done:
            found: dict[str, Result | None] = {name: one[0] for name, one in ended.result().items()}
        else:
            asked.is_over = True
            self._late.append(asked)
            found = dict.fromkeys(asked.unanswered()) | asked.results
            if not found:
                # No host began: waiting does not remove the cause.
                found = dict.fromkeys(names)
        found |= dict.fromkeys(busy & set(names))
        return {name: found[name] for name in names if name in found}


def _awaited(future: "Future[Any]", check: Callable[[], None], ends_at: float) -> bool:
    """Wait until it is done, or until then; return whether it is. Raises what `check` raises, and on an interrupt."""
    # A signal that comes just before the wait begins does not end the wait: its handler runs at the next look.
    while not wait([future], max(0.0, min(_WAIT_S, ends_at - time.monotonic()))).done:
        if time.monotonic() >= ends_at:
            return False
        check()
    return True
