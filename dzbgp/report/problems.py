"""What went wrong in a pass, as lines for stderr: cron mails them, and --quiet does not silence them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from solders.pubkey import Pubkey

from dzbgp.console.words import amount
from dzbgp.models.decision import Decision
from dzbgp.models.exit import is_left
from dzbgp.models.problem import Problem
from dzbgp.models.report import Report
from dzbgp.models.session import DeviceResult
from dzbgp.models.submission import LANDED, Outcome, Submission
from dzbgp.report.digest import Digest, device_name, host_name

_SHOWN = 20
"""Lines; the rest is a number."""
_PASSING = frozenset({"in-flight", "expired", "unconfirmed"})
"""Reasons that the next pass is likely to have settled."""


def problems(report: Report) -> Iterator[Problem]:
    """Yield the problems: devices without a credible answer, held Downs, failed and pending writes, and others."""
    yield from _devices(report)
    yield from _held(report)
    yield from _writes(report)
    if report.ledger_doubt:
        yield Problem("ledger", f"stale ledger: {report.ledger_doubt}")
    for reason, decisions in _grouped(filter(is_left, report.decisions), lambda one: one.reason).items():
        line = f"not written: {amount(len(decisions), 'user')}: {reason}: {decisions[0].detail}"
        yield (Problem.event if reason in _PASSING else Problem)(f"left {reason}", line)
    ours = {reading.device.pubkey for reading in report.devices if reading.device}
    for account in report.skipped_accounts:
        if account.device in ours:
            yield Problem(f"account {account.pubkey}", str(account))


def bounded(lines: Sequence[str]) -> Iterator[str]:
    """Yield so many lines, and a number for the rest."""
    yield from lines[:_SHOWN]
    if len(lines) > _SHOWN:
        yield f"and {amount(len(lines) - _SHOWN, 'more line')}"


def _devices(report: Report) -> Iterator[Problem]:
    for reading in report.devices:
        if reading.result not in {DeviceResult.OK, DeviceResult.UNSUPPORTED}:
            cause = reading.error or "the cause is unknown"
            yield Problem(f"device {reading.host}", f"{host_name(reading)}: {reading.result.value}: {cause}")


def _held(report: Report) -> Iterator[Problem]:
    """Yield a line for each device with held users, and how to let them through."""
    nothing = f"nothing {'would be' if report.dry_run else 'was'} written for them"
    groups = _grouped(Digest(report).held, lambda one: f"{one.reason} {one.observation.host}")
    for key, decisions in groups.items():
        host, where = decisions[0].observation.host, device_name(decisions[0])
        users = f"HELD: {amount(len(decisions), 'user')} on {where}"
        if decisions[0].reason == "other-writer":
            line = f"{users}: another writer reports on the device, so {nothing}. --take-over writes it."
        else:
            line = (
                f"{users}: too many would turn Down at once, so {nothing}. If it is correct, "
                f"{_way_through(report, host)}."
            )
        yield Problem(f"held {key}", line)


def _way_through(report: Report, host: str) -> str:
    """Return what writes held Downs: only what a run that writes has noted as held can be released."""
    if not report.has_state:
        return "--force writes it at once"
    if report.dry_run:
        return f"--force writes it at once, and `dzbgp release {host}` after a run that writes has held it"
    return f"`dzbgp release {host}` lets it through at the next pass, --force at once"


def _writes(report: Report) -> Iterator[Problem]:
    """Yield a line for each device and cause of writes that failed or are pending."""
    devices = {one.user: device_name(one) for one in report.decisions}
    groups: dict[tuple[str, str, str], list[str]] = {}
    for one in report.submissions.values():
        if one.outcome in {Outcome.FAILED, Outcome.PENDING}:
            cause = one.error or "it was sent; its result is not known yet"
            where = devices.get(one.user, "a device of an earlier pass")
            groups.setdefault((one.outcome.value, where, cause), []).append(str(one.user))
    for (outcome, where, cause), users in groups.items():
        more = f" and {amount(len(users) - 1, 'more user')}" if len(users) > 1 else ""
        yield Problem.event(
            f"write {outcome} {where}", f"write {outcome}: user {users[0]}{more} on {where}: {cause}"
        )


def _grouped(decisions: Iterable[Decision], key: Callable[[Decision], str]) -> dict[str, list[Decision]]:
    groups: dict[str, list[Decision]] = {}
    for decision in decisions:
        groups.setdefault(key(decision), []).append(decision)
    return groups


def changes(decisions: Iterable[Decision], submissions: Mapping[Pubkey, Submission]) -> Iterator[str]:
    """Yield a line for each user whose status onchain was changed; from some number on a count for the rest."""
    lines = []
    for one in decisions:
        done = submissions.get(one.user)
        before = one.observation.user.bgp_status
        if done is not None and done.outcome in LANDED and one.status not in {None, before}:
            after = one.status.label if one.status else ""
            lines.append(
                f"user {one.user} on {device_name(one)}: {before.label} to {after}, {done.signature}"
            )
    yield from bounded(lines)
