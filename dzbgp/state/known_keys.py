"""The certificates and SSH host keys that devices have shown: the file's part of it (eos/trust.py has the rest)."""

import time
from collections.abc import Callable

from dzbgp.state.store import Store


def read_known_keys(store: Store) -> dict[tuple[str, str], str]:
    """Return the keys by the host's name in the inventory and the kind of key; none of a file of an older version."""
    has_table = "SELECT name FROM sqlite_master WHERE name = 'known_keys'"
    if not store.database.read(has_table):
        return {}
    rows = store.database.read("SELECT host, kind, key FROM known_keys")
    return {(str(host), str(kind)): str(key) for host, kind, key in rows}


def keep_known_key(
    store: Store, host: str, kind: str, key: str, clock: Callable[[], float] = time.time
) -> bool:
    """Write the key that is expected of a host from now on. Return whether that went well."""
    return _write(store, "INSERT OR REPLACE", (host, kind, key, clock()))


def add_known_key(
    store: Store, host: str, kind: str, key: str, clock: Callable[[], float] = time.time
) -> bool:
    """Write the key that a host has shown first, unless another process has noted one meanwhile.

    Return whether that went well.
    """
    return _write(store, "INSERT OR IGNORE", (host, kind, key, clock()))


def _write(store: Store, insert: str, row: tuple[str, str, str, float]) -> bool:
    return store.database.write(
        lambda database: database.execute(f"{insert} INTO known_keys VALUES (?, ?, ?, ?)", row)
    )
