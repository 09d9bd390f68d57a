"""Every way in which a run can fail as a whole, drawn once.

    DzbgpError                 carries the exit code of the contract
    |-- UsageError             2  the command line, a file or a setting is wrong
    |   |-- InventoryError     2  the Nornir inventory
    |   `-- KeypairError       2  a keypair file
    |-- StateLockedError       1  another run has the state file
    |-- LabError               1  the lab could not start
    |-- ClusterError           1  the Dask cluster can't be used
    `-- LedgerError            1  dzbgp/ledger/errors.py: the ledger can't be read or written

What goes wrong for one device or one user is no exception but a line of the report (exit codes 3 and 4).
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes; where several hold, the lowest other than OK is used."""

    OK = 0
    COULD_NOT_RUN = 1
    USAGE = 2
    PARTIAL = 3
    HELD = 4
    CHANGES_PENDING = 5


class DzbgpError(Exception):
    """A run can not go on. The message is one line for people: what, where, and what to do about it."""

    exit_code = ExitCode.COULD_NOT_RUN


class UsageError(DzbgpError):
    """An option, a file or a setting is wrong."""

    exit_code = ExitCode.USAGE


class InventoryError(UsageError):
    """The Nornir inventory is missing, malformed, or does not describe the fleet."""


class KeypairError(UsageError):
    """A keypair file is missing, unreadable or malformed. Its content is never part of the message."""


class StateLockedError(DzbgpError):
    """Another run has the state file."""


class LabError(DzbgpError):
    """The lab could not start."""


class ClusterError(DzbgpError):
    """The Dask cluster whose workers are to ask the devices can not be used."""
