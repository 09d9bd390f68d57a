"""All commands as one group, of which each is imported when it is asked for."""

import os
from typing import Any, NamedTuple

import typer

from dzbgp.cli.commands import ENTRIES, registered
from dzbgp.cli.help import Command, Group, paragraphs, rows, title
from dzbgp.errors import one_line

_OWN = (
    ("-V, --version", "Print the version and exit."),
    ("--install-completion", "Install completion for this shell."),
    ("--show-completion", "Print the completion, to install it by hand."),
)


class _Item(NamedTuple):
    """A word that completes a line, in the form that the shells' scripts read."""

    value: str
    help: str
    type: str = "plain"


class Overview(Group):
    """All commands."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names, in the order of the help."""
        del ctx
        return list(ENTRIES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command, or None if there is no such command."""
        del ctx
        if cmd_name in ENTRIES and cmd_name not in self.commands:
            self.commands[cmd_name] = _loaded(cmd_name)
        return self.commands.get(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that the arguments name. Raises a usage error that names the nearest one."""
        if args[0] not in ENTRIES and not ctx.resilient_parsing:
            from dzbgp.cli.config_file import nearest  # noqa: PLC0415 - slow

            ctx.fail(f"unknown command {one_line(args[0])!r}{nearest(args[0], ENTRIES)}")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Return the commands that begin so, without importing any of them."""
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [_Item(name, entry.help) for name, entry in ENTRIES.items() if name.startswith(incomplete)]

    def help_lines(self, ctx: Any) -> list[str]:
        """Return the overview."""
        lines = [
            f"{title('Usage:')} {ctx.command_path} [OPTIONS] COMMAND ...",
            "",
            *paragraphs(self.help or ""),
        ]
        groups = dict.fromkeys(entry.group for entry in ENTRIES.values())
        for group in groups:
            found = [(name, entry.help) for name, entry in ENTRIES.items() if entry.group == group]
            lines += ["", title(group), *rows(found, max(map(len, ENTRIES)))]
        lines += ["", title("Options"), *rows(_OWN, max(len(name) for name, _ in _OWN)), ""]
        return [*lines, *paragraphs(f"{ctx.command_path} COMMAND --help shows the options of a command.")]


def is_completing() -> bool:
    """Return whether a shell asks for completion, and not a person for a command."""
    return "_DZBGP_COMPLETE" in os.environ


def commands_in(words: list[str]) -> list[str]:
    """Return the words of a command line that name a command."""
    name = words[0] if words and words[0] in ENTRIES else ""
    inner = [word for word in words[1:2] if [name, word] in (["config", "show"], ["inventory", "trust"])]
    return [name, *inner] if name else []


def _loaded(name: str) -> Any:
    program = registered(name)
    program.registered_commands = [
        one
        for one in program.registered_commands
        if name in {one.name, getattr(one.callback, "__name__", "")}
    ]
    _dress(program)
    return typer.main.get_group(program).commands[name]


def _dress(program: typer.Typer) -> None:
    for command in program.registered_commands:
        command.cls = Command
    for group in program.registered_groups:
        group.cls = Group
        if group.typer_instance is not None:
            _dress(group.typer_instance)
