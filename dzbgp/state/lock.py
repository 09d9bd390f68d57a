"""One run at a time on one state file."""

import contextlib
import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from dzbgp.errors import StateLockedError

log = logging.getLogger(__name__)

_POLL_S = 0.1


@contextmanager
def state_lock(state: Path, wait_s: float = 5.0) -> Iterator[None]:
    """Holds the lock of the state file `state` while inside.

    The lock goes with the process, however it ends. Raises StateLockedError, which names the holder, when it does
    not become free within `wait_s`. Where no lock file can be made the run goes on without, with a warning.
    """
    file = state.with_name(state.name + ".lock")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        log.warning("state: %s can not be locked (%s); going on without", state, error.strerror)
        yield
        return
    try:
        _acquire(descriptor, state, wait_s)
        _sign(descriptor)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, state: Path, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise StateLockedError(
                    f"--state {state}: {holder(descriptor)}; nothing was written"
                ) from None
            time.sleep(_POLL_S)
        except OSError as error:
            # A file system without locks, such as some network mounts.
            log.warning("state: %s can not be locked (%s); going on without", state, error.strerror)
            return
        else:
            return


def _sign(descriptor: int) -> None:
    """Says who holds the lock. A full disk is no reason to hold it namelessly any less."""
    signature = {"pid": os.getpid(), "since": datetime.now(UTC).isoformat(timespec="seconds")}
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(signature).encode(), 0)


def holder(descriptor: int) -> str:
    """Return who holds the lock, as far as its file says."""
    try:
        found = json.loads(os.pread(descriptor, 1000, 0))
        return f"another run has it: pid {int(found['pid'])}, since {str(found['since'])[:40]}"
    except (ValueError, KeyError, TypeError):
        return "another run has it"
