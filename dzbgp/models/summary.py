"""The numbers of a pass, which every format shows."""

from collections import Counter
from dataclasses import dataclass

from dzbgp.models.decision import Action, Decision
from dzbgp.models.ledger import BgpStatus
from dzbgp.models.pass_result import PassResult
from dzbgp.models.session import DeviceResult, Observed
from dzbgp.models.submission import LANDED, Outcome

NOT_CREDIBLE = frozenset({DeviceResult.FAILED, DeviceResult.SUSPECT})


@dataclass(frozen=True, slots=True)
class Totals:
    """The numbers of one pass.

    `up` and `down` count the users by the status that this pass decided, whether that is onchain already, is
    written now, could not be written or is held. So a dry run and a real one have the same numbers.
    """

    devices: int
    """All hosts of the pass but those of other platforms."""
    devices_failed: int
    """Devices without an answer, or without a credible one (suspect)."""
    devices_unmatched: int
    """Hosts that match no device of the ledger; they are not in `devices_failed`."""
    devices_unsupported: int
    """Hosts of other platforms."""
    users: int
    up: int
    down: int
    absent: int
    """Users without a neighbor that are not Up onchain: nothing to report."""
    unknown: int
    """Users whose state is unknown. Up, down, absent and unknown together make `users`."""
    to_submit: int
    changes: int
    """Writes of another status than the one onchain, first reports included."""
    refreshes: int
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


def totals(report: PassResult) -> Totals:
    """Count what is in `report`."""
    results = Counter(reading.result for reading in report.devices)
    verdicts = Counter(decision.status for decision in report.decisions)
    actions = Counter(decision.action for decision in report.decisions)
    outcomes = Counter(submission.outcome for submission in report.submissions.values())
    skipped = Counter(decision.reason for decision in report.decisions if decision.action is Action.SKIP)
    users = len(report.decisions)
    unknown = sum(decision.observation.observed is Observed.UNKNOWN for decision in report.decisions)
    refreshes = sum(map(is_refresh, report.decisions))
    return Totals(
        devices=len(report.devices) - results[DeviceResult.UNSUPPORTED],
        devices_failed=sum(results[result] for result in NOT_CREDIBLE),
        devices_unmatched=results[DeviceResult.UNMATCHED],
        devices_unsupported=results[DeviceResult.UNSUPPORTED],
        users=users,
        up=verdicts[BgpStatus.UP],
        down=verdicts[BgpStatus.DOWN],
        absent=users - verdicts[BgpStatus.UP] - verdicts[BgpStatus.DOWN] - unknown,
        unknown=unknown,
        to_submit=actions[Action.SUBMIT],
        changes=actions[Action.SUBMIT] - refreshes,
        refreshes=refreshes,
        submitted=sum(outcomes[outcome] for outcome in LANDED),
        failed=outcomes[Outcome.FAILED],
        pending=outcomes[Outcome.PENDING],
        held=actions[Action.HOLD],
        transactions=report.transactions,
        rpc_requests=report.rpc_requests,
        skipped=dict(skipped.most_common()),
    )


def is_refresh(decision: Decision) -> bool:
    """Return whether a decision writes the status again that is onchain."""
    return decision.action is Action.SUBMIT and decision.status is decision.observation.user.bgp_status


def summary(report: PassResult) -> dict[str, int]:
    """Return the numbers of the JSON report's `summary`, which the state file keeps too."""
    counted = totals(report)
    return {
        "devices": counted.devices,
        "devices_failed": counted.devices_failed,
        "users": counted.users,
        "up": counted.up,
        "down": counted.down,
        "absent": counted.absent,
        "unknown": counted.unknown,
        "to_submit": counted.to_submit,
        "changes": counted.changes,
        "refreshes": counted.refreshes,
        "submitted": counted.submitted,
        "failed": counted.failed,
        "held": counted.held,
        "transactions": counted.transactions,
        "rpc_requests": counted.rpc_requests,
    }
