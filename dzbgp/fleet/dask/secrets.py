"""What looks like a secret is sent to the workers over encrypted connections only."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dzbgp.errors import ClusterError

_SECRET = re.compile(
    r"pass|pwd|secret|token|api[_-]?key|private[_-]?key|credential|bearer|psk|cookie|authorization|(^|_)auth($|_)",
    re.IGNORECASE,
)
_SECRET_URL = re.compile(r"^[a-z][a-z0-9+.-]*://([^/@]*@|[^/?]*/[^?]*[^/?\s]{20}|[^?]*\?)", re.IGNORECASE)
"""With user info, a query, or a part of the path that is as long as a key."""


def is_encrypted(address: str) -> bool:
    """Tell whether nobody on the network path can read or change what is sent to a Dask address."""
    return address.startswith(("tls://", "wss://"))


def check_params(params: Mapping[str, Any], address: str) -> None:
    """Raise ClusterError when an argument of a task looks like a secret and the address is not encrypted."""
    if not is_encrypted(address):
        for where in secrets_in(params):
            raise ClusterError(
                f"argument {where} of the task looks like a secret, and {address} is not encrypted; expected a "
                "tls:// scheduler"
            )


def secrets_in(value: Any) -> Iterator[str]:
    """Return the places of what looks like a secret, such as options.nb_token."""
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    for key, inner in items:
        is_named_so = inner and _SECRET.search(str(key))
        if is_named_so or (isinstance(inner, str) and _SECRET_URL.search(inner)):
            yield str(key)
        else:
            yield from (f"{key}.{where}" for where in secrets_in(inner))
