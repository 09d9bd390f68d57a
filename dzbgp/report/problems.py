"""What went wrong in a pass, as lines for stderr: cron mails them, and --quiet does not silence them."""

from collections.abc import Iterator

from dzbgp.console.words import amount
from dzbgp.models.decision import Decision
from dzbgp.models.report import Report
from dzbgp.models.session import DeviceResult
from dzbgp.models.summary import is_left
from dzbgp.report.digest import Digest

_SHOWN = 20
"""Lines of one kind; the rest is a number."""


def problems(report: Report) -> Iterator[str]:
    """Yield a line for each device without a credible answer, each write that failed or is pending, and the like."""
    digest = Digest(report)
    hosts = [item for item in digest.left_out() if item[1] != DeviceResult.UNSUPPORTED]
    yield from _bounded([f"{name}: {result}: {cause}" for name, result, cause in hosts], "device")
    if digest.held:
        yield f"HELD: {digest.why_held}"
    writes = [f"user {user} on {device}: {cause}" for user, device, cause in digest.failed_writes()]
    yield from _bounded(writes, "write")
    left: dict[str, list[Decision]] = {}
    for decision in filter(is_left, report.decisions):
        left.setdefault(decision.reason, []).append(decision)
    for reason, decisions in left.items():
        yield f"not written: {amount(len(decisions), 'user')}: {reason}: {decisions[0].detail}"
    ours = {reading.device.pubkey for reading in report.devices if reading.device}
    skipped = [str(account) for account in report.skipped_accounts if account.device in ours]
    yield from _bounded(skipped, "account")


def _bounded(lines: list[str], noun: str) -> Iterator[str]:
    yield from lines[:_SHOWN]
    if len(lines) > _SHOWN:
        yield f"and {amount(len(lines) - _SHOWN, noun)} more"
