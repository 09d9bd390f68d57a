"""Every way in which a run can fail as a whole.

    DzbgpError                 has the exit code of the contract
    |-- UsageError             2  the command line, a file or a setting is wrong
    |   |-- InventoryError     2  the Nornir inventory
    |   `-- KeypairError       2  a keypair file
    |-- StateLockedError       1  another run uses the state file
    |-- TrustError             1  a device's certificate or host key could not be read or kept
    |-- JournalError           -  a write could not be noted, so it is not sent: a line of the report
    |-- LabError               1  the lab could not start
    |-- ClusterError           1  the Dask cluster cannot be used
    `-- LedgerError            1  dzbgp/ledger/errors.py: the ledger cannot be read or written

A failure of one device or one user is not an exception: it is a line of the report (exit codes 3 and 4).
"""

from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes. Where several apply, the first one of `PRECEDENCE` is given."""

    OK = 0
    COULD_NOT_RUN = 1
    USAGE = 2
    PARTIAL = 3
    HELD = 4
    CHANGES_PENDING = 5


PRECEDENCE = (
    ExitCode.COULD_NOT_RUN,
    ExitCode.USAGE,
    ExitCode.HELD,
    ExitCode.PARTIAL,
    ExitCode.CHANGES_PENDING,
)
"""HELD comes before PARTIAL: one dead device must not hide that the guard holds something."""


def first_of(codes: Iterable[ExitCode]) -> ExitCode:
    """Return the exit code to give where all of `codes` apply."""
    found = set(codes)
    return next((code for code in PRECEDENCE if code in found), ExitCode.OK)


def one_line(text: object, limit: int | None = None) -> str:
    """Return text from outside on one line of at most `limit` characters, with printable characters only.

    A device's banner or an RPC's answer could otherwise move the cursor or forge a line of the log.
    """
    line = str(text)
    if not line.isprintable():
        line = " ".join("".join(char if char.isprintable() else " " for char in line).split())
    return line[:limit]


def internal_error(error: Exception) -> str:
    """Return the message for an exception that dzbgp should have handled."""
    return f"internal error ({type(error).__name__}); please report it. --verbose shows the traceback"


def reason_of(error: BaseException) -> str:
    """Return why something failed: dzbgp's own words, and of any other exception only its kind."""
    return str(error) if isinstance(error, DzbgpError) else f"internal error ({type(error).__name__})"


class DzbgpError(Exception):
    """A run cannot go on. The message is one line for people: what, where, and what to do about it."""

    exit_code = ExitCode.COULD_NOT_RUN


class UsageError(DzbgpError):
    """An option, a file or a setting is wrong."""

    exit_code = ExitCode.USAGE

    @property
    def is_about_option(self) -> bool:
        """Whether a command's help tells what to write. It does not tell what is wrong inside a file."""
        subject = str(self).partition(": ")[0]
        return subject.startswith("--") and "/" not in subject


class InventoryError(UsageError):
    """The Nornir inventory is missing, malformed, or does not describe the fleet."""


class KeypairError(UsageError):
    """A keypair file is missing, unreadable or malformed. Its content is never part of the message."""


class StateLockedError(DzbgpError):
    """Another run writes for a device of this one."""


class TrustError(DzbgpError):
    """A device's certificate or host key could not be read or kept."""


class JournalError(DzbgpError):
    """A transaction could not be noted in the state file, so it must not be sent."""


class LabError(DzbgpError):
    """The lab could not start."""


class ClusterError(DzbgpError):
    """The Dask cluster whose workers ask the devices cannot be used."""
