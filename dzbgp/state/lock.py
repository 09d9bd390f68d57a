"""Which devices this run writes for: no two runs on one state file write for the same one.

Each device is one byte of the lock file, locked by the open file itself (open file description locks): the lock goes
with the process, however it ends, and holds between threads of one process too.
"""

import contextlib
import errno
import fcntl
import hashlib
import logging
import os
import struct
import threading
import time
from collections.abc import Collection, Iterator
from pathlib import Path

log = logging.getLogger(__name__)

_POLL_S = 0.1
_FLOCK = struct.Struct("hhqqi4x")
"""struct flock of fcntl(2) with 64-bit offsets: type, whence, start, length, pid (0 for these locks)."""
_OPENING = (1 << 63) - 2
"""The byte of whoever opens or mends the state file."""


def lock_file(state: Path) -> Path:
    """Return the lock file of a state file."""
    return state.with_name(state.name + ".lock")


def is_locked(file: Path) -> bool:
    """Return whether a run holds anything in this lock file, without locking it. Raises OSError."""
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        found, *_ = _FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, asked)[: _FLOCK.size])
        return bool(found != fcntl.F_UNLCK)
    finally:
        os.close(descriptor)


class DeviceLocks:
    """The locks that one run holds. A file system without locks is logged once, and the run continues without locks."""

    def __init__(self, state: Path, wait_s: float = 5.0) -> None:
        self._file = lock_file(state)
        self._wait_s = wait_s
        self._descriptor: int | None = None
        self._held: dict[int, bytes] = {}
        self._lost: dict[int, bytes] = {}
        """What a removed lock file held, and is not locked again yet."""
        self.was_removed = False
        """Whether the lock file was removed or replaced while it was held: others may have written since. The store
        resets it after it has read the users again."""
        self._is_warned = False
        self._changing = threading.RLock()
        """Held while locks change: a watch holds devices while what signs for it mends."""

    def hold(self, keys: Collection[bytes], wait_s: float | None = None) -> bytes | None:
        """Hold these keys and no others. Return one of them that another run still holds after `wait_s`, if any."""
        wanted = {_offset(key): key for key in keys}
        deadline = time.monotonic() + (self._wait_s if wait_s is None else wait_s)
        while True:
            with self._changing:
                taken = self._taken(wanted)
            if taken is None or time.monotonic() >= deadline:
                return taken
            time.sleep(_POLL_S)

    def is_intact(self) -> bool:
        """Return whether the lock file is still the one that was locked: it may have been removed or replaced."""
        if self._descriptor is None:
            return not self._held
        try:
            ours, there = os.fstat(self._descriptor), self._file.lstat()
        except OSError:
            return False
        return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)

    def mend(self) -> bytes | None:
        """Lock again what a removed lock file held. Return a key that another run has taken meanwhile, if any."""
        with self._changing:
            if self.is_intact() and not self._lost:
                return None
            return self.hold([*self._held.values(), *self._lost.values()], wait_s=0)

    @contextlib.contextmanager
    def opening(self) -> Iterator[None]:
        """Let one process at a time open, mend or replace the state file."""
        deadline = time.monotonic() + self._wait_s
        while self._opened() and not self._set(fcntl.F_WRLCK, _OPENING) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        try:
            yield
        finally:
            if self._descriptor is not None:
                self._set(fcntl.F_UNLCK, _OPENING)

    def close(self) -> None:
        """Release all locks."""
        self._held = {}
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _taken(self, wanted: dict[int, bytes]) -> bytes | None:
        """Lock what is wanted and give back the rest, or change nothing and return what another run holds."""
        if not self._opened():
            self._held, self._lost = wanted, {}
            return None
        fresh: list[int] = []
        for offset in sorted(wanted.keys() - self._held.keys()):
            if not self._set(fcntl.F_WRLCK, offset):
                for mine in fresh:
                    self._set(fcntl.F_UNLCK, mine)
                return wanted[offset]
            fresh.append(offset)
        for offset in self._held.keys() - wanted.keys():
            self._set(fcntl.F_UNLCK, offset)
        self._held, self._lost = wanted, {}
        return None

    def _opened(self) -> bool:
        """Open the lock file; one that is not the file of that name any more is left for the new one."""
        if self._descriptor is not None and not self.is_intact():
            log.warning("state: the lock file %s was removed or replaced while it was held", self._file)
            os.close(self._descriptor)
            self._descriptor, self._held, self._lost = None, {}, self._held
            self.was_removed = True
        while self._descriptor is None:
            try:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
                self._descriptor = os.open(self._file, flags, 0o600)
            except OSError as error:
                self._warn(error)
                return False
            if not self.is_intact():
                os.close(self._descriptor)
                self._descriptor = None
        return True

    def _set(self, kind: int, offset: int) -> bool:
        """Lock or unlock a byte. Return False if another run holds it."""
        if self._descriptor is None:
            return True
        try:
            fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, offset, 1, 0))
        except OSError as error:
            if error.errno in {errno.EAGAIN, errno.EACCES}:
                return False
            self._warn(error)
        return True

    def _warn(self, error: OSError) -> None:
        if not self._is_warned:
            log.warning(
                "state: %s cannot be locked (%s); continuing without a lock", self._file, error.strerror
            )
            self._is_warned = True


def _offset(key: bytes) -> int:
    """Return the byte that stands for a key: keys are hashed, so two of them never meet in practice."""
    return int.from_bytes(hashlib.sha256(key).digest()[:8], "big") >> 2
