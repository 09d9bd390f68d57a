"""Which rows and fields are wanted: filters, the order, and the columns, as they come from the command line."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import AddressValueError, IPv4Address
from typing import Generic, TypeVar

from dzbgp.errors import UsageError
from dzbgp.models.ledger import OpenEnum

R = TypeVar("R")


def exact(text: str) -> str:
    """Codes and keys: only upper and lower case are the same."""
    return text.casefold()


def loose(text: str) -> str:
    """Words of the program: `GREOverDIA`, `gre-over-dia` and `gre_over_dia` are the same."""
    return "".join(char for char in text.casefold() if char.isalnum())


@dataclass(frozen=True, slots=True)
class Filter(Generic[R]):
    """Rows of which one of `names` is among those wanted. An empty `wanted` lets everything pass."""

    option: str
    wanted: Sequence[str]
    names: Callable[[R], Iterable[str]]
    """What a row may be called in this respect."""
    known: Collection[str]
    """What may be wanted at all: a slip shall not look like an empty list."""
    expected: str
    """The same in words."""
    fold: Callable[[str], str] = exact

    def choose(self, rows: Iterable[R]) -> list[R]:
        """Gives the rows that pass. Raises UsageError for a name that nothing has."""
        if not self.wanted:
            return list(rows)
        known = set(map(self.fold, self.known))
        for name in self.wanted:
            if self.fold(name) not in known:
                raise UsageError(f"{self.option}: {name!r} is not known; expected {self.expected}")
        wanted = set(map(self.fold, self.wanted))
        return [row for row in rows if not wanted.isdisjoint(map(self.fold, self.names(row)))]


def word_filter(
    option: str, wanted: Sequence[str], word: Callable[[R], OpenEnum], kind: type[IntEnum], rows: Iterable[R]
) -> Filter[R]:
    """Filters by a word of the program; one that this version does not know may be there all the same."""
    labels = [member.label for member in kind if isinstance(member, OpenEnum)]
    known = dict.fromkeys([*labels, *(word(row).label for row in rows)])
    return Filter(
        option, wanted, lambda row: [word(row).label], [*known], f"one of {', '.join(known)}", fold=loose
    )


def addresses(option: str, wanted: Sequence[str]) -> list[str]:
    """Gives IPv4 addresses in their usual form. Raises UsageError."""
    try:
        return [str(IPv4Address(text)) for text in wanted]
    except AddressValueError as error:
        raise UsageError(f"{option}: {error}; expected an IPv4 address such as 198.51.100.7") from None
