"""What becomes of a task and of its results on the way between two processes.

A host travels as its name, and is whatever host has that name where it arrives. Groups, defaults and connections,
which may hold passwords too, do not travel. An exception travels as its class and its plain arguments, with its cause
and its context: what else an exception carries, such as a request with its headers, stays behind.
"""

import importlib
import io
import pickle
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nornir.core import Nornir
from nornir.core.configuration import Config
from nornir.core.inventory import ConnectionOptions, Defaults, Group, Host, Inventory
from nornir.core.task import MultiResult, Result, Task

_STAYS = (Nornir, Config, Inventory, Group, Defaults, ConnectionOptions, Task)
_PLAIN = (str, int, float, bool, bytes, type(None))
_DEEPEST = 8
"""Exceptions of a chain that travel."""


class RemoteError(Exception):
    """Stands for an exception whose class can not be rebuilt here. `kind` is the full name of the class."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(kind, text)
        self.kind = kind
        self.text = text

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


class PerHost(dict[str, Any]):
    """A task's argument that holds something for each host, by its name: of it a host's worker is sent that only."""


@dataclass(frozen=True, slots=True)
class _Plain:
    """An exception on the way."""

    module: str
    name: str
    args: tuple[Any, ...] | None
    """None: not plain."""
    text: str
    cause: "_Plain | None"
    context: "_Plain | None"
    suppress: bool


class _Packer(pickle.Pickler):
    def persistent_id(self, obj: Any) -> Any:
        # Before Host: to Nornir a Group is one.
        if isinstance(obj, _STAYS):
            raise pickle.PicklingError(f"a {type(obj).__name__} does not leave its process")
        if isinstance(obj, Host):
            return ("host", obj.name)
        if isinstance(obj, BaseException):
            return ("exception", _plain(obj, _DEEPEST))
        return None


class _Unpacker(pickle.Unpickler):
    def __init__(self, data: bytes, host: Callable[[str], Host | None]) -> None:
        super().__init__(io.BytesIO(data))
        self._host = host

    def persistent_load(self, pid: Any) -> Any:
        kind, value = pid
        return self._host(value) if kind == "host" else _rebuilt(value)


def pack(results: MultiResult) -> bytes:
    """Makes bytes of a host's results. A result that can't travel is one that failed, and says so."""
    try:
        return _packed(results)
    except Exception as error:  # noqa: BLE001 - whatever the objects of a result make of being pickled
        why = f"{type(error).__name__}: {error}" if isinstance(error, pickle.PicklingError) else str(error)
        told = RemoteError("dzbgp.fleet.dask", f"the result can not leave the worker ({why})")
        failed = MultiResult(results.name)
        failed.append(Result(results[0].host, result=str(told), exception=told, failed=True))
        failed[0].name = results[0].name
        return _packed(failed)


def unpack(data: bytes, host: Callable[[str], Host | None]) -> MultiResult:
    """Makes results of what `pack` made. `host` gives the host of a name here."""
    results: MultiResult = _Unpacker(data, host).load()
    return results


def _packed(results: MultiResult) -> bytes:
    buffer = io.BytesIO()
    _Packer(buffer, pickle.HIGHEST_PROTOCOL).dump(results)
    return buffer.getvalue()


def narrowed(params: Mapping[str, Any], host: str) -> dict[str, Any]:
    """Gives the arguments of a task that differ by host, with what is `host`'s only."""
    return {
        name: PerHost({host: value[host]} if host in value else {})
        for name, value in params.items()
        if isinstance(value, PerHost)
    }


def common(params: Mapping[str, Any]) -> dict[str, Any]:
    """Gives the arguments of a task that are the same for all hosts."""
    return {name: value for name, value in params.items() if not isinstance(value, PerHost)}


def _plain(error: BaseException | None, depth: int) -> _Plain | None:
    if error is None or depth == 0:
        return None
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - an exception's own words may fail
        text = ""
    return _Plain(
        type(error).__module__,
        type(error).__qualname__,
        error.args if _are_plain(error.args) else None,
        text,
        _plain(error.__cause__, depth - 1),
        _plain(error.__context__, depth - 1),
        error.__suppress_context__,
    )


def _are_plain(values: Iterable[Any]) -> bool:
    return all(
        isinstance(value, _PLAIN) or (isinstance(value, tuple | list) and _are_plain(value))
        for value in values
    )


def _rebuilt(plain: _Plain | None) -> BaseException | None:
    if plain is None:
        return None
    error = _instance(plain)
    error.__cause__ = _rebuilt(plain.cause)
    error.__context__ = _rebuilt(plain.context)
    error.__suppress_context__ = plain.suppress
    return error


def _instance(plain: _Plain) -> BaseException:
    if plain.args is not None:
        try:
            found: Any = importlib.import_module(plain.module)
            for part in plain.name.split("."):
                found = getattr(found, part)
            made = found(*plain.args)
        except Exception:  # noqa: BLE001 - a class may be missing here, or take other arguments than it keeps
            made = None
        if isinstance(made, BaseException) and str(made) == plain.text:
            return made
    kind = plain.name if plain.module == "builtins" else f"{plain.module}.{plain.name}"
    return RemoteError(kind, plain.text)
