"""Why a pass does not exit with 0."""

from enum import StrEnum

from dzbgp.errors import ExitCode


class ExitReason(StrEnum):
    """Why the exit code of a pass is not 0."""

    HELD = "held"
    DEVICES_FAILED = "devices-failed"
    HOSTS_UNMATCHED = "hosts-unmatched"
    ACCOUNTS_SKIPPED = "accounts-skipped"
    NOT_WRITTEN = "not-written"
    LEDGER_NOT_BELIEVED = "ledger-not-believed"
    WRITES_FAILED = "writes-failed"
    WRITES_PENDING = "writes-pending"
    INTERRUPTED = "interrupted"
    NOT_DELIVERED = "not-delivered"
    CHANGES_PENDING = "changes-pending"

    @property
    def code(self) -> ExitCode:
        """The exit code that it leads to."""
        codes = {ExitReason.HELD: ExitCode.HELD, ExitReason.CHANGES_PENDING: ExitCode.CHANGES_PENDING}
        return codes.get(self, ExitCode.PARTIAL)
