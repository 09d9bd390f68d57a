"""Logging: to stderr, one line an event; the libraries' own words only with --verbose."""

import contextlib
import json
import logging
import sys
from datetime import UTC, datetime

from rich.console import Console

DEVICES = ("nornir", "pyeapi", "napalm", "netmiko", "paramiko")
LIBRARIES = (*DEVICES, "distributed", "tornado")
REQUESTS = "pyeapi"
"""Its DEBUG lines hold whole requests, with the enable password in them."""
SAYS = "dzbgp.says"
# These put whole URLs or requests into their lines, and an RPC's path is a secret.
NEVER = ("httpx2", "httpcore2", "solana", "stamina")


class _ConsoleHandler(logging.Handler):
    """Writes through the console that also draws the progress bar, so that the two never mix."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        # When nobody reads stderr any more the pass goes on; it may be in the middle of its writes.
        with contextlib.suppress(OSError):
            self._console.print(self.format(record), markup=False, highlight=False, soft_wrap=True)


class _TextFormatter(logging.Formatter):
    """The time, the level and the message; what `say` says stands alone."""

    def format(self, record: logging.LogRecord) -> str:
        if record.name == SAYS:
            return record.getMessage()
        return super().format(record)


class _JsonFormatter(logging.Formatter):
    """One JSON object a line: time (ISO 8601, UTC), level, logger, message, and the traceback where one is shown."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure(console: Console, *, verbose: int, quiet: bool, as_json: bool = False) -> None:
    """Sends the program's log lines to `console`: INFO and up, with verbose DEBUG, with quiet ERROR.

    The libraries are silent, with `verbose` they say what goes wrong for them, with 2 of it nearly everything.
    """
    level = logging.DEBUG if verbose else logging.ERROR if quiet else logging.INFO
    handler = _ConsoleHandler(console)
    text = _TextFormatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S")
    handler.setFormatter(_JsonFormatter() if as_json else text)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("dzbgp").setLevel(level)
    for name in LIBRARIES:
        # Each failing device makes them log whole tracebacks; the report says it in one line.
        loudest = logging.DEBUG if verbose > 1 and name != REQUESTS else logging.INFO
        logging.getLogger(name).setLevel(loudest if verbose else logging.CRITICAL + 1)
    for name in NEVER:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    if sys.flags.dev_mode:
        logging.captureWarnings(capture=True)


def silence_devices() -> None:
    """Silences the libraries that ask devices, as `configure` does, where somebody else configures the logging."""
    for name in DEVICES:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def say(line: str) -> None:
    """Says what ends a command: one line, whatever the level."""
    logging.getLogger(SAYS).critical("%s", line)


def silence_retry_logs() -> None:
    """Stops stamina from logging each retry with its arguments; ours counts them and names the RPC."""
    import stamina  # noqa: PLC0415 - not needed for --help

    stamina.instrumentation.set_on_retry_hooks([])
