"""Errors as one line and an exit code."""

import contextlib
import logging
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING

import typer

from dzbgp.cli.options import every_command
from dzbgp.cli.own_options import LogFormat, Logging
from dzbgp.errors import DzbgpError, ExitCode, UsageError, internal_error
from dzbgp.run.interrupts import CarefulHandler, Interrupts

if TYPE_CHECKING:
    from rich.console import Console

log = logging.getLogger(__name__)


class SignalInterrupts(Interrupts):
    """Makes SIGINT, SIGTERM and SIGHUP a KeyboardInterrupt, but for the first one that comes while they are held.

    SIGHUP stays ignored under nohup.
    """

    def __init__(self) -> None:
        self._is_held = False
        self._came = False
        self._careful = CarefulHandler(self._interrupt)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._handle)

    def begin(self) -> None:
        """Note that a write is about to be made. A signal stops it early."""
        super().begin()
        self._is_held = False

    def hold(self) -> None:
        """Let a signal wait from here on. A second one does not wait."""
        self._is_held = self.is_begun

    def release(self) -> bool:
        """Let a signal end what is going on again. Return False if one came meanwhile; they are held then still."""
        self._is_held = self._came
        return not self._came

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            # A terminal that closes can send it twice: the second one asks for nothing more.
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._careful(number, frame)

    def _interrupt(self) -> None:
        if self._is_held and not self._came:
            self._came = True
            log.warning("interrupted: the report is made before the exit")
            return
        raise KeyboardInterrupt


@contextlib.contextmanager
def reporting_errors(wanted: Logging, interrupts: SignalInterrupts | None = None) -> Iterator["Console"]:
    """Yield the console for stderr; turn an error that ends the command into one line and the contract's exit code.

    Once a write has begun that code is never COULD_NOT_RUN.
    """
    from dzbgp.cli.config_file import unknown_variables  # noqa: PLC0415 - slow
    from dzbgp.console import logs  # noqa: PLC0415 - slow
    from dzbgp.console.stdout import CandidConsole  # noqa: PLC0415 - slow

    stderr = CandidConsole(file=sys.stderr, stderr=True)
    as_json = wanted.log_format is LogFormat.JSON
    level = wanted.log_level and wanted.log_level.value
    logs.configure(stderr, verbose=wanted.verbose, quiet=wanted.quiet, level=level, as_json=as_json)
    for sentence in unknown_variables(every_command):
        log.warning("%s", sentence)
    interrupts = interrupts or SignalInterrupts()
    try:
        yield stderr
    except DzbgpError as error:
        log.debug("the run ended here", exc_info=True)
        logs.say(f"error: {error}")
        if isinstance(error, UsageError) and error.is_about_option:
            logs.say(f"see `dzbgp {wanted.command} --help`")
        code = error.exit_code
    except KeyboardInterrupt:
        written = "the next run shows what was written" if interrupts.is_begun else "nothing was written"
        logs.say(f"error: interrupted; {written}")
        code = ExitCode.COULD_NOT_RUN
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:
        if wanted.verbose:
            log.exception("internal error")
        logs.say(f"error: {internal_error(error)}")
        code = ExitCode.COULD_NOT_RUN
    else:
        return
    if interrupts.is_begun and code is ExitCode.COULD_NOT_RUN:
        code = ExitCode.PARTIAL
    raise typer.Exit(code)
