"""Nornir tasks that workers import."""

import os
import threading
import time
from pathlib import Path
from typing import Any

from nornir.core.inventory import Host
from nornir.core.task import Result, Task


def where(task: Task) -> Result:
    """Return which process asked which host."""
    return Result(host=task.host, result=(os.getpid(), task.host.name, task.host.username, task.host["site"]))


def with_arguments(task: Task, own: dict[str, list[int]], shared: str) -> dict[str, Any]:
    """Return what it was called with."""
    return {"own": own.get(task.host.name), "shared": shared}


def outer(task: Task) -> Result:
    """Run another task for the same host."""
    inner = task.run(task=where, name="inner")
    return Result(host=task.host, result=inner[0].result[1], changed=True, diff="+ a line", note="kept")


def failing(task: Task) -> None:
    """Fail as code does that catches one error and raises another."""
    try:
        task.host["a key that it has not"]
    except KeyError as error:
        raise ConnectionError("the session is gone") from error


def its_host(task: Task) -> Host:
    """Return what has a password."""
    return task.host


def its_connections(task: Task) -> Any:
    """Return what has a password and must not leave its process."""
    return [task.host.get_connection_parameters("napalm")]


def unpicklable(task: Task) -> Any:
    return threading.Lock()


def slow(task: Task, directory: str, seconds: float) -> str:
    """Leave a mark, then take a while."""
    mark = Path(directory, f"{task.host.name}.{os.getpid()}")
    mark.touch()
    time.sleep(seconds)
    return str(os.getpid())


def deadly(task: Task, host: str) -> str:
    """End the worker that asks this host."""
    if task.host.name == host:
        os._exit(1)
    return "ok"
