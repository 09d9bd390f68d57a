"""Write docs/configuration.md: `python tests/docs/configuration_page.py docs/configuration.md`."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from command_tree import every_word

_HEAD = """# Configuration

For operators who set options. At the end of this page you know every option of every command, its environment variable
and its key in the configuration file.

An option is taken from the first of these: command line, environment variable, configuration file, default.
`dzbgp config show` prints the value of each option and where it comes from. `make docs` generates this page.

Durations are written `90s`, `5m`, `6h`. A variable or a key means the same in every command. An unknown `DZBGP_`
variable causes a warning.

The variable of a repeatable option holds several values. Paths are separated by colons, other values by commas or line
breaks: `DZBGP_OUTPUT="json,markdown=/tmp/my report.md"`. A value may hold blanks, and commas too: one separates only
where the next value begins, with a format (`DZBGP_OUTPUT`), with `KEY=` (`DZBGP_FILTER`), or with `https://` or
`http://` (`DZBGP_RPC_URL`, whose URLs may also be separated by spaces).

## The configuration file

dzbgp reads the first of these: `--config PATH`, `DZBGP_CONFIG`, `~/.config/dzbgp/config.toml`,
`/etc/dzbgp/config.toml`. The file is TOML. Keys at the top apply to every command, keys in a table to one command. The
shipped example:

<!-- from contrib/config.toml -->
```toml
{example}```

A key is the option's name without the dashes, unless the tables below name another. Options that take several values
have lists. Relative paths start from the file's directory. An unknown key or a wrong value ends every command with exit
code 2, and the error names the line. With `--lab` no file is read unless `--config` names one.

## The login

Where the inventory has no login for the devices, `DZBGP_EOS_USERNAME` or the key `eos-username` names the user. The
password comes from the first of these:

1. `DZBGP_EOS_PASSWORD`
2. `DZBGP_EOS_PASSWORD_FILE`: a file that holds it
3. `DZBGP_EOS_PASSWORD_COMMAND`: a command that prints it. It is run once, without a shell, for 30 s at most.
4. the keys `eos-password-file` and `eos-password-command`

The configuration file itself cannot hold a password. A command in it is run only if the file belongs to this user or to
root, and nobody else can write it.

## The inventory

The `data` of a host, a group or the defaults can have these keys, in addition to those of Nornir and NAPALM:

| key | value |
|---|---|
| `dz_device` | the device's code or pubkey, if the host has another name |
| `dz_tls_verify` | true or false, as `--tls-verify` |
| `dz_tls_ca_file` | a file, as `--tls-ca-file` |
| `dz_tls_fingerprint` | the SHA-256 fingerprint of the device's certificate, or a list of fingerprints |
| `dz_identity_check` | true or false, as `--identity-check` |
| `dz_max_down` | a share from 0 to 1, as `--max-down`, for this device |
| `dz_max_down_min` | a number of users, as `--max-down-min`, for this device |
"""
_EXAMPLE = Path(__file__).parents[2] / "contrib/config.toml"


def page() -> str:
    """Return the whole page."""
    # Without the head, which is about the file's permissions.
    _, first, rest = _EXAMPLE.read_text(encoding="utf-8").partition("\nenv = ")
    head = _HEAD.replace("{example}", f"{first.lstrip()}{rest}")
    return "\n".join([head, *(line for words in every_word() for line in _command(words))])


def _command(words: tuple[str, ...]) -> Iterator[str]:
    options = [one for one in every_word()[words].params if one.param_type_name == "option"]
    if [one.name for one in options] == ["help"]:
        return
    yield f"## dzbgp {' '.join(words)}\n"
    yield "| option | variable | default | |"
    yield "|---|---|---|---|"
    for option in options:
        if option.name != "help":
            spelled = ", ".join(f"`{one}`" for one in (*option.opts, *option.secondary_opts))
            text = option.help.replace("|", "/")
            key = option.envvar.removeprefix("DZBGP_").lower().replace("_", "-")
            if f"--{key}" not in option.opts:
                text += f" Key: `{key}`."
            yield f"| {spelled} | `{option.envvar}` | {_default(option)} | {text} |"
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
