"""The state files of one place: the first ledger has the file itself, each later one has a file beside it."""

import re
import sqlite3
from pathlib import Path

from dzbgp.errors import UsageError
from dzbgp.state.schema import connect

_BEGIN = 8
"""As many characters of a genesis hash (base58) end the name of a later ledger's file."""


def file_of_later(path: Path, genesis_hash: str) -> Path:
    """Return the file of a ledger where `path` is another ledger's."""
    return path.with_name(f"{path.name}.{genesis_hash[:_BEGIN]}")


def files_of_later(path: Path) -> list[Path]:
    """Return the files beside `path` whose names are those of later ledgers' files."""
    if not path.parent.is_dir():
        return []
    name = re.compile(rf"{re.escape(path.name)}\.[1-9A-HJ-NP-Za-km-z]{{{_BEGIN}}}")
    return sorted(file for file in path.parent.iterdir() if name.fullmatch(file.name))


def last_used(path: Path) -> Path:
    """Return the file at this place that a run which knew its ledger used last; `path` if there is no other."""
    later = {file: facts for file in files_of_later(path) if (facts := _facts(file)) and _is_of(file, facts)}
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


def _is_of(file: Path, facts: dict[str, str]) -> bool:
    return file.name.endswith(f".{facts.get('genesis_hash', '')[:_BEGIN]}")


def _used_at(facts: dict[str, str]) -> float:
    try:
        return float(facts.get("used_at", 0.0))
    except ValueError:
        return 0.0
