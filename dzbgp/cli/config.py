"""`dzbgp config show`: which value each option has, and where it comes from. Nothing is written or fetched."""

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from dzbgp.cli import config_file
from dzbgp.cli.errors import reporting_errors
from dzbgp.cli.options import declared_by, every_command, takes
from dzbgp.cli.own_options import Logging
from dzbgp.console.option import REPORT, Declared, option
from dzbgp.errors import one_line
from dzbgp.fleet.options import rpc_urls_in
from dzbgp.ledger.secrets import redact

_PROGRAM = re.compile(r"\s*[\w./-]+(?=\s|$)")


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    json: bool = option(False, REPORT, "Print JSON instead of text.")


@dataclass(frozen=True, slots=True)
class _Effective:
    """A value as people write it; `command` empty: of every command that takes the option."""

    command: str
    key: str
    value: Any
    source: str
    is_default: bool = False


def register(app: typer.Typer) -> None:
    """Add the group to `app`."""
    config = typer.Typer(
        help="Shows the configuration. Nothing is written.",
        no_args_is_help=True,
    )
    app.add_typer(config, name="config")

    @config.command()
    @takes(_Wanted, Logging)
    def show(wanted: _Wanted, logging: Logging, ctx: typer.Context) -> None:
        """Shows the value of each option and where it comes from. Secrets are masked; nothing is written.

        Precedence: command line, environment, file, default. Exit codes: 0 done; 2 an error in the file; 3 the result
        could not be printed.
        """
        with reporting_errors(logging):
            from dzbgp.console.stdout import print_text  # noqa: PLC0415 - slow

            found = config_file.read(config_file.find(ctx.params["config"]), every_command())
            settings = [*_login(found), *_shared(found), *_tables(found)]
            if wanted.json:
                rows = [
                    {"command": one.command or None, "key": one.key, "value": one.value, "source": one.source}
                    for one in settings
                ]
                file = None if found.path is None else str(found.path)
                text = json.dumps({"file": file, "settings": rows}, indent=2)
            else:
                text = "\n".join(_lines(found, settings))
            code = print_text(text)
        raise typer.Exit(code)


def _lines(found: config_file.ConfigFile, settings: Iterable[_Effective]) -> Iterator[str]:
    yield f"# file: {one_line(found.path or 'none')}"
    command = ""
    for one in settings:
        if one.command != command:
            command = one.command
            yield f"\n[{command}]"
        yield _line(one)


def _line(one: _Effective) -> str:
    assignment = one.key if one.value is None else f"{one.key} = {json.dumps(one.value, ensure_ascii=False)}"
    assignment = f"# {assignment}" if one.is_default else assignment
    return one_line(f"{assignment:<48} # {one.source}")


def _every() -> dict[str, Declared]:
    """Return the options by key, without those of the login, which are shown apart."""
    every = {one.key: one for known in every_command().values() for one in known}
    return {key: one for key, one in every.items() if key not in config_file.LOGIN}


def _shared(found: config_file.ConfigFile) -> Iterator[_Effective]:
    for key, one in sorted(_every().items()):
        if given := os.environ.get(one.variable):
            yield _Effective("", key, _masked(key, given), one.variable)
        elif setting := found.shared.get(key):
            yield _Effective("", key, _masked(key, setting.value), f"{found.path}:{setting.line}")
        else:
            yield _Effective("", key, _default(one), "default", is_default=True)


def _tables(found: config_file.ConfigFile) -> Iterator[_Effective]:
    for command, table in sorted(found.tables.items()):
        variables = {one.key: one.variable for one in declared_by(command)}
        for key, setting in table.items():
            if not os.environ.get(variables[key]):
                source = f"{found.path}:{setting.line}"
                yield _Effective(command, key, _masked(key, setting.value), source)


def _login(found: config_file.ConfigFile) -> Iterator[_Effective]:
    if os.environ.get(config_file.PASSWORD):
        yield _Effective("", "eos-password", "set, not shown", config_file.PASSWORD)
    for key, variable in config_file.LOGIN.items():
        if given := os.environ.get(variable):
            yield _Effective("", key, _masked(key, given), variable)
        elif setting := found.login.get(key):
            yield _Effective("", key, _masked(key, setting.value), f"{found.path}:{setting.line}")


def _masked(key: str, value: Any) -> Any:
    """Return the value without what may be secret: the path of an RPC's URL, the words of a command."""
    if isinstance(value, list):
        return [_masked(key, item) for item in value]
    if key == "rpc-url":
        return " ".join(map(_origin, rpc_urls_in(value)))
    if key == "eos-password-command":
        # The first word may be a secret too, as in TOKEN=... vault.
        return f"{Path(found[0]).name} ..." if (found := _PROGRAM.match(value)) else "..."
    return value


def _origin(url: str) -> str:
    where = redact(url)
    return where if url.rstrip("/") == where else f"{where}/..."


def _default(one: Declared) -> Any:
    if one.default is None or one.default in {(), "", ...}:
        return one.option.shown_default and f"({one.option.shown_default})"
    if isinstance(one.default, bool):
        return one.default
    return one.option.spell(one.default) if one.option.parse else str(one.default)
