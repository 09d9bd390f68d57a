"""Looks over the YAML files of a SimpleInventory before Nornir does: its errors name the file and the key.

Nornir itself answers a slip in these files with an AttributeError or a KeyError.
"""

import re
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

import ruamel.yaml
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from dzbgp.errors import InventoryError

_DEEPEST = 1_000
_NESTED = re.compile(rf"(?:[-?]\s+){{{_DEEPEST}}}")
_ELEMENT_KEYS = {
    "hostname": (str,),
    "port": (int,),
    "username": (str,),
    "password": (str,),
    "platform": (str,),
    "groups": (list,),
    "data": (dict,),
    "connection_options": (dict,),
}
_CONNECTION_KEYS = {
    "hostname": (str,),
    "port": (int,),
    "username": (str,),
    "password": (str,),
    "platform": (str,),
    "extras": (dict,),
}
_EXTRAS_KEYS = {"timeout": (int, float), "optional_args": (dict,)}
_NAMES = {
    str: "a text",
    int: "a number",
    float: "a fraction",
    list: "a list",
    dict: "a mapping",
    bool: "true or false",
}


def check_simple_inventory(host_file: Path, group_file: Path, defaults_file: Path) -> None:
    """Raise InventoryError naming the file, the key, what was found and what was expected."""
    hosts = load_yaml(host_file)
    if not hosts:
        raise InventoryError(
            f"{host_file}: it holds no hosts; expected a mapping of host names to their settings"
        )
    groups = load_yaml(group_file) if group_file.exists() else {}
    defaults = load_yaml(defaults_file) if defaults_file.exists() else {}
    for file, elements in ((host_file, hosts), (group_file, groups)):
        check_elements(file, elements)
        check_parents(file, elements, group_file, groups)
    _check_element(defaults_file, "", defaults)


def check_elements(file: Path, elements: Mapping[Any, Any]) -> None:
    """Raise InventoryError for a host or group that Nornir would stumble over."""
    for name, element in elements.items():
        if not isinstance(name, str):
            raise InventoryError(f"{file}: {name}: the name is {_kind(name)}; expected a text (quote it)")
        _check_element(file, name, element)


def check_parents(
    file: Path, elements: Mapping[str, Any], group_file: Path, groups: Mapping[str, Any]
) -> None:
    """Raise InventoryError for a parent that is not a group, and for groups that are their own parents."""
    for name, element in elements.items():
        _check_groups(file, name, element, group_file, groups)
    if elements is groups:
        _check_cycles(group_file, groups)


def _check_regular(file: Path) -> None:
    """Raise InventoryError for a pipe or a device, which may be read without end."""
    if file.exists() and not file.is_file() and not file.is_dir():
        raise InventoryError(f"{file}: not a regular file; expected a YAML file")


def load_yaml(file: Path) -> dict[Any, Any]:
    """Return the mapping that a file holds, an empty one for an empty file. Raises InventoryError."""
    _check_regular(file)
    try:
        text = file.read_text(encoding="utf-8")
        content = parse_yaml(text)
    except OSError as error:
        raise InventoryError(f"{file}: {error.strerror or 'unreadable'}; expected a YAML file") from None
    except UnicodeDecodeError:
        raise InventoryError(f"{file}: it is not UTF-8; expected a YAML file") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InventoryError(f"{file}{where}: malformed YAML: {_problem(error)}") from None
    except TypeError:
        raise InventoryError(f"{file}: malformed YAML: a list or a mapping as a key") from None
    except (YAMLError, ValueError, RecursionError) as error:
        # ValueError: a value that looks like a date or a number and is none, such as 2024-13-45.
        raise InventoryError(f"{file}: malformed YAML: {type(error).__name__}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise InventoryError(f"{file}: it holds {_kind(content)}; expected a mapping")
    return content


def parse_yaml(text: str) -> Any:
    """Return what a YAML text holds. Raises YAMLError and ValueError.

    The parser in C crashes on what is nested some ten thousand levels deep.
    """
    depths = accumulate(1 if bracket in "[{" else -1 for bracket in re.findall(r"[\[\]{}]", text))
    if max(depths, default=0) > _DEEPEST or _NESTED.search(text):
        raise MarkedYAMLError(problem=f"nested more than {_DEEPEST:,} levels deep")
    return ruamel.yaml.YAML(typ="safe").load(text)


def _problem(error: MarkedYAMLError) -> str:
    """Return what is wrong without any value: a password that begins with * or ! is an alias or a tag."""
    problem = (error.problem or type(error).__name__).partition(" with value ")[0]
    return re.sub(r"('\\?.')|'.*", lambda quoted: quoted[1] or "(not shown)", problem)


def _check_groups(file: Path, name: str, element: Mapping[str, Any], group_file: Path, groups: Any) -> None:
    for group in element.get("groups") or ():
        if not isinstance(group, str):
            raise InventoryError(f"{file}: {name}: groups: it holds {_kind(group)}; expected names of groups")
        if group not in groups:
            raise InventoryError(
                f"{file}: {name}: groups: unknown group {group!r}; expected one of {group_file}"
            )


def _check_cycles(group_file: Path, groups: Mapping[str, Any]) -> None:
    """Nornir follows the groups of groups for as long as there are any."""
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise InventoryError(
                f"{group_file}: {name}: groups: the group is, through its groups, its own parent"
            )
        if name not in done:
            for parent in groups[name].get("groups") or ():
                visit(parent, (*above, name))
            done.add(name)

    for name in groups:
        visit(name, ())


def _check_element(file: Path, name: str, element: Any) -> None:
    prefix = f"{file}: {name}" if name else str(file)
    _check_keys(prefix, element, _ELEMENT_KEYS)
    for connection, options in (element.get("connection_options") or {}).items():
        where = f"{prefix}: connection_options: {connection}"
        _check_keys(where, options, _CONNECTION_KEYS)
        _check_keys(f"{where}: extras", options.get("extras") or {}, _EXTRAS_KEYS)


def _check_keys(prefix: str, element: Any, expected: Mapping[str, tuple[type, ...]]) -> None:
    """Keys that Nornir does not know are left alone, as Nornir leaves them."""
    if not isinstance(element, dict):
        raise InventoryError(f"{prefix}: it holds {_kind(element)}; expected a mapping")
    for key, kinds in expected.items():
        value = element.get(key)
        if value is None:
            continue
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            # The value itself stays untold: it may be a password that YAML took for a number.
            wanted = " or ".join(_NAMES[kind] for kind in kinds)
            raise InventoryError(f"{prefix}: {key}: it holds {_kind(value)}; expected {wanted}")


def _kind(value: object) -> str:
    return _NAMES.get(type(value), "nothing" if value is None else f"a {type(value).__name__}")
