"""Read what one device says of each of its BGP neighbors, for a person."""

from nornir.core.task import Result, Task

from dzbgp.eos.connection import CONNECTION, connect, disconnect
from dzbgp.eos.deadline import Deadline, run_within
from dzbgp.eos.details import NeighborDetails, read_details
from dzbgp.eos.errors import explain


def neighbor_details(task: Task, timeout_s: float) -> Result:
    """Ask one device; the result is a list of NeighborDetails, or where it failed one line for people."""
    deadline = Deadline(timeout_s)

    def look() -> list[NeighborDetails]:
        return read_details(connect(task.host, task.nornir.config, deadline))

    try:
        found = run_within(deadline, look, lambda: disconnect(task.host))
    except Exception as error:  # noqa: BLE001 - NAPALM and its drivers may raise anything
        disconnect(task.host)
        told = explain(error, task.host.get_connection_parameters(CONNECTION))
        return Result(host=task.host, result=told, failed=True)
    return Result(host=task.host, result=found)
