"""The devices' password where the inventory has none: the environment's, or that of a file it names."""

import os
from pathlib import Path

from dzbgp.errors import UsageError

PASSWORD = "DZBGP_EOS_PASSWORD"  # noqa: S105 - the variable's name
PASSWORD_FILE = "DZBGP_EOS_PASSWORD_FILE"  # noqa: S105 - the variable's name
_LONGEST = 4096


def password() -> str | None:
    """Gives what DZBGP_EOS_PASSWORD holds, else the file that DZBGP_EOS_PASSWORD_FILE names; None without both.

    One line end at the file's end is not part of the password. Raises UsageError, without a word of its content.
    """
    given = os.environ.get(PASSWORD)
    named = os.environ.get(PASSWORD_FILE)
    if given or not named:
        return given
    try:
        with Path(named).expanduser().open("rb") as file:
            content = file.read(_LONGEST + 1)
        text = content.decode()
    except OSError as error:
        why = error.strerror or "unreadable"
        raise UsageError(f"{PASSWORD_FILE} {named}: {why}; expected a file with the password") from None
    except UnicodeDecodeError:
        raise UsageError(f"{PASSWORD_FILE} {named}: it is not UTF-8; expected the password") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text or len(content) > _LONGEST or not text.isprintable():
        raise UsageError(f"{PASSWORD_FILE} {named}: expected one line, the password, and nothing else")
    return text
