"""A part of a fleet: N hosts or CI jobs share one without talking to each other."""

import re
from dataclasses import dataclass
from typing import Self

from dzbgp.errors import UsageError

_FORM = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `number` of `count`, counted from 1."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `I/N`. Raises UsageError."""
        found = _FORM.fullmatch(text)
        number, count = map(int, found.groups()) if found else (0, 0)
        if not 1 <= number <= count:
            raise UsageError(f"--shard: invalid part {text!r}; expected I/N with I from 1 to N, as in 2/4")
        return cls(number, count)

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def takes(self, key: bytes) -> bool:
        """Return whether what `key` names belongs to this part: of N parts exactly one says so.

        The first 8 bytes of SHA-256, big endian, modulo the count: the same on every machine and in every version.
        For a device the key is its pubkey's 32 bytes; for a host without a device, its name in UTF-8.
        """
        import hashlib  # noqa: PLC0415 - the command line starts without it

        return int.from_bytes(hashlib.sha256(key).digest()[:8], "big") % self.count == self.number - 1
