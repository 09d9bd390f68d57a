"""What holds for all tests."""

import logging
import signal
from collections.abc import Iterator

import debian
import pytest
from hypothesis import settings

from dzbgp.console import logs

# Started in the background, a shell's child ignores these, and so would every process that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# A busy machine is slow, not wrong.
settings.register_profile("dzbgp", deadline=None)
settings.load_profile("dzbgp")


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A command that runs in the test's own process sets up logging for all of it."""
    names = (None, "dzbgp", *logs.LIBRARIES, *logs.NEVER)
    before = [(logger := logging.getLogger(name), logger.level, logger.handlers[:]) for name in names]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell in one line which Debian packages would have let more tests run."""
    skipped = terminalreporter.stats.get("skipped", ())
    if said := debian.line(str(report.longrepr) for report in skipped):
        terminalreporter.write_line(said, yellow=True)
