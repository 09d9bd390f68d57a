"""Which Nornir runner asks the devices: threads of this process, or the workers of a Dask cluster."""

import importlib.util
from typing import Any

from nornir.core.plugins.runners import RunnersPluginRegister

from dzbgp.errors import UsageError
from dzbgp.fleet.dask.runner import EXTRA, DaskRunner

_DASK, _THREADED = "dask", "threaded"
_WORKERS = 20


def runner_of(configured: Any, plugin: str | None, workers: int | None, scheduler: str | None) -> Any:
    """Gives the `runner` of a Nornir configuration: what is `configured`, with what the options say.

    Raises UsageError for a scheduler without the runner that has one.
    """
    if configured is not None and not isinstance(configured, dict):
        return configured  # Nornir's to refuse
    found = configured or {}
    named = plugin or found.get("plugin") or _THREADED
    options = dict(found.get("options") or {}) if named == found.get("plugin", _THREADED) else {}
    if workers is not None:
        if plugin is None and named != _DASK:
            # Whatever runner a configuration names, it may know of no number.
            named, options = _THREADED, {}
        options["num_workers"] = workers
    if named == _THREADED:
        options.setdefault("num_workers", _WORKERS)
    if named == "serial":
        options.pop("num_workers", None)
    if scheduler is not None:
        if named != _DASK:
            raise UsageError(f"--scheduler: it goes with --runner {_DASK}, not with {named!r}")
        options["scheduler"] = scheduler
    return {"plugin": named, "options": options}


def is_on_cluster(runner: Any) -> bool:
    """Says whether a `runner` of a Nornir configuration is that of a Dask cluster."""
    return isinstance(runner, dict) and runner.get("plugin") == _DASK


def ready_cluster() -> None:
    """Sees to it that the runner can be found. Raises UsageError without the extra."""
    if importlib.util.find_spec("distributed") is None:
        raise UsageError(EXTRA)
    import dask  # noqa: PLC0415 - an extra, and slow

    # Without this the import of distributed puts handlers of its own beside those of the command line.
    if dask.config.get("logging", None) is None:
        dask.config.set({"logging": {"version": 1, "incremental": True}})
    # Found without its entry point too, as in a checkout that is not installed.
    RunnersPluginRegister.register(_DASK, DaskRunner)
