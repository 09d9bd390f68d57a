"""The console that everything is printed through."""

import contextlib
import logging
import os
import sys
from collections.abc import Callable
from typing import Never, TextIO

from rich.console import Console

from dzbgp.errors import ExitCode

log = logging.getLogger(__name__)


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


def printed(show: Callable[[Console], None]) -> ExitCode:
    """Lets `show` print on stdout. Gives PARTIAL when it could not; who has read enough of it is no failure."""
    try:
        show(CandidConsole(file=sys.stdout))
        sys.stdout.flush()
    except BrokenPipeError:
        return ExitCode.OK
    except OSError as error:
        log.error("stdout: the result could not be printed: %s", error.strerror)  # noqa: TRY400 - one line
        return ExitCode.PARTIAL
    return ExitCode.OK


def written(text: str) -> None:
    """Writes text to stdout as it is."""
    sys.stdout.write(text)
