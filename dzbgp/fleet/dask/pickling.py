"""How a task and its results are pickled between this process and a worker.

A host is pickled as its name, and becomes the host of that name where it arrives. Groups, defaults and connections,
which may hold passwords too, are refused. An exception is pickled as its class and its plain arguments, with its cause
and its context: what else it carries, such as a request with its headers, stays behind.
"""

import importlib
import io
import pickle
from collections.abc import Callable, Iterable
from typing import Any

from nornir.core import Nornir
from nornir.core.configuration import Config
from nornir.core.inventory import ConnectionOptions, Defaults, Group, Host, Inventory
from nornir.core.task import MultiResult, Result, Task

_REFUSED = (Nornir, Config, Inventory, Group, Defaults, ConnectionOptions, Task)
_PLAIN = (str, int, float, bool, bytes, type(None))


class RemoteError(Exception):
    """Stands for an exception whose class cannot be rebuilt here. `kind` is the full name of the class."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(kind, text)
        self.kind = kind
        self.text = text

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        # Before Host: to Nornir a Group is one.
        if isinstance(obj, _REFUSED):
            raise pickle.PicklingError(f"a {type(obj).__name__} is not sent to another process")
        if isinstance(obj, Host):
            return _host_of, (obj.name,)
        if not isinstance(obj, BaseException):
            return NotImplemented
        kind = type(obj)
        try:
            text = str(obj)
        except Exception:  # noqa: BLE001 - an exception's own words may fail
            text = ""
        made_of = (kind.__module__, kind.__qualname__, obj.args if _are_plain(obj.args) else None, text)
        chain = (obj.__cause__, obj.__context__, obj.__suppress_context__)
        return _rebuilt, made_of, chain, None, None, _set_chain


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: bytes, host_of: Callable[[str], Host | None]) -> None:
        super().__init__(io.BytesIO(data))
        self._find_host = host_of

    def find_class(self, module: str, name: str) -> Any:
        """Return what rebuilds an object: a host is the one of this process."""
        is_host = (module, name) == (__name__, _host_of.__name__)
        return self._find_host if is_host else super().find_class(module, name)


def _host_of(_name: str) -> Host:
    """Stand for what `unpack` is given."""
    raise pickle.UnpicklingError("a host arrives through unpack() only")


def pack(results: MultiResult) -> bytes:
    """Pickle a host's results. A result that cannot be pickled becomes one that failed and says so."""
    try:
        return _pickled(results)
    except Exception as error:  # noqa: BLE001 - whatever the objects of a result make of being pickled
        why = f"{type(error).__name__}: {error}" if isinstance(error, pickle.PicklingError) else str(error)
        told = RemoteError("dzbgp.fleet.dask", f"the result cannot be sent back by the worker ({why})")
        failed = MultiResult(results.name)
        failed.append(Result(results[0].host, result=str(told), exception=told, failed=True))
        failed[0].name = results[0].name
        return _pickled(failed)


def unpack(data: bytes, host_of: Callable[[str], Host | None]) -> MultiResult:
    """Rebuild the results that `pack` pickled. `host_of` gives the host of a name in this process."""
    results: MultiResult = _Unpickler(data, host_of).load()
    return results


def _pickled(results: MultiResult) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(results)
    return buffer.getvalue()


def _are_plain(values: Iterable[Any]) -> bool:
    return all(
        isinstance(value, _PLAIN) or (isinstance(value, tuple | list) and _are_plain(value))
        for value in values
    )


def _rebuilt(module: str, name: str, args: tuple[Any, ...] | None, text: str) -> BaseException:
    if args is not None:
        try:
            found: Any = importlib.import_module(module)
            for part in name.split("."):
                found = getattr(found, part)
            made = found(*args)
        except Exception:  # noqa: BLE001 - a class may be missing here, or take other arguments than it keeps
            made = None
        if isinstance(made, BaseException) and str(made) == text:
            return made
    return RemoteError(name if module == "builtins" else f"{module}.{name}", text)


def _set_chain(error: BaseException, chain: tuple[BaseException | None, BaseException | None, bool]) -> None:
    error.__cause__, error.__context__, error.__suppress_context__ = chain
