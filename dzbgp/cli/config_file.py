"""The configuration file: each option once, for all commands or in the table of one.

What it says becomes the defaults of the command line, so the order is command line, environment, file, default.
"""

import difflib
import os
import re
import stat
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO, get_args

from dzbgp.cli.places import PLACES, VARIABLE
from dzbgp.console.option import Declared
from dzbgp.errors import DzbgpError, UsageError

LOGIN = {
    "eos-username": "DZBGP_EOS_USERNAME",
    "eos-password-file": "DZBGP_EOS_PASSWORD_FILE",
    "eos-password-command": "DZBGP_EOS_PASSWORD_COMMAND",
}
"""The keys of the devices' login, which no option of a command names, and their variables."""
PASSWORD = "DZBGP_EOS_PASSWORD"  # noqa: S105 - the variable's name
_LARGEST = 1 << 20
_HEADER = re.compile(r"\s*\[([^\[\]]+)\]")
_ASSIGNMENT = re.compile(r"\s*([A-Za-z0-9_.\"'-]+)\s*=")
_LINE_OF_ERROR = re.compile(r"at line (\d+)")


@dataclass(frozen=True, slots=True)
class Setting:
    """A value of the file as the command line takes it, and the line that says it."""

    value: Any
    line: int


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """What the file says. Without a file everything is empty."""

    path: Path | None = None
    shared: Mapping[str, Setting] = field(default_factory=dict)
    tables: Mapping[str, Mapping[str, Setting]] = field(default_factory=dict)
    """By command."""
    login: Mapping[str, Setting] = field(default_factory=dict)

    def setting(self, command: str, key: str) -> Setting | None:
        """Return what holds for a command: its own table comes first."""
        return self.tables.get(command, {}).get(key) or self.shared.get(key)


def find(given: Path | None) -> Path | None:
    """Return the file that holds: `given`, else the first of PLACES that is there. Never in the working directory."""
    if given is not None:
        return given
    for place in map(os.path.expanduser, PLACES):
        if Path(place).is_absolute() and Path(place).exists():
            return Path(place)
    return None


def read(path: Path | None, commands: Mapping[str, Collection[Declared]]) -> ConfigFile:
    """Read the file. Raises UsageError with the line and the key of what is wrong, whichever command it is for."""
    if path is None:
        return ConfigFile()
    try:
        with path.open("rb") as file:
            content, is_private = file.read(_LARGEST + 1), _is_private(file)
    except OSError as error:
        raise UsageError(
            f"{path}: {error.strerror}; expected a configuration file. --config names another (/dev/null: none)"
        ) from None
    try:
        text = content.decode()
        said = tomllib.loads(text)
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not UTF-8; expected a configuration file in TOML") from None
    except tomllib.TOMLDecodeError as error:
        found = _LINE_OF_ERROR.search(str(error))
        line = found[1] if found else len(text.splitlines())
        raise UsageError(f"{path}:{line}: not valid TOML; expected KEY = VALUE or [COMMAND]") from None
    return _Reader(path, commands, dict(_lines(text)), is_private=is_private).read(said)


def unchecked(path: Path | None, command: str) -> dict[str, Any]:
    """Return the paths that a command's options have in the file, for completion: nothing is checked or an error."""
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8")) if path and path.is_file() else {}
    except (OSError, ValueError):
        return {}
    table = said.get(command)
    said |= table if isinstance(table, dict) else {}
    paths = {key: said[key] for key in ("inventory", "state") if isinstance(said.get(key), str)}
    return {
        key: str(path.absolute().parent / os.path.expanduser(text)) for key, text in paths.items() if path
    }


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean X?`, or nothing."""
    close = difflib.get_close_matches(name, sorted(known), 1, 0.7)
    return f"; did you mean {close[0]}?" if close else ""


def unknown_variables(commands: Callable[[], Mapping[str, Collection[Declared]]]) -> Iterator[str]:
    """Return a sentence for each variable that looks like one of dzbgp's and is none."""
    given = sorted(name for name in os.environ if name.startswith("DZBGP_"))
    if not given:
        return
    known = {one.variable for every in commands().values() for one in every}
    known |= {VARIABLE, PASSWORD, *LOGIN.values()}
    for name in given:
        if name not in known:
            yield f"{name}: unknown environment variable; it is ignored{nearest(name, known)}"


def _is_private(file: BinaryIO) -> bool:
    """Return whether only this user or root can have written the file."""
    found = os.fstat(file.fileno())
    return found.st_uid in {0, os.geteuid()} and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _lines(text: str) -> Iterator[tuple[tuple[str, ...], int]]:
    """Return the line of each key, by path; tomllib does not report it."""
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = _path(header[1])
            yield table, number
        elif assigned := _ASSIGNMENT.match(line):
            yield (*table, *_path(assigned[1])), number


def _path(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip(" \"'") for part in dotted.split("."))


def _noun(value: Any) -> str:
    """Return what a value is. What it says may be secret: the URL of an RPC, which is not what was expected."""
    nouns = {bool: "true or false", str: "a text", int: "a number", float: "a number", dict: "a table"}
    if isinstance(value, list):
        odd = next((_noun(one) for one in value if not isinstance(one, str)), "")
        return f"a list with {odd}" if odd else "a list"
    return nouns.get(type(value), "a date or a time")


class _Reader:
    def __init__(
        self,
        path: Path,
        commands: Mapping[str, Collection[Declared]],
        lines: Mapping[tuple[str, ...], int],
        *,
        is_private: bool,
    ) -> None:
        self._path = path
        self._commands = {name: {one.key: one for one in every} for name, every in commands.items()}
        self._every = {key: one for known in self._commands.values() for key, one in known.items()}
        self._lines = lines
        self._is_private = is_private

    def read(self, said: Mapping[str, Any]) -> ConfigFile:
        shared, tables, login = {}, {}, {}
        for key, value in said.items():
            if isinstance(value, dict) and key in self._commands:
                known = self._commands[key]
                tables[key] = {
                    inner: self._setting((key, inner), known, given) for inner, given in value.items()
                }
            elif key in LOGIN:
                login[key] = self._login(key, value)
            elif key == "eos-password":
                raise self._wrong(
                    (key,),
                    "a password does not belong here; expected eos-password-file or eos-password-command",
                )
            else:
                shared[key] = self._setting((key,), self._every, value)
        return ConfigFile(self._path, shared, tables, login)

    def _setting(self, path: tuple[str, ...], known: Mapping[str, Declared], given: Any) -> Setting:
        key = path[-1]
        if key not in known:
            by_option = next((one.key for one in known.values() if one.name == key), None)
            hint = f"; did you mean {by_option}?" if by_option else nearest(key, [*known, *LOGIN])
            if isinstance(given, dict):
                raise self._wrong(path, f"unknown command{nearest(key, self._commands)}")
            where = f" for dzbgp {path[0]}" if len(path) > 1 else ""
            raise self._wrong(path, f"unknown key{where}{hint}")
        try:
            return Setting(self._value(known[key], given), self._lines.get(path, 1))
        except (ValueError, DzbgpError) as error:
            raise self._wrong(path, str(error).removeprefix(f"--{key}: ")) from None

    def _login(self, key: str, given: Any) -> Setting:
        if not isinstance(given, str) or not given or "\0" in given:
            raise self._wrong((key,), "expected a text")
        if key == "eos-password-command" and not self._is_private:
            raise self._wrong(
                (key,), "a command runs only from a file of this user or root that nobody else can write"
            )
        return Setting(
            self._place(given) if key == "eos-password-file" else given, self._lines.get((key,), 1)
        )

    def _value(self, one: Declared, given: Any) -> Any:
        """Return the value as the command line takes it. Raises ValueError, or what the option's parser raises."""
        kinds = {one.kind, *get_args(one.kind)}
        if bool in kinds:
            if not isinstance(given, bool):
                raise ValueError(f"expected true or false, found {_noun(given)}")
            return given
        if one.default == ():
            items = [given] if isinstance(given, str) else given
            if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
                raise ValueError(f"expected a list of texts, found {_noun(given)}")
            if not items:
                raise ValueError("an empty list; expected at least one, or no such key")
            if not one.option.is_repeatable:
                return self._checked(one, kinds, ",".join(items))
            return [self._checked(one, kinds, item) for item in items]
        is_number = isinstance(given, int | float) and not isinstance(given, bool)
        if is_number and kinds & {int, float}:
            return self._checked(one, kinds, str(given))
        if isinstance(given, str):
            return self._checked(one, kinds, given)
        raise ValueError(f"expected a text, found {_noun(given)}")

    def _checked(self, one: Declared, kinds: set[Any], text: str) -> str:
        if one.option.parse is not None:
            one.option.parse(text)
        elif int in kinds and not text.isdecimal():
            raise ValueError(f"invalid number {text!r}: expected a whole number")
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, StrEnum) and text not in set(kind):
                raise ValueError(f"unknown value {text!r}: expected one of {', '.join(kind)}")
        one.check_filled(text)
        if "\0" in text:
            raise ValueError("a null character; expected a text without it")
        return self._place(text) if one.is_path else text

    def _place(self, text: str) -> str:
        """Return a path, taken from the file's own directory; `none` and URLs are no paths."""
        if text == "none" or "://" in text:
            return text
        return str(self._path.absolute().parent / os.path.expanduser(text))

    def _wrong(self, path: tuple[str, ...], what: str) -> UsageError:
        return UsageError(f"{self._path}:{self._lines.get(path, 1)}: {'.'.join(path)}: {what}")
