"""The commands of the command line, those in groups too, as Typer has them."""

from collections.abc import Iterator
from typing import Any

import typer

from dzbgp.cli.app import app


def every_word() -> dict[tuple[str, ...], Any]:
    """Return each command, and each group, by its words."""
    return dict(_below(typer.main.get_command(app)))


def _below(group: Any, *before: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        yield (*before, name), command
        if hasattr(command, "list_commands"):
            yield from _below(command, *before, name)
