"""How an option is declared: once, as a field of the dataclass that carries it to where it is used.

    max_age_s: float = duration(60, DECISION, "Write nothing that was seen longer ago than this.")

is the default, `--max-age`, DZBGP_MAX_AGE, the key `max-age` of a configuration file, and the value. The command line
reads the declarations (dzbgp/cli/options.py); a Python program makes the dataclass.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_type_hints

from dzbgp.console.words import loose, parse_duration
from dzbgp.errors import UsageError

PANELS = (
    "Daily use",
    "Choose hosts",
    "Choose rows",
    "Set up",
    "Reach the devices",
    "Reach the ledger",
    "Decide and write",
    "Hold a mass of Downs",
    "Report",
    "Tuning",
)
"""The sections of a command's help, in this order."""
DAILY, HOSTS, ROWS, SET_UP, DEVICES, LEDGER, WRITE, GUARD, REPORT, TUNING = PANELS

_OPTION = "option"
_DURATION_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))
_UNNAMED = re.compile(r"unknown-[0-9]{1,3}")
_WHOLE = re.compile(r"[0-9]{1,18}")
_NUMBER = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?")


@dataclass(frozen=True, slots=True)
class Option:
    """How a field is written on the command line, and its help."""

    panel: str
    help: str
    name: str = ""
    """Empty: the name of the field, without a unit of seconds."""
    short: str = ""
    """One letter with its dash, such as `-o`."""
    alias: str = ""
    """Another name, which works and is not shown."""
    metavar: str | None = None
    parse: Callable[[str], Any] | None = None
    """Parses a text, and raises ValueError; None: Typer knows the field's type."""
    spell: Callable[[Any], str] = str
    """Spells a default in the form that `parse` reads."""
    is_repeatable: bool = False
    """The field is a tuple, of which each mention of the option is one item."""
    is_listed: bool = False
    """Each mention is a text that `parse` turns into several items."""
    split: Callable[[str], list[str]] | None = None
    """Splits a variable into single values; None: Typer splits it, paths at colons."""
    is_counted: bool = False
    """The field is the number of mentions."""
    shown_default: str | None = None
    """Text in the help for a default that is known only at run time."""
    key: str = ""
    """The key of a configuration file and, after DZBGP_, the variable, where they are not the name: each means the same
    in every command."""
    completion: Callable[[Mapping[str, Any]], Iterable[str]] | None = None
    """Returns completions, given the other options' values by field. Light: a shell waits for it."""
    replaces_file: bool = False
    """If the option is given, no configuration file is searched for."""


@dataclass(frozen=True, slots=True)
class Declared:
    """An option with the field that declares it."""

    field: str
    name: str
    """With dashes, without those in front."""
    kind: Any
    """The field's type."""
    default: Any
    option: Option

    @property
    def key(self) -> str:
        """The key of a configuration file."""
        return self.option.key or self.name

    @property
    def variable(self) -> str:
        """The environment variable."""
        return "DZBGP_" + self.key.upper().replace("-", "_")

    @property
    def is_path(self) -> bool:
        """Whether the value is a path, or several."""
        return self.option.parse is None and Path in (self.kind, *get_args(self.kind))

    def check_filled(self, text: object) -> None:
        """Raise ValueError for an empty text. As a path it would be a directory, as anything else the default."""
        if text == "" and self.option.parse is None:
            noun = "path" if self.is_path else self.option.metavar or "value"
            raise ValueError(f"it is empty; expected {'an' if noun[0] in 'AEIO' else 'a'} {noun}")


def option(default: Any, panel: str, help: str, **more: Any) -> Any:  # noqa: A002 - as Typer calls it
    """Declare a field as an option; `more` are the fields of Option."""
    return field(default=default, metadata={_OPTION: Option(panel, help, **more)})


def duration(default: float, panel: str, help: str) -> Any:  # noqa: A002
    """Declare a field in seconds, written as 90s, 5m or 6h. Its name ends in `_s`."""
    return option(default, panel, help, metavar="TIME", parse=parse_duration, spell=spelled_duration)


def share(default: float, panel: str, help: str) -> Any:  # noqa: A002
    """Declare a field from 0 to 1, written as 30% or 0.3."""
    return option(default, panel, help, metavar="SHARE", parse=_share, spell=lambda part: f"{part:.0%}")


def number(default: int | None, panel: str, help: str, *, least: int, **more: Any) -> Any:  # noqa: A002
    """Declare a field that is a whole number, `least` or more."""

    def parse(text: str) -> int:
        if not _WHOLE.fullmatch(text) or int(text) < least:
            raise ValueError(f"invalid number {text!r}: expected a whole number, {least} or more")
        return int(text)

    return option(default, panel, help, metavar="N", parse=parse, **more)


def sol(default: float, panel: str, help: str) -> Any:  # noqa: A002
    """Declare a field in SOL. Its name ends in `_sol`, the option's does not."""
    return option(default, panel, help, metavar="SOL", parse=_amount)


def listed(panel: str, help: str, noun: str, **more: Any) -> Any:  # noqa: A002
    """Declare a field that is a tuple of names, with commas between them or an option each; empty by default."""
    more = {"parse": names, "spell": ",".join, "split": lambda text: [text]} | more
    return option((), panel, help, metavar=f"{noun},...", is_repeatable=True, is_listed=True, **more)


def repeated(panel: str, help: str, name: str, metavar: str, **more: Any) -> Any:  # noqa: A002
    """Declare a field that is a tuple of what each mention of `--name` says; empty by default."""
    return option((), panel, help, name=name, metavar=metavar, is_repeatable=True, **more)


def apart(start: str, separator: str = r"[,\n]\s*") -> Callable[[str], list[str]]:
    """Return what splits a text at each separator that is followed by a value's start, a regular expression.

    A value may hold blanks and commas: the file in `json,markdown=/tmp/my report, today.md`.
    """

    def split(text: str) -> list[str]:
        found = re.split(f"{separator}(?={start})", text.strip(", \t\r\n"))
        return [value.strip() for value in found if value]

    return split


def declared(carrier: type) -> Iterator[Declared]:
    """Yield the options that a dataclass declares, and those of dataclasses that are its fields."""
    hints = get_type_hints(carrier)
    for one in dataclasses.fields(carrier):
        found = one.metadata.get(_OPTION)
        if found is not None:
            name = found.name or one.name.removesuffix("_s").removesuffix("_sol").replace("_", "-")
            yield Declared(one.name, name, hints[one.name], one.default, found)
        elif dataclasses.is_dataclass(hints[one.name]):
            yield from declared(hints[one.name])


def made(carrier: type, values: dict[str, Any]) -> Any:
    """Make the dataclass of the values of its options, by field; what has none keeps its default."""
    hints = get_type_hints(carrier)
    given = {}
    for one in dataclasses.fields(carrier):
        if _OPTION in one.metadata:
            if one.name in values:
                given[one.name] = values[one.name]
        elif dataclasses.is_dataclass(hints[one.name]):
            given[one.name] = made(hints[one.name], values)
    return carrier(**given)


def names(text: str) -> tuple[str, ...]:
    """Return the names of a comma-separated list. Raises ValueError for an empty list, which would mean all."""
    found = tuple(name.strip() for name in text.split(",") if name.strip())
    if not found:
        raise ValueError(f"{text!r} holds no name; expected names separated by commas")
    return found


def words(known: Mapping[str, str], noun: str, *, sign: str = "") -> Callable[[str], tuple[str, ...]]:
    """Return what parses names that are known, or their titles; a name may begin with `sign`.

    Upper and lower case are the same, and so is a name without its dashes. `unknown-7` is how a number of the program
    is called that this version has no name for.
    """
    by_word = {loose(word): name for name, title in known.items() for word in (name, title) if word}

    def parse(text: str) -> tuple[str, ...]:
        found = []
        for given in names(text):
            name = given.removeprefix(sign)
            if loose(name) not in by_word and not _UNNAMED.fullmatch(name):
                raise ValueError(f"unknown {noun} {name!r}: expected one of {', '.join(known)}")
            found.append(given[: len(given) - len(name)] + by_word.get(loose(name), name))
        return tuple(found)

    return parse


def addresses(text: str) -> tuple[str, ...]:
    """Return IPv4 addresses in their usual form. Raises ValueError."""
    from ipaddress import AddressValueError, IPv4Address  # noqa: PLC0415 - slow

    try:
        return tuple(str(IPv4Address(name)) for name in names(text))
    except AddressValueError:
        raise ValueError(f"invalid address {text!r}: expected IPv4, such as 198.51.100.7") from None


def pair(text: str) -> tuple[str, str]:
    """Return key and value of KEY=VALUE. Raises UsageError."""
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise UsageError(f"--filter: invalid filter {text!r}: expected KEY=VALUE")
    return key, value


def spelled_duration(seconds: float) -> str:
    """Return a duration as parse_duration reads it: `6h`, `90s`, `500ms`."""
    if seconds and seconds < 1:
        return f"{seconds * 1000:g}ms"
    for size, unit in _DURATION_UNITS:
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.12g}s"


def _share(text: str) -> float:
    part = text.removesuffix("%")
    value = float(part) if _NUMBER.fullmatch(part) else -1.0
    value /= 100 if part != text else 1
    if not 0 <= value <= 1:
        raise ValueError(f"invalid share {text!r}: expected for example 30% or 0.3")
    return value


def _amount(text: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"invalid amount {text!r}: expected SOL, for example 0.5")
    return float(text)
