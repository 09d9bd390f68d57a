"""Filters of rows, as they come from the command line."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, TypeVar

from dzbgp.console.words import loose
from dzbgp.errors import UsageError
from dzbgp.models.ledger import OpenEnum

R = TypeVar("R")


def exact(text: str) -> str:
    """Return what codes and keys are compared by: upper and lower case are the same."""
    return text.casefold()


@dataclass(frozen=True, slots=True)
class Filter(Generic[R]):
    """Chooses rows that have one of the wanted names. Nothing wanted: every row passes."""

    option: str
    wanted: Sequence[str]
    names: Callable[[R], Iterable[str]]
    """Return the names by which a row can be chosen."""
    known: Collection[str]
    """All names that exist: a typing error must not look like an empty list."""
    expected: str
    """The same in words, for the message."""
    fold: Callable[[str], str] = exact

    def choose(self, rows: Iterable[R]) -> list[R]:
        """Return the rows that pass. Raises UsageError for a name that does not exist."""
        if not self.wanted:
            return list(rows)
        known = set(map(self.fold, self.known))
        for name in self.wanted:
            if self.fold(name) not in known:
                raise UsageError(f"{self.option}: unknown name {name!r}: expected {self.expected}")
        wanted = set(map(self.fold, self.wanted))
        return [row for row in rows if not wanted.isdisjoint(map(self.fold, self.names(row)))]


def word_filter(
    option: str, wanted: Sequence[str], word: Callable[[R], OpenEnum], kind: type[IntEnum], rows: Iterable[R]
) -> Filter[R]:
    """Return a filter by a word of the program; the ledger may have one that this version does not know."""
    labels = [member.label for member in kind if isinstance(member, OpenEnum)]
    known = dict.fromkeys([*labels, *(word(row).label for row in rows)])
    return Filter(
        option, wanted, lambda row: [word(row).label], [*known], f"one of {', '.join(known)}", fold=loose
    )
