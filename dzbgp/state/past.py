"""A state file that is there already, for commands that show it or change a row of it; no pass is made."""

from pathlib import Path

from solders.pubkey import Pubkey

from dzbgp.errors import UsageError
from dzbgp.ledger.networks import NETWORKS
from dzbgp.state.place import state_path
from dzbgp.state.store import Store


def open_past(given: Path | None, program_id: Pubkey, *, read_only: bool) -> Store:
    """Open the state file of a program, `given` or not, whatever ledger of that program it is of. Raises UsageError."""
    path = state_path(given, program_id)
    if not _is_there(path):
        raise UsageError(
            f"--state {path}: there is no state file; expected one that a pass of `dzbgp run` or `dzbgp watch` has made"
            f"{_hint(program_id) if given is None else ''}"
        )
    return Store.open(path, program_id, read_only=read_only, is_required=True)


def _is_there(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _hint(program_id: Pubkey) -> str:
    """Return where a state file is, if another network has the only one."""
    others = [
        one.name
        for one in NETWORKS.values()
        if one.program_id != program_id and _is_there(state_path(None, one.program_id))
    ]
    return f". There is one of {others[0]}: --env {others[0]}" if len(others) == 1 else ""
