"""A state file that is there already, for commands that show it or change a row of it; no pass is made."""

from pathlib import Path

from solders.pubkey import Pubkey

from dzbgp.errors import UsageError
from dzbgp.state.place import state_path
from dzbgp.state.store import Store


def open_past(given: Path | None, program_id: Pubkey, *, read_only: bool) -> Store:
    """Open the state file of a program, `given` or not, whatever ledger of that program it is of. Raises UsageError."""
    path = state_path(given, program_id)
    if not path.is_file() or not path.stat().st_size:
        raise UsageError(
            f"--state {path}: there is no state file; expected one that a pass of `dzbgp run` or `dzbgp watch` has made"
        )
    return Store.open(path, program_id, read_only=read_only, is_required=True)
