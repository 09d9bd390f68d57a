"""Edits in a YAML file that leave every character alone that they are not about: comments, order, blanks, quotes.

A round trip through a YAML library moves or loses comments where something is taken out. So here the library
only says where things stand; the text is changed in place, and then read again: what it says now must be what
was asked for, or nothing is changed at all.
"""

import copy
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import ruamel.yaml
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

Path = Sequence[str]
"""The keys that lead to a value."""


class UneditableError(ValueError):
    """The file is written in a way that does not let itself be changed in place, such as with shared anchors."""


class YamlText:
    """The text of a YAML file that holds a mapping, or nothing. Edits are collected, and made by `finished`."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._newline = "\r\n" if "\r\n" in source else "\n"
        self._root: Node | None = _yaml().compose(source)
        self.wanted: dict[str, Any] = _unshared(_yaml().load(source)) or {}
        """What the file will say."""
        self._patches: list[tuple[int, int, str]] = []
        self._appended: list[str] = []

    def set(self, path: Path, value: Any) -> None:
        """Set the value at `path`, whose parent must be there; a parent that is empty becomes a mapping."""
        parent = self.wanted
        for key in path[:-1]:
            parent = parent[key]
        node = self._node(path[:-1])
        parent[path[-1]] = copy.deepcopy(value)
        found = _child(node, path[-1])
        if found is not None:
            start, end = found.start_mark.index, self._end(found)
            space = "" if start == 0 or self._source[start - 1] in " \n" else " "
            self._patches.append((start, end, space + inline(value)))
        elif node is None:
            self._append_block(path[-1], value)
        else:
            self._insert(node, path[-1], value)

    def append(self, path: Path, item: str) -> None:
        """Add an item to the end of the list at `path`."""
        self._list(path).append(item)
        node = self._node(path)
        if not isinstance(node, SequenceNode):
            raise UneditableError(path)
        if node.flow_style:
            self._insert_flow(node, text(item), self._end(node.value[-1]) if node.value else None)
        else:
            pad = " " * node.start_mark.column
            self._after(node, f"{pad}- {text(item)}")

    def replace(self, path: Path, old: str, new: str) -> None:
        """Put one item of the list at `path` in the place of another."""
        items = self._list(path)
        place = items.index(old)
        items[place] = new
        node = self._node(path)
        if not isinstance(node, SequenceNode):
            raise UneditableError(path)
        item = node.value[place]
        self._patches.append((item.start_mark.index, self._end(item), text(new)))

    def remove(self, key: str) -> None:
        """Take out an entry of the outermost mapping, with the comments right above it that are about it."""
        del self.wanted[key]
        pairs = self._root.value if isinstance(self._root, MappingNode) else []
        if not isinstance(self._root, MappingNode) or self._root.flow_style:
            raise UneditableError(key)
        for name, value in pairs:
            if name.value == key:
                start = self._source.rfind("\n", 0, name.start_mark.index) + 1
                line = start
                while (above := self._line_above(start)) is not None and above[1].startswith("#"):
                    start = above[0]
                # What stands at the very top is about the file.
                start = line if start == 0 else start
                end = self._line_end(max(self._end(value), name.end_mark.index))
                end = min(end + len(self._newline), len(self._source))
                # The blank line that set it apart from the entry above goes too.
                before = self._line_above(start)
                if before is not None and not before[1].strip() and before[0] > 0:
                    start = before[0]
                self._patches.append((start, end, ""))
                return

    def finished(self) -> str:
        """Return the text with all edits made. Raises UneditableError when it would not say what was asked for."""
        result = self._source
        # From the end, so that places stay true; of several at one place the last goes in first.
        for start, end, new in reversed(sorted(self._patches, key=lambda patch: patch[:2])):  # noqa: C413
            result = result[:start] + new + result[end:]
        if self._appended:
            if result and not result.endswith("\n"):
                result += self._newline
            result += "".join(line + self._newline for line in self._appended)
        try:
            said = _yaml().load(result) or {}
        except (ruamel.yaml.error.YAMLError, ValueError):
            said = None
        if said != self.wanted:
            raise UneditableError
        return result

    def _list(self, path: Path) -> list[Any]:
        found: Any = self.wanted
        for key in path:
            found = found[key]
        if not isinstance(found, list):
            raise UneditableError(path)
        return found

    def _node(self, path: Path) -> Node | None:
        node = self._root
        for key in path:
            node = _child(node, key)
            if node is None:
                raise UneditableError(path)
        return node

    def _insert(self, node: Node, key: str, value: Any) -> None:
        if isinstance(node, ScalarNode):
            # Nothing, or null in words: it becomes a mapping, unless it is the whole file.
            self._patches.append((node.start_mark.index, self._end(node), " " + inline({key: value})))
        elif not isinstance(node, MappingNode):
            raise UneditableError(key)
        elif node.flow_style:
            last = self._end(node.value[-1][1]) if node.value else None
            self._insert_flow(node, f"{text(key)}: {inline(value)}", last)
        elif node is self._root:
            self._append_block(key, value, node.start_mark.column)
        else:
            self._after(node, self._newline.join(block(key, value, node.value[0][0].start_mark.column)))

    def _append_block(self, key: str, value: Any, indent: int = 0) -> None:
        if isinstance(value, dict) and (self._source or self._appended):
            self._appended.append("")
        self._appended += block(key, value, indent)

    def _insert_flow(self, node: Node, new: str, last: int | None) -> None:
        if last is None:
            at = self._source.index("]" if isinstance(node, SequenceNode) else "}", node.start_mark.index)
            self._patches.append((at, at, new))
        else:
            self._patches.append((last, last, f", {new}"))

    def _after(self, node: Node, lines: str) -> None:
        """Put lines behind the last line that belongs to a block."""
        at = self._line_end(self._end(node))
        self._patches.append((at, at, self._newline + lines))

    def _end(self, node: Node) -> int:
        """Return where a node ends: a block's own mark stands behind the comments that follow it."""
        if isinstance(node, MappingNode) and not node.flow_style and node.value:
            key, value = node.value[-1]
            return max(int(key.end_mark.index), self._end(value))
        if isinstance(node, SequenceNode) and not node.flow_style and node.value:
            return self._end(node.value[-1])
        start, end = int(node.start_mark.index), int(node.end_mark.index)
        if isinstance(node, ScalarNode) and node.style in {"|", ">"}:
            return start + len(self._source[start:end].rstrip())
        return end

    def _line_end(self, index: int) -> int:
        found = re.compile(r"\r?\n|\Z").search(self._source, index)
        return found.start() if found else len(self._source)

    def _line_above(self, start: int) -> tuple[int, str] | None:
        """Return the start and the text of the line above the one that starts at `start`."""
        if start == 0:
            return None
        begins = self._source.rfind("\n", 0, start - 1) + 1
        return begins, self._source[begins : start - 1]


def _yaml() -> ruamel.yaml.YAML:
    return ruamel.yaml.YAML(typ="safe", pure=True)


def _unshared(value: Any) -> Any:
    """Return a copy in which what an anchor has shared is there several times."""
    if isinstance(value, dict):
        return {key: _unshared(item) for key, item in value.items()}
    return [_unshared(item) for item in value] if isinstance(value, list) else value


def _child(node: Node | None, key: str) -> Node | None:
    if isinstance(node, MappingNode):
        for name, value in node.value:
            if isinstance(name, ScalarNode) and name.value == key:
                found: Node = value
                return found
    return None


_PLAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 _./-]*[A-Za-z0-9_./-])?\Z")


# Truth values for readers of YAML 1.1, such as Ansible.
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


_ESCAPED = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}


@lru_cache(maxsize=4096)
def text(value: str) -> str:
    """Write a text, in quotes where it could be taken for anything else."""
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
    """Write a text, a list or a mapping of them on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{text(key)}: {inline(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, value)) + "]"
    return text(value)


def block(key: str, value: Any, indent: int = 0) -> list[str]:
    """Write a key and its value as lines: mappings as blocks, lists on one line."""
    pad = " " * indent
    if isinstance(value, Mapping) and value:
        lines = [line for name, item in value.items() for line in block(name, item, indent + 2)]
        return [f"{pad}{text(key)}:", *lines]
    return [f"{pad}{text(key)}: {inline(value)}"]
