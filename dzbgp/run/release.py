"""`dzbgp release`: lets through what the guard holds."""

from collections import Counter
from collections.abc import Iterator

from dzbgp.console.words import abbreviated, amount
from dzbgp.listing.history import find_device
from dzbgp.state.records import devices, held_users
from dzbgp.state.store import Store


def release_held(store: Store, host: str | None) -> Iterator[str]:
    """Release the held users of a host, or of all; yield what was done, as lines. Raises UsageError."""
    known = devices(store)
    wanted = find_device(host, known, "HOST") if host else None
    held = {user: device for user, device in held_users(store).items() if wanted in {None, device}}
    if not held:
        yield f"Nothing is held{f' on {host}' if host else ''}."
        return
    store.release(held)
    for device, count in Counter(held.values()).items():
        name = known[device].code if device in known else abbreviated(str(device))
        yield f"Released {amount(count, 'user')} on {name}: the next pass writes Down for each that is still down."
