"""The console for stdout and stderr, which survives a reader that has gone."""

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
    """A console that raises BrokenPipeError when nobody reads any more.

    Rich itself would end the process with exit code 1, in the middle of a pass and whatever it had written.
    """

    def on_broken_pipe(self) -> Never:
        """Raise the BrokenPipeError that is being handled."""
        raise  # noqa: PLE0704 - Rich calls this from its own handler


def forget(stream: TextIO) -> None:
    """Discard what is still buffered: Python would fail to flush it at exit, with an exit code of its own."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def print_result(show: Callable[[Console], None]) -> ExitCode:
    """Print a command's result on stdout with `show`. Return PARTIAL if it could not be printed.

    A reader that stops early, such as `head`, is not a failure.
    """
    if sys.stdout is None:
        # It was closed before the start: nobody wants the result.
        return ExitCode.OK
    try:
        show(CandidConsole(file=sys.stdout))
        sys.stdout.flush()
    except BrokenPipeError:
        forget(sys.stdout)
    except OSError as error:
        log.error("stdout: the result could not be printed: %s", error.strerror)  # noqa: TRY400 - one line
        forget(sys.stdout)
        return ExitCode.PARTIAL
    return ExitCode.OK


def print_text(text: str) -> ExitCode:
    """Print text on stdout as it is, with one final newline. Return PARTIAL if it could not be printed."""
    return print_result(lambda _: print(text.removesuffix("\n")))  # noqa: T201 - a command's result
