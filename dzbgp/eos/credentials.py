"""The devices' password where the inventory has none: the environment's, that of a file, or what a command prints.

What the environment does not say may come from the configuration file (`configure`), but never a password itself.
"""

import functools
import os
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dzbgp.errors import UsageError

PASSWORD = "DZBGP_EOS_PASSWORD"  # noqa: S105 - the variable's name
PASSWORD_FILE = "DZBGP_EOS_PASSWORD_FILE"  # noqa: S105 - the variable's name
PASSWORD_COMMAND = "DZBGP_EOS_PASSWORD_COMMAND"  # noqa: S105 - the variable's name
USERNAME = "DZBGP_EOS_USERNAME"
_KEYS = {
    USERNAME: "eos-username",
    PASSWORD_FILE: "eos-password-file",
    PASSWORD_COMMAND: "eos-password-command",
}
_configured: dict[str, str] = {}
_LONGEST = 4096
_PATIENCE_S = 30


@dataclass(frozen=True, slots=True)
class Login:
    """A user of the devices."""

    username: str | None = None
    password: str | None = field(default=None, repr=False)


def here() -> Login:
    """Return the login of this process's environment. Raises UsageError."""
    return Login(username(), password())


def configure(said: Mapping[str, str]) -> None:
    """Use what a configuration file says, by its keys, where the environment says nothing."""
    _configured.clear()
    _configured.update(said)


def forget() -> None:
    """Make the next `password` run the command again, so that a service sees a new one."""
    _of_command.cache_clear()


def username() -> str | None:
    """Return DZBGP_EOS_USERNAME, else what the configuration file says."""
    return os.environ.get(USERNAME) or _configured.get(_KEYS[USERNAME])


def password() -> str | None:
    """Return DZBGP_EOS_PASSWORD, else the file DZBGP_EOS_PASSWORD_FILE, else the command's output, else None.

    DZBGP_EOS_PASSWORD_COMMAND names the command; a configuration file may name file and command too. One line end at
    the end is not part of the password. The command is run once, without a shell, and has 30 s. Raises UsageError,
    without a word of what was read.
    """
    if given := os.environ.get(PASSWORD):
        return given
    for source, is_configured in ((os.environ, False), (_configured, True)):
        file, command = (_KEYS[one] if is_configured else one for one in (PASSWORD_FILE, PASSWORD_COMMAND))
        if named := source.get(file):
            return _line(_of_file(named, file), f"{file} {named}")
        if words := source.get(command):
            return _of_command(words, command)
    return None


def _of_file(named: str, source: str) -> bytes:
    try:
        with Path(os.path.expanduser(named)).open("rb") as file:
            return file.read(_LONGEST + 1)
    except OSError as error:
        why = error.strerror or "unreadable"
        raise UsageError(f"{source} {named}: {why}; expected a file with the password") from None


# Every host asks, and a vault may ask a person for each.
@functools.cache
def _of_command(command: str, source: str) -> str:
    """Run the command. Neither its words, which may hold a token, nor its output are ever shown."""
    try:
        words = shlex.split(command)
    except ValueError:
        raise UsageError(f"{source}: its quotes do not match; expected a command") from None
    if not words:
        raise UsageError(f"{source}: it is blank; expected a command")
    name = f"{source} ({Path(words[0]).name})"
    try:
        done = subprocess.run(  # noqa: S603 - the command is the operator's own
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=_PATIENCE_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise UsageError(f"{name}: it did not end in {_PATIENCE_S} s; expected the password") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it cannot be run"
        raise UsageError(f"{name}: {why}; expected a command that prints the password") from None
    if done.returncode:
        raise UsageError(f"{name}: it ended with {done.returncode}; expected 0 and the password")
    return _line(done.stdout, name)


def _line(content: bytes, name: str) -> str:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise UsageError(f"{name}: it is not UTF-8; expected the password") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text or len(content) > _LONGEST or not text.isprintable():
        raise UsageError(f"{name}: expected one line, the password, and nothing else")
    return text
