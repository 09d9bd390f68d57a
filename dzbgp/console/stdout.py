"""The console that everything is printed through."""

import contextlib
import os
from typing import Never, TextIO

from rich.console import Console


class CandidConsole(Console):
    """A console that lets its caller know when nobody reads any more.

    Rich itself would leave the process with exit code 1, in the middle of a pass and whatever it had written.
    """

    def on_broken_pipe(self) -> Never:
        """Raises the BrokenPipeError that is being handled."""
        raise  # noqa: PLE0704 - Rich calls this from its own handler


def forget(stream: TextIO) -> None:
    """Sends what is still buffered nowhere: Python would complain about it at exit, with a code of its own."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
