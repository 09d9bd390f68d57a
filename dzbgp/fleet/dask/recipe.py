"""How a worker builds a Nornir of its own. It is sent instructions, never hosts, which have passwords."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from nornir import InitNornir
from nornir.core import Nornir
from nornir.core.configuration import Config

from dzbgp.errors import ClusterError

_SECRET = re.compile(
    r"pass|pwd|secret|token|api[_-]?key|private[_-]?key|credential|bearer|psk|cookie|authorization|(^|_)auth($|_)",
    re.IGNORECASE,
)
_SECRET_URL = re.compile(r"^[a-z][a-z0-9+.-]*://([^/@]*@|[^/?]*/[^?]*[^/?\s]{20}|[^?]*\?)", re.IGNORECASE)
"""With user info, a query, or a part of the path that is as long as a key."""
_RUNNER = {"plugin": "serial", "options": {}}
"""A worker runs each host's task itself, and uses no runner."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A function that the workers can import, and its arguments: `build(*args, secret)`.

    `find_secret` is called in this process, and only if the connections to the workers are encrypted; else the secret
    is None.
    """

    build: Callable[..., Nornir]
    args: tuple[Any, ...]
    find_secret: Callable[[], Any] | None = field(default=None, repr=False)
    secret: Any = field(default=None, repr=False)

    def over(self, address: str) -> Self:
        """Return what may be sent to a cluster with this scheduler."""
        secret = self.find_secret() if self.find_secret and is_encrypted(address) else None
        return replace(self, find_secret=None, secret=secret)

    def __call__(self) -> Nornir:
        """Build the Nornir."""
        return self.build(*self.args, self.secret)


def is_encrypted(address: str) -> bool:
    """Tell whether nobody on the network path can read or change what is sent to a Dask address."""
    return address.startswith(("tls://", "wss://"))


def from_config(config: Config, address: str) -> Recipe:
    """Return the recipe to build a Nornir from the same configuration. Workers need the files that it names.

    Raises ClusterError when it holds what looks like a secret and the scheduler's address is not encrypted.
    """
    settings = config.dict() | {"runner": _RUNNER, "logging": {"enabled": False}}
    if is_encrypted(address):
        return Recipe(_init, (), lambda: settings)
    for where in _secrets(settings, ""):
        raise ClusterError(
            f"{where[1:]} of Nornir's configuration looks like a secret, and {address} is not encrypted; "
            "expected a tls:// scheduler, or a secret that workers find in their own files or environment"
        )
    return Recipe(_init, (settings,))


def check_params(params: Mapping[str, Any], address: str) -> None:
    """Raise ClusterError when an argument of a task looks like a secret and the address is not encrypted."""
    if not is_encrypted(address):
        for where in _secrets(params, ""):
            raise ClusterError(
                f"argument {where[1:]} of the task looks like a secret, and {address} is not encrypted; expected a "
                "tls:// scheduler"
            )


def _init(*settings: dict[str, Any] | None) -> Nornir:
    [found] = [one for one in settings if one is not None]
    return InitNornir(**found)


def _secrets(value: Any, where: str) -> Iterator[str]:
    """Return the places of what looks like a secret."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if inner and _SECRET.search(str(key)):
                yield f"{where}.{key}"
            else:
                yield from _secrets(inner, f"{where}.{key}")
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _secrets(inner, f"{where}.{number}")
    elif isinstance(value, str) and _SECRET_URL.search(value):
        yield where
