"""The Nornir runner plugin `dask`: the client's side."""

import logging
import uuid
from typing import TYPE_CHECKING, Any

from nornir.core.inventory import Host
from nornir.core.task import AggregatedResult, Task

from dzbgp.errors import ClusterError, UsageError
from dzbgp.fleet.dask.client import innermost, line
from dzbgp.fleet.dask.dispatch import Deal
from dzbgp.fleet.dask.payload import Shipment
from dzbgp.fleet.dask.recipe import Recipe, check_params, of_config

if TYPE_CHECKING:
    from distributed import Client

log = logging.getLogger(__name__)

PATIENCE_S = 30.0
EXTRA = "the Dask runner needs the extra dask: pip install distributed"


class DaskRunner:
    """Runs a task for each host on the workers of an existing Dask cluster.

    The hosts are dealt to the workers; each runs at most `num_workers` of them at once, each in a thread. What a lost
    worker had is run again by another one, as often as the scheduler allows (`distributed.scheduler.allowed-failures`,
    3): a task must bear to be run again. `scheduler` None: what Dask's own configuration says (`scheduler-address`).
    TLS is Dask's own configuration too (`distributed.comm.tls`). For `patience_s` a scheduler, and a worker
    where there is none, are waited for.

    A worker builds its Nornir itself: as `recipe` says or, without one, from the configuration of the Nornir that runs
    the task, whose plugins and files it must have. Tasks travel by reference, or by value where they are in `__main__`.
    Processors run here, with hosts and results of here.
    """

    def __init__(
        self,
        scheduler: str | None = None,
        num_workers: int = 20,
        patience_s: float = PATIENCE_S,
        recipe: Recipe | None = None,
    ) -> None:
        self.recipe = recipe
        self._scheduler = scheduler
        self._num_workers = num_workers
        self._patience_s = patience_s
        self._key = uuid.uuid4().hex
        self._opened: Client | None = None
        self.joined: str | None = None
        """The scheduler's address once a task was run, whatever became of it since; None before."""

    def run(self, task: Task, hosts: list[Host]) -> AggregatedResult:
        """Runs the task for all hosts. Raises ClusterError when no host could even be begun with."""
        result = AggregatedResult(task.name)
        if not hosts:
            return result
        client = self._client()
        scheduler: Any = client.scheduler
        address = self.joined = str(scheduler.address)
        recipe = self.recipe or of_config(task.nornir.config, address)
        check_params(task.params, address)
        shipment = Shipment(task, recipe.over(address), self._key, address)
        found = Deal(client, shipment, self._num_workers, self._patience_s).run(hosts)
        # Nornir's own runner gives the hosts in the inventory's order.
        result.update((host.name, found[host.name]) for host in hosts)
        return result

    def close(self) -> None:
        """Leaves the cluster; the next run joins it again."""
        client, self._opened = self._opened, None
        if client is not None:
            client.close()

    def _client(self) -> "Client":
        if self._opened is None or self._opened.status != "running":
            self.close()
            self._opened = connected(self._scheduler, self._patience_s)
        return self._opened


def connected(scheduler: str | None, patience_s: float) -> "Client":
    """Joins the cluster. Raises UsageError without the extra or an address, ClusterError when nobody answers there."""
    try:
        import dask  # noqa: PLC0415 - an extra, and slow
        from distributed import Client  # noqa: PLC0415
    except ImportError:
        raise UsageError(EXTRA) from None
    address = scheduler or dask.config.get("scheduler-address", None)
    if not address:
        raise UsageError(
            "--scheduler: no address was given, and Dask's configuration has no scheduler-address; expected "
            "tls://HOST:PORT or tcp://HOST:PORT"
        )
    try:
        return Client(address, timeout=patience_s, set_as_default=False, name="dzbgp")
    except OSError as error:
        log.debug("scheduler %s", address, exc_info=True)
        cause = innermost(error)
        raise ClusterError(f"scheduler {address}: it can not be reached: {cause}") from None
    except (TypeError, ValueError, RuntimeError) as error:
        # Dask's own words for a malformed address, and for missing TLS settings.
        log.debug("scheduler %s", address, exc_info=True)
        raise UsageError(f"scheduler {address}: Dask refuses it: {line(error)}") from None
