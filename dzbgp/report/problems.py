"""What went wrong in a pass, as lines for stderr: cron mails them, and --quiet does not silence them."""

from collections import Counter
from collections.abc import Iterator

from dzbgp.console.words import amount
from dzbgp.models.report import Report
from dzbgp.models.summary import NOT_WRITTEN
from dzbgp.report.digest import Digest

_SHOWN = 20
"""Lines of one kind; the rest is a number."""


def problems(report: Report) -> Iterator[str]:
    """Yield a line for each device without a credible answer, each write that failed or is pending, and the like."""
    digest = Digest(report)
    yield from _bounded([f"{name}: {result}: {cause}" for name, result, cause in digest.left_out()], "device")
    if digest.held:
        yield f"HELD: {digest.why_held}"
    writes = [f"user {user} on {device}: {cause}" for user, device, cause in digest.failed_writes()]
    yield from _bounded(writes, "write")
    unwritten = Counter(decision.reason for decision in report.decisions if decision.reason in NOT_WRITTEN)
    for reason, count in unwritten.items():
        example = next(decision for decision in report.decisions if decision.reason == reason)
        yield f"not written: {amount(count, 'user')}: {reason}: {example.detail}"
    ours = {reading.device.pubkey for reading in report.devices if reading.device}
    skipped = [str(account) for account in report.skipped_accounts if account.device in ours]
    yield from _bounded(skipped, "account")


def _bounded(lines: list[str], noun: str) -> Iterator[str]:
    yield from lines[:_SHOWN]
    if len(lines) > _SHOWN:
        yield f"and {amount(len(lines) - _SHOWN, noun)} more"
