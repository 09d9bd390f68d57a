"""Logging: to stderr, one printable line an event; the libraries' own words only with --verbose."""

import contextlib
import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from dzbgp.errors import one_line

DEVICES = ("nornir", "pyeapi", "napalm", "netmiko", "paramiko")
LIBRARIES = (*DEVICES, "distributed", "tornado")
REQUESTS = "pyeapi"
"""Its DEBUG lines have whole requests, with the enable password."""
SAYS = "dzbgp.says"
# These put whole URLs or requests into their lines, and an RPC's path is a secret.
NEVER = ("httpx2", "httpcore2", "solana", "stamina")


class _ConsoleHandler(logging.Handler):
    """Print through the console that also draws the progress bar, so that the two never mix."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        # If stderr is closed the pass continues; it may be in the middle of its writes.
        with contextlib.suppress(OSError):
            self._console.print(self.format(record), markup=False, highlight=False, soft_wrap=True)


class _TextFormatter(logging.Formatter):
    """The time, the level and the message; a line of `say` has the message only.

    Only a traceback has more than one line: no text from a device or an RPC can look like a line of its own.
    """

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if record.name != SAYS else record.message

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        record.message = one_line(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        return "\n".join(map(one_line, super().formatException(ei).splitlines()))


class _JsonFormatter(logging.Formatter):
    """One JSON object a line: time (ISO 8601, UTC), level, logger, message, and the traceback if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": one_line(record.getMessage()),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure(
    console: Console, *, verbose: int, quiet: bool, level: str | None = None, as_json: bool = False
) -> None:
    """Send the program's log lines to `console`: those of `level` and up, with `verbose` DEBUG, with `quiet` ERROR.

    The libraries are silent; with `verbose` 1 they report errors, with 2 nearly everything.
    """
    least = logging.DEBUG if verbose else logging.ERROR if quiet else (level or "info").upper()
    handler = _ConsoleHandler(console)
    text = _TextFormatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S")
    handler.setFormatter(_JsonFormatter() if as_json else text)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("dzbgp").setLevel(least)
    for name in LIBRARIES:
        # Each failing device makes them log whole tracebacks; the report says it in one line.
        loudest = logging.DEBUG if verbose > 1 and name != REQUESTS else logging.INFO
        logging.getLogger(name).setLevel(loudest if verbose else logging.CRITICAL + 1)
    for name in NEVER:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    if sys.flags.dev_mode:
        logging.captureWarnings(capture=True)


def silence_devices() -> None:
    """Silence the libraries that ask devices, as `configure` does, where another program configures logging."""
    for name in DEVICES:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def say(line: str) -> None:
    """Print why a command ended: one line, whatever the level."""
    logging.getLogger(SAYS).critical("%s", line)
