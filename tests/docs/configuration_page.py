"""Makes docs/configuration.md: `python tests/docs/configuration_page.py docs/configuration.md`."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from command_tree import every_word

_HEAD = """# Configuration

`make docs` makes this page from the commands. The order is: command line, environment variable, configuration file,
default. `dzbgp config show` prints which value each option has and where it comes from.

Durations are `90s`, `5m`, `6h`. In the variable of a repeatable option, paths are separated by colons and anything else
by spaces. A variable or a key means the same in every command. An unknown `DZBGP_` variable is a warning.

## The configuration file

`--config PATH`, else `DZBGP_CONFIG`, else `~/.config/dzbgp/config.toml`, else `/etc/dzbgp/config.toml`. It is TOML:
keys at the top hold for every command, those in a table for one.

```toml
env = "testnet"
rpc-url = ["https://rpc.example.net/TOKEN", "https://backup.example.net"]
inventory = "/etc/dzbgp/inventory"
keypair = ["/etc/dzbgp/secrets/publisher.json"]
eos-username = "monitor"
eos-password-file = "/etc/dzbgp/secrets/eos-password"

[watch]
interval = "60s"
metrics-addr = "127.0.0.1:9473"
```

A key is the option's name, or what the tables below say. Lists are for options that take several values. Relative paths
start from the file's directory. Unknown keys and wrong values end every command with exit code 2 and name the line.
With `--lab` no file is read unless `--config` names one.

## The login

Where the inventory has no login for the devices, `DZBGP_EOS_USERNAME` or the key `eos-username` names the user. The
password comes from the first of these:

1. `DZBGP_EOS_PASSWORD`
2. `DZBGP_EOS_PASSWORD_FILE`: a file that holds it
3. `DZBGP_EOS_PASSWORD_COMMAND`: a command that prints it. It is run once, without a shell, for 30 s at most.
4. the keys `eos-password-file` and `eos-password-command`

No password stands in the configuration file itself. A command there is run only if the file belongs to this user or
root and nobody else can write it.

## The inventory

In the inventory, beside what Nornir and NAPALM know, the data of a host, a group or the defaults may say: `dz_device`
(the device's code or pubkey, where the host is not called as the device), `dz_tls_verify` (true, false),
`dz_tls_ca_file`, `dz_tls_fingerprint` (the SHA-256 fingerprint of the device's certificate, or a list of them),
`dz_identity_check` (true, false), and what the guard lets the device lose: `dz_max_down` (a share
from 0 to 1) and `dz_max_down_min`.
"""


def page() -> str:
    """Gives the whole page."""
    return "\n".join([_HEAD, *(line for words in every_word() for line in _command(words))])


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
