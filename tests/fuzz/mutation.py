"""Turns bytes into small changes of a right answer: what a fuzzer mutates then stays an answer, and gets far."""

import copy
from collections.abc import Sequence
from typing import Any

ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**63,
    2**64,
    10**30,
    0.5,
    1e308,
    float("inf"),
    float("nan"),
    "",
    "0",
    "-1",
    "null",
    "0.0.0.0",
    "169.254.0.1",
    "169.254.0.0",
    "255.255.255.255",
    "256.1.1.1",
    "169.254.0.1/31",
    "169.254.1",
    "::",
    "::ffff:169.254.0.1",
    "fe80::1%Et1",
    "Established",
    "established",
    "Idle",
    "Active",
    "NoSuchState",
    "Administratively shut down",
    "default",
    "global",
    "vrf1",
    "vrf2",
    "65000.1",
    "\x00",
    "\x1b[2J",
    "\ud800",
    "x" * 10_000,
    "😀",
    "AAAA",
    "base64",
    [],
    [[]],
    [None],
    [[[[[[[[[[]]]]]]]]]],
    {},
    {"": None},
    {"vrfs": {}},
    {"169.254.0.1": {}},
)


class Source:
    """Gives decisions out of bytes; when they are used up, always the first choice."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> bool:
        return self._at < len(self._data)

    def number(self, below: int) -> int:
        """From 0 to `below` - 1."""
        value = 0
        reach = 1
        while reach < below and self.left:
            value = value << 8 | self._data[self._at]
            self._at += 1
            reach <<= 8
        return value % below

    def pick(self, values: Sequence[Any]) -> Any:
        return values[self.number(len(values))]

    def take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken


def mutated(source: Source, answer: Any, most: int = 6) -> Any:
    """A copy of a JSON value, changed in up to `most` places."""
    answer = copy.deepcopy(answer)
    for _ in range(most):
        if not source.left:
            break
        answer = _mutate(source, answer)
    return answer


def _mutate(source: Source, answer: Any) -> Any:
    holder: Any = None
    key: Any = None
    node = answer
    # Down from the top, with a chance to stop at every step.
    while isinstance(node, dict | list) and node and source.number(8):
        holder = node
        key = source.pick(list(node)) if isinstance(node, dict) else source.number(len(node))
        node = node[key]
    replaced = _other(source, node)
    if holder is None:
        return replaced
    match source.number(4):
        case 0 if isinstance(holder, dict):
            holder[str(source.pick(ODD))[:50]] = holder.pop(key)
        case 1:
            del holder[key]
        case 2 if isinstance(holder, list):
            holder.append(copy.deepcopy(node))
        case _:
            holder[key] = replaced
    return answer


def _other(source: Source, node: Any) -> Any:
    match source.number(4):
        case 0 if isinstance(node, str) and node:
            at = source.number(len(node))
            return node[:at] + chr(32 + source.number(95)) + node[at + 1 :]
        case 1 if isinstance(node, int) and not isinstance(node, bool):
            return node + source.pick((1, -1, 256, -(2**40), 2**62))
        case _:
            return copy.deepcopy(source.pick(ODD))
