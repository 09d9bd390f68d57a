"""The users that the state files know, for completion: light, and never an error."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dzbgp.state.place import files_of_later, state_directory


def known_users(given: Mapping[str, Any]) -> list[str]:
    """Return the keys of the users in the state files of the options, or in all that are where state files are."""
    places = [Path(given["state"])] if given.get("state") else state_directory().glob("*.sqlite")
    return sorted({key for place in places for file in _files(place) for key in _users(file)})


def _files(place: Path) -> list[Path]:
    """Return the file at this place, and those of later ledgers beside it."""
    try:
        return [place, *files_of_later(place)]
    except OSError:
        return [place]


def _users(file: Path) -> list[str]:
    import sqlite3  # noqa: PLC0415 - the command line starts without it

    # A pipe would be waited for without end.
    if not file.is_file():
        return []
    try:
        connection = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=0)
    except sqlite3.Error:
        return []
    try:
        return [key for (key,) in connection.execute("SELECT user FROM users")]
    except sqlite3.Error:
        return []
    finally:
        connection.close()
