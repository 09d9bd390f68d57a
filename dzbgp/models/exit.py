"""The exit code of a pass, and the reasons for it."""

from enum import StrEnum

from dzbgp.errors import ExitCode, first_of
from dzbgp.models.decision import Decision
from dzbgp.models.pass_result import PassResult
from dzbgp.models.session import Observed
from dzbgp.models.summary import totals


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


NOT_WRITTEN = frozenset(
    {"no-signer", "stale-ledger", "in-flight", "expired", "no-tenant", "no-vrf", "wrong-vrf", "odd-neighbor"}
)
"""Reasons for which a device of this inventory has a user that is due, or cannot be decided, and is not written."""


def is_left(decision: Decision) -> bool:
    """Return whether nothing is written for a user that is due, or that cannot be decided."""
    told_nothing = decision.reason == "unconfirmed" and decision.observation.observed is Observed.UNKNOWN
    return told_nothing or decision.reason in NOT_WRITTEN


def exit_reasons(report: PassResult, *, is_delivered: bool = True) -> list[ExitReason]:
    """Return all reasons for which the exit code of a pass is not 0.

    `is_delivered`: the report has reached every destination.
    """
    counts = totals(report)
    ours = {reading.device.pubkey for reading in report.devices if reading.device}
    applies = {
        ExitReason.HELD: counts.held,
        ExitReason.DEVICES_FAILED: counts.devices_failed,
        ExitReason.HOSTS_UNMATCHED: counts.devices_unmatched,
        ExitReason.ACCOUNTS_SKIPPED: any(account.device in ours for account in report.skipped_accounts),
        ExitReason.NOT_WRITTEN: any(map(is_left, report.decisions)),
        ExitReason.LEDGER_NOT_BELIEVED: report.ledger_doubt,
        ExitReason.WRITES_FAILED: counts.failed,
        ExitReason.WRITES_PENDING: counts.pending,
        ExitReason.INTERRUPTED: report.is_interrupted,
        ExitReason.NOT_DELIVERED: not is_delivered,
        ExitReason.CHANGES_PENDING: report.signals_changes and report.dry_run and counts.to_submit,
    }
    return [reason for reason, does_apply in applies.items() if does_apply]


def exit_code_of(report: PassResult, *, is_delivered: bool = True) -> ExitCode:
    """Return the exit code of a pass."""
    return first_of(reason.code for reason in exit_reasons(report, is_delivered=is_delivered))
