"""Which of the state files of one place was used last."""

import sqlite3
from pathlib import Path

from dzbgp.errors import UsageError
from dzbgp.state.place import file_of_later, files_of_later
from dzbgp.state.schema import connect


def last_used(path: Path) -> Path:
    """Return the file at this place that a run which knew its ledger used last; `path` if there is no other."""
    found = {file: _facts(file) for file in files_of_later(path)}
    # Another file may have such a name.
    later = {
        file: facts
        for file, facts in found.items()
        if file == file_of_later(path, facts.get("genesis_hash", ""))
    }
    if not later:
        return path
    used = {path: _used_at(_facts(path))} | {file: _used_at(facts) for file, facts in later.items()}
    # Alike: a file beside another one is there because it was needed later.
    return max(reversed(used), key=used.__getitem__)


def _facts(file: Path) -> dict[str, str]:
    """Return what a state file says of itself; nothing if it cannot be read."""
    if not file.is_file() or not file.stat().st_size:
        return {}
    try:
        connection = connect(file, read_only=True)
    except (sqlite3.Error, OSError, UsageError):
        return {}
    try:
        return {str(key): str(value) for key, value in connection.execute("SELECT key, value FROM meta")}
    except sqlite3.Error:
        return {}
    finally:
        connection.close()


def _used_at(facts: dict[str, str]) -> float:
    try:
        return float(facts.get("used_at", 0.0))
    except ValueError:
        return 0.0
