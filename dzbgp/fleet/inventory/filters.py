"""Choose hosts of a Nornir inventory: by name, by group, and by their data."""

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from nornir.core import Nornir
from nornir.core.inventory import Host

from dzbgp.errors import UsageError


def choose(
    nornir: Nornir, limit: Sequence[str], groups: Sequence[str], filters: Sequence[tuple[str, str]]
) -> Nornir:
    """Return a Nornir with the hosts that `limit` names, in any of `groups` and passing all `filters`; empty: all.

    `limit` takes names and patterns such as `ams-*`. Raises UsageError for names that are not in the inventory, for a
    filter's key that no host has, and when no host matches.
    """
    everything = nornir.inventory.hosts
    if limit:
        unknown = [name for name in limit if not _named(name, everything)]
        if unknown:
            raise UsageError(f"--limit: no host of the inventory is called {', '.join(map(repr, unknown))}")
        chosen = {host for name in limit for host in _named(name, everything)}
        nornir = nornir.filter(filter_func=lambda host: host.name in chosen)
    if groups:
        unknown = [name for name in groups if name not in nornir.inventory.groups]
        if unknown:
            raise UsageError(f"--group: no group of the inventory is called {', '.join(map(repr, unknown))}")
        nornir = nornir.filter(filter_func=lambda host: any(map(host.has_parent_group, groups)))
        if not nornir.inventory.hosts:
            raise UsageError(f"--group {','.join(groups)}: no host matches")
    for key, value in filters:
        if not any(_has(host, key) for host in everything.values()):
            raise UsageError(f"--filter {key}={value}: no host of the inventory has {_name_of(key)!r}")
        nornir = nornir.filter(filter_func=lambda host, key=key, value=value: _passes(host, key, value))
        if not nornir.inventory.hosts:
            raise UsageError(f"--filter {key}={value}: no host matches")
    return nornir


def _named(name: str, hosts: Mapping[str, Host]) -> list[str]:
    """Return the hosts that a name, or else a pattern, matches."""
    return [name] if name in hosts else [host for host in hosts if fnmatchcase(host, name)]


def _name_of(key: str) -> str:
    key = key.removesuffix("!")
    name, _, operator = key.rpartition("__")
    return name if name and operator in _OPERATORS else key


def _has(host: Host, key: str) -> bool:
    return _found(host, key.removesuffix("!")) is not None or _found(host, _name_of(key)) is not None


def _passes(host: Host, key: str, value: str) -> bool:
    """Tell whether a host passes `key=value`, or `key!=value`; `a__b` goes down into nested data.

    Nornir's own operators stand at the end: name__startswith=ams, roles__contains=edge, metro__in=ams,fra.
    """
    if key.endswith("!"):
        return not _passes(host, key[:-1], value)
    found = _found(host, key)
    texts = [_text(item) for item in (found if isinstance(found, list) else [found]) if item is not None]
    if value in texts:
        return True
    name, _, operator = key.rpartition("__")
    if not name or operator not in _OPERATORS:
        return False
    found = _found(host, name)
    if isinstance(found, list):
        # In a list `contains` asks for an item, as Nornir does.
        compare = str.__eq__ if operator == "contains" else _OPERATORS[operator]
        return any(compare(_text(item), value) for item in found)
    return found is not None and _OPERATORS[operator](_text(found), value)


def _is_one_of(text: str, values: str) -> bool:
    return text in values.split(",")


_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "contains": str.__contains__,
    "startswith": str.startswith,
    "endswith": str.endswith,
    "in": _is_one_of,
    "any": _is_one_of,
}


def _found(host: Host, key: str) -> Any:
    if key in {"name", "hostname", "platform", "port"}:
        return getattr(host, key)
    if key in {"group", "groups"}:
        return [group.name for group in host.extended_groups()]
    found: Any = host
    for part in key.split("__"):
        found = found.get(part) if isinstance(found, dict | Host) else None
    return found


def _text(value: Any) -> str:
    """Return a value as it is written in YAML."""
    return str(value).lower() if isinstance(value, bool) else str(value)
