"""Where the state files are: one place for a program, whatever shard, environment name or other options say.

The first ledger has the file itself, each later one has a file beside it.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from solders.pubkey import Pubkey

SYSTEM = Path("/var/lib/dzbgp")
_BEGIN = 8
"""As many characters of a genesis hash (base58) end the name of a later ledger's file."""


def state_path(
    given: Path | None, program_id: "Pubkey", environ: Mapping[str, str] = os.environ, system: Path = SYSTEM
) -> Path:
    """Return the state file of a program, `given` or not."""
    return given if given is not None else state_directory(environ, system) / f"{program_id}.sqlite"


def state_directory(environ: Mapping[str, str] = os.environ, system: Path = SYSTEM) -> Path:
    """Return where state files are.

    In $STATE_DIRECTORY (systemd's), else in /var/lib/dzbgp if that can be written, else in the user's state directory
    (XDG Base Directory).
    """
    for_service = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if for_service:
        return Path(for_service)
    if system.is_dir() and os.access(system, os.W_OK | os.X_OK):
        return system
    return Path(os.path.expanduser(environ.get("XDG_STATE_HOME") or "~/.local/state")) / "dzbgp"


def file_of_later(path: Path, genesis_hash: str) -> Path:
    """Return the file of a ledger where `path` is another ledger's."""
    return path.with_name(f"{path.name}.{genesis_hash[:_BEGIN]}")


def files_of_later(path: Path) -> list[Path]:
    """Return the files beside `path` whose names are those of later ledgers' files."""
    if not path.parent.is_dir():
        return []
    name = re.compile(rf"{re.escape(path.name)}\.[1-9A-HJ-NP-Za-km-z]{{{_BEGIN}}}")
    return sorted(file for file in path.parent.iterdir() if name.fullmatch(file.name))
