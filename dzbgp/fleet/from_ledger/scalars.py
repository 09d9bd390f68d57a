"""How values are written in a YAML file."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import ruamel.yaml

_PLAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 _./-]*[A-Za-z0-9_./-])?\Z")
# Truth values for readers of YAML 1.1, such as Ansible.
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_ESCAPED = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}


@lru_cache(maxsize=4096)
def text(value: str) -> str:
    """Writes a text, in quotes where it could be taken for anything else."""
    if _PLAIN.match(value) and value.lower() not in _WORDS and _loaded(value) == value:
        return value
    return '"' + "".join(map(_escaped, value)) + '"'


def _loaded(value: str) -> Any:
    try:
        return ruamel.yaml.YAML(typ="safe", pure=True).load(value)
    except (ruamel.yaml.error.YAMLError, ValueError):
        return None


def _escaped(char: str) -> str:
    if char in _ESCAPED:
        return _ESCAPED[char]
    if char.isprintable():
        return char
    number = ord(char)
    return (
        f"\\x{number:02x}"
        if number < 1 << 8
        else f"\\u{number:04x}"
        if number < 1 << 16
        else f"\\U{number:08x}"
    )


def inline(value: Any) -> str:
    """Writes a text, a list or a mapping of them on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{text(key)}: {inline(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, value)) + "]"
    return text(value)


def block(key: str, value: Any, indent: int = 0) -> list[str]:
    """Writes a key and its value as lines: mappings as blocks, lists on one line."""
    pad = " " * indent
    if isinstance(value, Mapping) and value:
        lines = [line for name, item in value.items() for line in block(name, item, indent + 2)]
        return [f"{pad}{text(key)}:", *lines]
    return [f"{pad}{text(key)}: {inline(value)}"]
