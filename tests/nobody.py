"""Runs what root's rights would spoil, as a user who has none."""

import os
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_NOBODY = 65534


def as_nobody(work: Callable[[], str]) -> str:
    """Return the result of `work` in a child process, which runs as the user nobody if root started it.

    A fork, not a new Python: the user nobody may have no access to the interpreter.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setresgid(_NOBODY, _NOBODY, _NOBODY)
                os.setresuid(_NOBODY, _NOBODY, _NOBODY)
            said = work()
        except BaseException:  # noqa: BLE001 - whatever it is, the parent shall see it, and nothing else run here
            said = traceback.format_exc()
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return said


@contextmanager
def open_directory(mode: int) -> Iterator[Path]:
    """A directory of `mode` that everybody can get to."""
    with tempfile.TemporaryDirectory(prefix="dzbgp-") as place:
        path = Path(place)
        path.chmod(mode)
        try:
            yield path
        finally:
            path.chmod(0o700)
