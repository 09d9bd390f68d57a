"""Makes docs/configuration.md: `python tests/docs/configuration_page.py docs/configuration.md`."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from dzbgp.cli.app import app

_HEAD = """# Configuration

Made from the commands themselves by `make docs`. An option beats its environment variable, a variable the default.
Durations are `90s`, `5m`, `6h`. In the variable of a repeatable option, paths are separated by colons
and anything else by spaces.

The devices' login, where the inventory has none, has no option: `DZBGP_EOS_USERNAME`, and `DZBGP_EOS_PASSWORD`, else
`DZBGP_EOS_PASSWORD_FILE` (a file that holds it), else `DZBGP_EOS_PASSWORD_COMMAND` (a command that prints it, run once,
without a shell, for 30 s at most).

In the inventory, beside what Nornir and NAPALM know, the data of a host, a group or the defaults may say: `dz_device`
(the device's code or pubkey, where the host is not called as the device), `dz_tls_verify` (true, false),
`dz_tls_ca_file`, `dz_identity_check` (true, false), and what the guard lets the device lose: `dz_max_down` (a share
from 0 to 1) and `dz_max_down_min`.
"""


def page() -> str:
    """Gives the whole page."""
    commands = getattr(typer.main.get_command(app), "commands")  # noqa: B009 - a group's own
    return "\n".join([_HEAD, *(line for name in commands for line in _command(name, commands[name]))])


def _command(name: str, command: Any) -> Iterator[str]:
    yield f"## dzbgp {name}\n"
    yield "| option | variable | default | |"
    yield "|---|---|---|---|"
    for option in command.params:
        if option.param_type_name != "option":
            continue
        if option.name != "help":
            spelled = ", ".join(f"`{one}`" for one in (*option.opts, *option.secondary_opts))
            yield f"| {spelled} | `{option.envvar}` | {_default(option)} | {option.help.replace('|', '/')} |"
    yield ""


def _default(option: Any) -> str:
    if isinstance(option.show_default, str):
        return option.show_default
    value = option.default
    if value is None or value == "" or value is False or option.count:
        return ""
    if value is True:
        return f"`{option.opts[0]}`"
    return f"`{getattr(value, 'value', value)}`"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
