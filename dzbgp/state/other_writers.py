"""Who else reports, by what the state file of earlier passes knows."""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from solders.pubkey import Pubkey

from dzbgp.errors import DzbgpError
from dzbgp.models.ledger import User
from dzbgp.state.memory import Memory
from dzbgp.state.store import Store

log = logging.getLogger(__name__)


def other_writers(
    path: Path, program_id: Pubkey, genesis_hash: str | None, users: Iterable[User]
) -> Mapping[Pubkey, int]:
    """Return by device how many of `users` another writer reported since our last write, or since the last pass.

    The state file at `path` is not changed. Never raises: without a file that can be read nothing is known.
    """
    try:
        with Store.open(path, program_id, genesis_hash, read_only=True) as store:
            memory = Memory(store, dry_run=True)
            memory.in_flight = {user: sent for sent in store.in_flight() for user in sent.users}
            return memory.other_writers(users).since_write
    except (DzbgpError, OSError) as error:
        log.debug("other writers: %s", error)
        return {}
