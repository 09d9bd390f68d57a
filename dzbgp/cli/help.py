"""Help in plain lines: what is used daily comes first, and an option takes one line where it fits.

Not Typer's own: that draws frames, gives half of their width to types and variables, and loads rich to do so.
"""

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Any, get_args

import typer
from typer.core import TyperCommand, TyperGroup

from dzbgp.cli.options import CONFIG, declared_by
from dzbgp.console.option import PANELS, Declared
from dzbgp.errors import ExitCode

_WIDEST_TEXT = 100
_WIDEST_NAME = 26
_NARROWEST = 40
_SENTENCE = (
    "[]: the default. Each option is also a variable (--dry-run: DZBGP_DRY_RUN) and a key of --config."
)


class Completable:
    """Completes a line without converting the values on it: Typer loads pydantic to do so, and a shell waits."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters. The values of a line that is being completed stay as they are written."""
        found: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        if ctx.resilient_parsing:
            for one in found:
                one.process_value = _as_written
        return found


def _as_written(ctx: Any, value: Any) -> Any:
    del ctx
    return value


class Command(Completable, TyperCommand):
    """A command whose help is in plain lines."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        formatter.write("\n".join(command_lines(self, ctx)))


class Group(Completable, TyperGroup):
    """A command with others below it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Show the help where no command is named."""
        if not args and self.no_args_is_help and not ctx.resilient_parsing:
            typer.echo(ctx.get_help())
            raise typer.Exit(ExitCode.USAGE)
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        formatter.write("\n".join(self.help_lines(ctx)))

    def help_lines(self, ctx: Any) -> Iterable[str]:
        """Return the lines of the help."""
        yield from command_lines(self, ctx)
        found = [(name, self._summary(ctx, name)) for name in self.list_commands(ctx)]
        yield from ("", title("Commands"), *rows(found, max(len(name) for name, _ in found)))

    def _summary(self, ctx: Any, name: str) -> str:
        command = self.get_command(ctx, name)
        return command.get_short_help_str(_WIDEST_TEXT) if command else ""


def command_lines(command: Any, ctx: Any) -> Iterator[str]:
    """Yield the help of one command."""
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    words = [_usage(one) for one in arguments]
    words += ["[COMMAND ...]"] * isinstance(command, Group)
    yield " ".join([title("Usage:"), ctx.command_path, "[OPTIONS]", *words])
    yield ""
    yield from paragraphs(command.help or "")
    options = [*declared_by(command.name), CONFIG] if declared_by(command.name) else []
    panels = {panel: [one for one in options if one.option.panel == panel] for panel in PANELS}
    shown = {panel: [(spelled(one), told(one)) for one in found] for panel, found in panels.items() if found}
    if arguments:
        shown = {"Arguments": [(_noun(one), one.help or "") for one in arguments]} | shown
    names = [name for found in shown.values() for name, _ in found]
    width = max((len(name) for name in names if len(name) <= _WIDEST_NAME), default=_WIDEST_NAME)
    for panel, found in shown.items():
        yield from ("", title(panel), *rows(found, width))
    if options:
        yield ""
        yield from paragraphs(" ".join([_SENTENCE, *_exceptions(options)]))


def _noun(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper()).strip("[]")


def _usage(argument: Any) -> str:
    return _noun(argument) if argument.required else f"[{_noun(argument)}]"


def spelled(one: Declared) -> str:
    """Return an option as it is written: its names and what stands for its value."""
    what, name = one.option, f"--{one.name}"
    kinds = (one.kind, *get_args(one.kind))
    if bool in kinds:
        name = name if one.default is False else f"--[no-]{one.name}"
        value = ""
    else:
        choices = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, StrEnum)), ())
        value = "|".join(choices) if what.metavar is None and choices else what.metavar or ""
    names = [f"-{letter}" for letter in what.short.removeprefix("-")] + [name]
    return " ".join([", ".join(names), *[value] * bool(value)])


def told(one: Declared) -> str:
    """Return the help of an option with its default."""
    default = one.option.shown_default
    if default is None and one.default not in (None, (), "", False, True) and not one.option.is_counted:
        default = one.option.spell(one.default)
    return f"{one.option.help} [{default}]" if default else one.option.help


def _exceptions(options: Iterable[Declared]) -> Iterator[str]:
    """Yield a sentence about the options whose variable is not called as they are."""
    found = [f"--{one.name}: {one.variable}" for one in options if one.option.key]
    if found:
        yield f"Other names: {', '.join(found)}."


def paragraphs(text: str) -> Iterator[str]:
    """Yield wrapped lines, with a blank line between paragraphs."""
    for number, paragraph in enumerate(text.split("\n\n")):
        if number:
            yield ""
        yield from _wrapped(" ".join(paragraph.split()), min(_width(), _WIDEST_TEXT))


def rows(found: Sequence[tuple[str, str]], width: int) -> Iterator[str]:
    """Yield names and their texts in two columns; the text goes below a name that is wider than `width`."""
    indent = " " * (2 + width + 2)
    for name, text in found:
        lines = _wrapped(text, _width() - len(indent)) or [""]
        if len(name) > width:
            yield f"  {name}"
            yield from (indent + line for line in lines)
        else:
            yield f"  {name:<{width}}  {lines[0]}".rstrip()
            yield from (indent + line for line in lines[1:])


def title(text: str) -> str:
    """Return text in bold where a terminal shows it."""
    is_plain = not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if is_plain else f"\x1b[1m{text}\x1b[0m"


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_on_hyphens=False)


def _width() -> int:
    return max(shutil.get_terminal_size().columns, _NARROWEST)
