"""The numbers of a pass, which every format shows, and its exit code."""

from collections import Counter
from dataclasses import dataclass

from dzbgp.errors import ExitCode
from dzbgp.models.decision import Action
from dzbgp.models.ledger import BgpStatus
from dzbgp.models.report import Outcome, Report
from dzbgp.models.session import DeviceResult

LANDED = frozenset({Outcome.CONFIRMED, Outcome.FINALIZED})
NOT_CREDIBLE = frozenset({DeviceResult.FAILED, DeviceResult.SUSPECT})


@dataclass(frozen=True, slots=True)
class Totals:
    """The numbers of one pass.

    `up` and `down` count the users by the status that this pass decided, whether that is onchain already, is
    written now, could not be written or is held. So a dry run and a real one have the same numbers.
    """

    devices: int
    """All hosts of the pass."""
    devices_failed: int
    """Devices without an answer, or without a credible one (suspect)."""
    devices_unmatched: int
    """Hosts that match no device of the ledger; they are not in `devices_failed`."""
    users: int
    up: int
    down: int
    undecided: int
    to_submit: int
    submitted: int
    """Writes that are confirmed or finalized."""
    failed: int
    """Writes that failed."""
    pending: int
    """Writes that were sent and whose outcome is unknown."""
    held: int
    transactions: int
    rpc_requests: int
    skipped: dict[str, int]
    """The number of users without an action by reason word, the most frequent first."""

    @property
    def unsent(self) -> int:
        """The writes that were due and not sent; in a dry run all of them."""
        return self.to_submit - self.submitted - self.failed - self.pending


def totals(report: Report) -> Totals:
    """Count what is in `report`."""
    results = Counter(reading.result for reading in report.devices)
    verdicts = Counter(decision.status for decision in report.decisions)
    actions = Counter(decision.action for decision in report.decisions)
    outcomes = Counter(submission.outcome for submission in report.submissions.values())
    skipped = Counter(decision.reason for decision in report.decisions if decision.action is Action.SKIP)
    users = len(report.decisions)
    return Totals(
        devices=len(report.devices),
        devices_failed=sum(results[result] for result in NOT_CREDIBLE),
        devices_unmatched=results[DeviceResult.UNMATCHED],
        users=users,
        up=verdicts[BgpStatus.UP],
        down=verdicts[BgpStatus.DOWN],
        undecided=users - verdicts[BgpStatus.UP] - verdicts[BgpStatus.DOWN],
        to_submit=actions[Action.SUBMIT],
        submitted=sum(outcomes[outcome] for outcome in LANDED),
        failed=outcomes[Outcome.FAILED],
        pending=outcomes[Outcome.PENDING],
        held=actions[Action.HOLD],
        transactions=report.transactions,
        rpc_requests=report.rpc_requests,
        skipped=dict(skipped.most_common()),
    )


def summary(report: Report) -> dict[str, int]:
    """Return the numbers of the JSON report's `summary`, which the state file keeps too."""
    counted = totals(report)
    return {
        "devices": counted.devices,
        "devices_failed": counted.devices_failed,
        "users": counted.users,
        "up": counted.up,
        "down": counted.down,
        "to_submit": counted.to_submit,
        "submitted": counted.submitted,
        "failed": counted.failed,
        "held": counted.held,
        "transactions": counted.transactions,
        "rpc_requests": counted.rpc_requests,
    }


def exit_code_of(report: Report, *, changes_count: bool, delivered: bool = True) -> ExitCode:
    """Return the exit code of a pass.

    `changes_count`: a dry run with something to write returns CHANGES_PENDING. `delivered`: the report has reached
    every destination.
    """
    counts = totals(report)
    undone = any(decision.reason in {"no-signer", "stale-ledger"} for decision in report.decisions)
    if (
        counts.devices_failed
        or counts.devices_unmatched
        or counts.failed
        or counts.pending
        or undone
        or not delivered
    ):
        return ExitCode.PARTIAL
    if counts.held:
        return ExitCode.HELD
    if changes_count and report.dry_run and counts.to_submit:
        return ExitCode.CHANGES_PENDING
    return ExitCode.OK
