"""How a worker builds a Nornir of its own. It is sent instructions, never hosts, which have passwords."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Self

from nornir import InitNornir
from nornir.core import Nornir
from nornir.core.configuration import Config

from dzbgp.errors import ClusterError
from dzbgp.fleet.dask.secrets import is_encrypted, secrets_in

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


def from_config(config: Config, address: str) -> Recipe:
    """Return the recipe to build a Nornir from the same configuration. Workers need the files that it names.

    Raises ClusterError when it holds what looks like a secret and the scheduler's address is not encrypted.
    """
    settings = config.dict() | {"runner": _RUNNER, "logging": {"enabled": False}}
    if is_encrypted(address):
        return Recipe(_init, (), lambda: settings)
    for where in secrets_in(settings):
        raise ClusterError(
            f"{where} of Nornir's configuration looks like a secret, and {address} is not encrypted; "
            "expected a tls:// scheduler, or a secret that workers find in their own files or environment"
        )
    return Recipe(_init, (settings,))


def _init(*settings: dict[str, Any] | None) -> Nornir:
    [found] = [one for one in settings if one is not None]
    return InitNornir(**found)
