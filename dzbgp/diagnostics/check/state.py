"""Tests whether the state file can be used. It is not created, not written and not locked."""

import contextlib
import os
import sqlite3
from pathlib import Path

from solders.pubkey import Pubkey

from dzbgp.diagnostics.check.results import CheckResults, CheckSection
from dzbgp.errors import ExitCode
from dzbgp.state.lock import is_locked, lock_file
from dzbgp.state.schema import MIGRATIONS

_PICK = "choose another file with --state"


def check_state(path: Path, program_id: Pubkey) -> CheckResults:
    """Test the state file at `path`, its directory and its lock."""
    found = CheckResults(CheckSection.STATE)
    subject = str(path)
    try:
        _check_place(path, subject, found)
        if path.is_file() and os.access(path, os.R_OK):
            _check_content(path, subject, program_id, found)
        _check_lock(lock_file(path), subject, found)
    except OSError as error:
        why = f"it cannot be read: {error.strerror or type(error).__name__}"
        found.fail(subject, "writable", why, _PICK, ExitCode.USAGE)
    return found


def _check_place(path: Path, subject: str, found: CheckResults) -> None:
    if path.is_dir():
        detail = "it is a directory: expected a file"
        found.fail(subject, "writable", detail, _PICK, ExitCode.USAGE)
        return
    if path.exists() and not (path.is_file() and os.access(path, os.R_OK | os.W_OK)):
        detail = f"it cannot be read and written by this user (uid {os.geteuid()})"
        found.fail(subject, "writable", detail, f"chown it, or {_PICK}", ExitCode.USAGE)
        return
    # SQLite creates files beside it, and the first run creates the directories.
    place = next(parent for parent in path.absolute().parents if parent.exists())
    if not (place.is_dir() and os.access(place, os.W_OK | os.X_OK)):
        detail = f"{place} cannot be written by this user (uid {os.geteuid()})"
        found.fail(subject, "writable", detail, f"chown or chmod the directory, or {_PICK}", ExitCode.USAGE)
        return
    there = (
        "it exists and can be written" if path.exists() else f"it does not exist yet; {place} can be written"
    )
    found.ok(subject, "writable", there)


def _check_content(path: Path, subject: str, program_id: Pubkey, found: CheckResults) -> None:
    if path.stat().st_size == 0:
        return
    if path.with_name(path.name + "-wal").exists():
        # To read it, SQLite would have to write files next to it.
        found.ok(subject, "content", "not tested: a run uses it, or was killed; the next run recovers it")
        return
    try:
        version, owner = _read(path)
    except sqlite3.DatabaseError:
        hint = "no action needed: a run moves it aside and starts with an empty one"
        found.warn(subject, "content", "it is corrupt, or not an SQLite database", hint)
        return
    if version == 0 or owner is None:
        detail = "it is the database of another application: expected a file of dzbgp"
        found.fail(subject, "content", detail, _PICK, ExitCode.USAGE)
    elif owner != str(program_id):
        detail = f"it belongs to program {owner}: expected program {program_id}"
        found.fail(subject, "content", detail, f"{_PICK}: every network needs its own", ExitCode.USAGE)
    elif version > len(MIGRATIONS):
        detail = f"a newer dzbgp wrote it (schema {version}; this version knows {len(MIGRATIONS)})"
        found.warn(subject, "content", detail, f"update dzbgp, or {_PICK}: this version runs without it")
    else:
        found.ok(subject, "content", "it belongs to this program")


def _read(path: Path) -> tuple[int, str | None]:
    """Return the schema's version and the program's key; None for a database of another application."""
    # Immutable: SQLite creates no lock and no file beside it.
    uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as database:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "flight_users" not in tables:
            return int(version), None
        row = database.execute("SELECT value FROM meta WHERE key = 'program_id'").fetchone()
        return int(version), str(row[0]) if row else None


def _check_lock(lock: Path, subject: str, found: CheckResults) -> None:
    try:
        is_used = is_locked(lock)
    except FileNotFoundError:
        is_used = False
    if is_used:
        hint = "runs for other devices can go on in parallel; a run that shares a device with it ends with exit code 1"
        found.warn(subject, "lock", "another run uses it", hint)
    else:
        found.ok(subject, "lock", "no run uses it")
