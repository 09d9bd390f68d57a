"""Logging: to stderr, one line an event; the libraries' own words only with --verbose."""

import contextlib
import logging
import sys

from rich.console import Console

LIBRARIES = ("nornir", "pyeapi", "napalm", "netmiko", "paramiko")
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


def configure(console: Console, *, verbose: bool, quiet: bool) -> None:
    """Sends the program's log lines to `console`: INFO and up, with verbose DEBUG, with quiet ERROR."""
    level = logging.DEBUG if verbose else logging.ERROR if quiet else logging.INFO
    handler = _ConsoleHandler(console)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("dzbgp").setLevel(level)
    for name in LIBRARIES:
        # Each failing device makes them log whole tracebacks; the report says it in one line.
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.CRITICAL + 1)
    for name in NEVER:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    if sys.flags.dev_mode:
        logging.captureWarnings(capture=True)


def silence_retry_logs() -> None:
    """Stops stamina from logging each retry with its arguments; ours counts them and names the RPC."""
    import stamina  # noqa: PLC0415 - not needed for --help

    stamina.instrumentation.set_on_retry_hooks([])
