"""What every format counts alike: the numbers of a pass, and the words for them."""

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

    `up` and `down` count verdicts: the users that belong Up or Down by what this pass saw and by the rules,
    whether that is onchain already, is written now, failed to be written or is held. So they are the same in
    a dry run and in a real one, and together with `undecided` they make `users`.
    """

    devices: int
    """Hosts that the pass was about, whatever became of them."""
    devices_failed: int
    """Devices that gave no answer, or none that is credible (suspect)."""
    devices_unmatched: int
    """Hosts that are no device of the ledger; they failed at nothing and are not in `devices_failed`."""
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
    """Writes that were sent and whose fate is not known."""
    held: int
    transactions: int
    rpc_requests: int
    skipped: dict[str, int]
    """How many users nothing is done about, by the reason word; the most frequent first."""

    @property
    def unsent(self) -> int:
        """Writes that were due and that nothing is known of; in a dry run that is all of them."""
        return self.to_submit - self.submitted - self.failed - self.pending


def totals(report: Report) -> Totals:
    """Counts what `report` holds."""
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
    """Gives the numbers of the JSON report's `summary`, which the history keeps too."""
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
    """Gives the exit code of a pass.

    `changes_count`: a dry run that finds something to write says so. `delivered`: the report has reached where it
    should go.
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
