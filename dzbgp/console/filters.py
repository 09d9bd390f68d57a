"""Filters of rows, as they come from the command line."""

import difflib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, TypeVar

from dzbgp.console.words import loose
from dzbgp.errors import UsageError
from dzbgp.models.ledger import Contributor, OpenEnum

R = TypeVar("R")

_FEW = 12
"""A message shows up to this many names."""


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
    choices: Collection[str] = ()
    """Names that the message shows: all if they are few, else those nearest to the unknown one."""

    def choose(self, rows: Iterable[R]) -> list[R]:
        """Return the rows that pass. Raises UsageError for a name that does not exist."""
        if not self.wanted:
            return list(rows)
        known = set(map(self.fold, self.known))
        for name in self.wanted:
            if self.fold(name) not in known:
                told = f"{self.option}: unknown name {name!r}: expected {self.expected}"
                raise UsageError(f"{told}{self._choices(name)}")
        wanted = set(map(self.fold, self.wanted))
        return [row for row in rows if not wanted.isdisjoint(map(self.fold, self.names(row)))]

    def _choices(self, name: str) -> str:
        if len(self.choices) > _FEW:
            return f" (nearest: {', '.join(difflib.get_close_matches(name, self.choices, _FEW, 0))})"
        return f" ({', '.join(sorted(self.choices))})" if self.choices else ""


def word_filter(
    option: str, wanted: Sequence[str], word: Callable[[R], OpenEnum], kind: type[IntEnum], rows: Iterable[R]
) -> Filter[R]:
    """Return a filter by a word of the program; the ledger may have one that this version does not know."""
    labels = [member.label for member in kind if isinstance(member, OpenEnum)]
    known = dict.fromkeys([*labels, *(word(row).label for row in rows)])
    return Filter(
        option, wanted, lambda row: [word(row).label], [*known], f"one of {', '.join(known)}", fold=loose
    )


def contributor_filter(
    option: str,
    wanted: Sequence[str],
    contributor: Callable[[R], Contributor | None],
    known: Iterable[Contributor],
) -> Filter[R]:
    """Return a filter by the code or the key of a contributor; a row without one (None) never passes."""

    def names(one: Contributor | None) -> list[str]:
        return [name for name in (one.code, str(one.pubkey)) if name] if one else []

    named = [names(one) for one in known]
    return Filter(
        option,
        wanted,
        lambda row: names(contributor(row)),
        [name for several in named for name in several],
        "the code or the key of a contributor",
        choices={several[0] for several in named},
    )
