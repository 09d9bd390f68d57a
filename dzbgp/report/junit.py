"""The report as JUnit XML: a case a device, and a case a user."""

from dzbgp.console.junit import Case, Result, Suite, junit
from dzbgp.models.decision import Action, Decision
from dzbgp.models.exit import is_left
from dzbgp.models.report import Report
from dzbgp.models.session import DeviceReading, DeviceResult, Observed
from dzbgp.models.submission import LANDED, Outcome
from dzbgp.report.digest import is_worth_showing


def render(report: Report, *, show_all: bool = False) -> str:
    """Return the XML. Users without an action and with a known state are there with `show_all` only."""
    users = [
        _user(report, decision) for decision in report.decisions if show_all or is_worth_showing(decision)
    ]
    return junit(
        "run",
        [Suite("devices", [_device(reading) for reading in report.devices]), Suite("users", users)],
        report.duration_s,
    )


def _device(reading: DeviceReading) -> Case:
    if reading.result is DeviceResult.OK:
        return Case(reading.host)
    if reading.result is DeviceResult.UNSUPPORTED:
        return Case(reading.host, Result.SKIPPED, reading.error or "")
    return Case(reading.host, Result.FAILED, reading.error or "", reading.result.value)


def _user(report: Report, decision: Decision) -> Case:
    name = str(decision.observation.user.pubkey)
    submission = report.submission_of(decision)
    if decision.action is Action.HOLD:
        return Case(name, Result.FAILED, decision.detail, "held")
    if is_left(decision):
        return Case(name, Result.FAILED, decision.detail, decision.reason)
    if submission is not None and submission.outcome not in LANDED:
        why = submission.error or ("it may still land" if submission.outcome is Outcome.PENDING else "")
        return Case(name, Result.FAILED, why, submission.outcome.value, decision.detail)
    if decision.observation.observed is Observed.UNKNOWN:
        return Case(name, Result.SKIPPED, decision.detail)
    return Case(name, note=decision.detail)
