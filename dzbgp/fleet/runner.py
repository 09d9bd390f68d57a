"""Chooses the Nornir runner: threads of this process, or the workers of a Dask cluster."""

import importlib.util
from typing import Any

from nornir.core.plugins.runners import RunnersPluginRegister

from dzbgp.errors import UsageError
from dzbgp.fleet.dask.client import EXTRA
from dzbgp.fleet.dask.runner import DaskRunner
from dzbgp.fleet.options import FleetRequest

_DASK, _THREADED = "dask", "threaded"
_WORKERS = 20


def runner_of(configured: Any, request: FleetRequest) -> Any:
    """Return the `runner` of a Nornir configuration: the `configured` one, overridden by the options.

    Raises UsageError for options that do not go together.
    """
    if configured is not None and not isinstance(configured, dict):
        return configured  # Nornir's to refuse
    found = configured or {}
    asked = request.runner or (_DASK if request.processes else None)
    named = str(asked or found.get("plugin") or _THREADED)
    options = dict(found.get("options") or {}) if named == found.get("plugin", _THREADED) else {}
    if request.workers is not None:
        if asked is None and named != _DASK:
            # Another runner that a configuration names may take no number.
            named, options = _THREADED, {}
        options["num_workers"] = request.workers
    if named == _THREADED:
        options.setdefault("num_workers", _WORKERS)
    if named == "serial":
        options.pop("num_workers", None)
    return {"plugin": named, "options": _with_cluster(named, options, request)}


def _with_cluster(named: str, options: dict[str, Any], request: FleetRequest) -> dict[str, Any]:
    """Add which cluster the Dask runner uses: one that runs, or processes of its own."""
    wanted = {"scheduler": request.scheduler, "processes": request.processes}
    wanted = {name: value for name, value in wanted.items() if value is not None}
    if not wanted:
        return options
    if named != _DASK:
        raise UsageError(f"--{next(iter(wanted))}: needs --runner {_DASK}, but the runner is {named!r}")
    if len(wanted) > 1:
        raise UsageError(
            "--processes: starts a cluster, but --scheduler names one that runs; give one of the two"
        )
    return {name: value for name, value in options.items() if name not in {"scheduler", "processes"}} | wanted


def is_on_cluster(runner: Any) -> bool:
    """Tell whether the `runner` of a Nornir configuration is the Dask runner."""
    return isinstance(runner, dict) and runner.get("plugin") == _DASK


def ready_cluster() -> None:
    """Register the runner with Nornir. Raises UsageError without the extra."""
    if importlib.util.find_spec("distributed") is None:
        raise UsageError(EXTRA)
    import dask  # noqa: PLC0415 - an extra, and slow

    # Otherwise distributed adds log handlers of its own when it is imported.
    if dask.config.get("logging", None) is None:
        dask.config.set({"logging": {"version": 1, "incremental": True}})
    # A checkout that is not installed has no entry point.
    RunnersPluginRegister.register(_DASK, DaskRunner)
