"""A Dask cluster of processes on this machine, for the life of one command. Needs the extra."""

import logging
import os
import signal
from multiprocessing import resource_tracker
from typing import Any

import dask
from distributed import LocalCluster, Nanny, Security, Worker

from dzbgp.errors import ClusterError

log = logging.getLogger(__name__)

_OURS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SETTINGS = {
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.scheduler.http.routes": [],
    "distributed.worker.profile.enabled": False,
}
"""Nothing is queued on a worker behind a host that may end it, shown over HTTP, or sampled a hundred times a second."""


class _Worker(Worker):
    """A worker that shows nothing over HTTP."""

    def start_http_server(self, *_: Any, **__: Any) -> None:
        """Start none."""


class _Nanny(Nanny):
    """Starts a worker, and another one when that is lost."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs | {"worker_class": _Worker})


def start(processes: int | None) -> LocalCluster:
    """Start a scheduler in this process and workers in others, by default as many as there are cores.

    They end when this process does, however that ends. They listen on 127.0.0.1 only, and speak TLS with a certificate
    that exists in their memory only: no other program can join. They inherit this process's environment. Each may use
    its part of the machine's memory; Dask replaces one that takes more. Raises ClusterError.
    """
    processes = processes or len(os.sched_getaffinity(0))
    # Signals are for this process, which ends the workers in order. The threads that are started here inherit the mask,
    # and so do the processes that these start, now or in place of one that was lost. Starting the tracker unblocks.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _OURS)
    try:
        with dask.config.set(_SETTINGS):
            cluster = LocalCluster(
                n_workers=processes,
                threads_per_worker=1,
                security=Security.temporary(),
                dashboard_address="127.0.0.1:0",
                scheduler_kwargs={"dashboard": False},
                worker_class=_Nanny,
                silence_logs=logging.CRITICAL,
            )
    except Exception as error:
        log.debug("%d processes", processes, exc_info=True)
        raise ClusterError(
            f"--processes {processes}: they cannot be started ({type(error).__name__})"
        ) from None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    loop, scheduler = cluster.loop, cluster.scheduler
    if loop is not None and scheduler is not None:
        loop.add_callback(scheduler.http_server.stop)
    return cluster
