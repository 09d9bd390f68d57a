"""The Nornir runner plugin `dask`."""

import uuid
from typing import TYPE_CHECKING

from nornir.core.inventory import Host
from nornir.core.task import AggregatedResult, Task

from dzbgp.fleet.dask.client import Cluster, connect
from dzbgp.fleet.dask.dispatch import Dispatcher
from dzbgp.fleet.dask.payload import call_of
from dzbgp.fleet.dask.recipe import Recipe, from_config
from dzbgp.fleet.dask.secrets import check_params

if TYPE_CHECKING:
    from distributed import Client

PATIENCE_S = 30.0


class DaskRunner:
    """Runs a task for each host on the workers of a Dask cluster.

    Each worker runs at most `num_workers` hosts at once, each in a thread. The hosts of a lost worker are run again by
    another one, as often as the scheduler allows (`distributed.scheduler.allowed-failures`, 3), so a task must be safe
    to repeat. `scheduler` None: Dask's own configuration names it (`scheduler-address`). TLS is set in Dask's
    configuration too (`distributed.comm.tls`). With `processes`, or where there is no scheduler, the runner starts a
    cluster of its own: so many processes of this machine, by default one for each core. `patience_s`: how long to wait
    for a scheduler that does not answer, and for a worker where there is none.

    A worker builds a Nornir of its own, as `recipe` says. Without a recipe it uses the configuration of the Nornir that
    runs the task, whose plugins and files it must have. Functions are pickled by reference, those of `__main__` by
    value. Processors run in this process.
    """

    def __init__(
        self,
        scheduler: str | None = None,
        num_workers: int = 20,
        processes: int | None = None,
        patience_s: float = PATIENCE_S,
        recipe: Recipe | None = None,
    ) -> None:
        self.recipe = recipe
        self._scheduler = scheduler
        self._num_workers = num_workers
        self._processes = processes
        self._patience_s = patience_s
        self._key = uuid.uuid4().hex
        self._homes: dict[str, str] = {}
        self._client: Client | None = None
        self.joined: str | None = None
        """The address of the scheduler that ran a task last; None before the first."""

    def run(self, task: Task, hosts: list[Host]) -> AggregatedResult:
        """Run the task for all hosts. Raises ClusterError when no worker could begin with any of them."""
        result = AggregatedResult(task.name)
        if hosts:
            cluster = self._cluster()
            self.joined = cluster.address
            recipe = self.recipe or from_config(task.nornir.config, cluster.address)
            check_params(task.params, cluster.address)
            keeps = cluster.is_own
            most = self._num_workers
            call = call_of(task, recipe.over(cluster.address), self._key, most, keeps=keeps)
            found = Dispatcher(cluster, call, most, task, self._homes if keeps else {}).run(hosts)
            # In the order of the inventory, as Nornir's own runner.
            result.update((host.name, found[host.name]) for host in hosts)
        return result

    def close(self) -> None:
        """Leave the cluster, and end the runner's own processes. The next run joins or starts one again."""
        client, self._client = self._client, None
        if client is not None:
            client.close()
            if client.cluster is not None:
                client.cluster.close()

    def _cluster(self) -> Cluster:
        if self._client is None or self._client.status != "running":
            self.close()
            self._client = connect(self._scheduler, self._processes, self._patience_s)
        return Cluster(self._client, self._patience_s)
