"""Read the VRFs and BGP neighbors of one device: NAPALM's get_bgp_neighbors as a Nornir task, within a deadline."""

import logging
import time

from nornir.core.task import Result, Task

from dzbgp.eos.connection import CONNECTION, EosConnection, connect, disconnect
from dzbgp.eos.deadline import Deadline, run_within
from dzbgp.eos.errors import RETRIED, cause_of, explain
from dzbgp.eos.getter import read_bgp
from dzbgp.models.session import Seen

log = logging.getLogger("dzbgp.devices")

_PAUSE_S = 0.5
"""Before a device that refuses or resets a connection is asked once more."""


def bgp_neighbors(task: Task, timeout_s: float) -> Result:
    """Ask one device; the result is a `Seen`, or where it failed one line for people.

    The answer is reduced here, in the worker, so that a fleet's answers never pile up. Everything, a second attempt
    too, is over after `timeout_s` seconds. The connection stays open for the next look, unless this one failed.
    """
    try:
        return Result(host=task.host, result=seen_within(task, Deadline(timeout_s)))
    except Exception as error:
        log.debug("host %s", task.host.name, exc_info=error)
        told = explain(error, task.host.get_connection_parameters(CONNECTION))
        return Result(host=task.host, result=told, failed=True)


def seen_within(task: Task, deadline: Deadline) -> Seen:
    """Return what the device shows. Raises DeadlineError, and what connecting and reading raise."""
    made: list[EosConnection] = []

    def look() -> Seen:
        made[:] = [connect(task.host, task.nornir.config, deadline)]
        return read_bgp(made[0])

    def look_twice() -> Seen:
        try:
            return look()
        except Exception as error:
            disconnect(task.host)
            if not isinstance(cause_of(error), RETRIED) or deadline.left() < 2 * _PAUSE_S:
                raise
        time.sleep(_PAUSE_S)
        return look()

    try:
        return run_within(deadline, look_twice, lambda: disconnect(task.host))
    except BaseException:
        disconnect(task.host)
        raise
