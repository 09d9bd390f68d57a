"""What every format for people shows: users and devices by section, and the sentences about them.

Text from devices is unchanged here; each format makes it safe for its own output.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from math import inf

from solders.pubkey import Pubkey

from dzbgp.console.words import abbreviated, amount, duration, numbered
from dzbgp.models.decision import Action, Decision
from dzbgp.models.exit import is_left
from dzbgp.models.ledger import BgpStatus, Device, DeviceStatus
from dzbgp.models.report import Report
from dzbgp.models.session import DeviceReading, DeviceResult, Observed
from dzbgp.models.submission import LANDED, Outcome, Submission
from dzbgp.models.summary import Totals, is_refresh, totals


class Tone(StrEnum):
    """Whether a result is good, bad, or not known yet."""

    GOOD = "good"
    BAD = "bad"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Transaction:
    """One transaction of the pass, numbered as the users' rows refer to it."""

    number: int
    signature: str
    outcomes: frozenset[Outcome]
    users: int

    @property
    def result(self) -> str:
        """Its outcome in one word; more than one only if its users have different outcomes."""
        return ", ".join(sorted(self.outcomes))

    @property
    def tone(self) -> Tone:
        """The worst of its outcomes."""
        if Outcome.FAILED in self.outcomes:
            return Tone.BAD
        return Tone.OPEN if Outcome.PENDING in self.outcomes else Tone.GOOD


@dataclass(frozen=True, slots=True)
class UnknownGroup:
    """Users of one host whose state is unknown for the same reason."""

    device: str
    users: int
    cause: str


@dataclass(frozen=True, slots=True)
class DownUser:
    """A user that is Down or unknown."""

    decision: Decision
    down_for_s: float
    """Infinite: never Up."""

    @property
    def since(self) -> str:
        """For how long, in words."""
        return "never Up" if self.down_for_s == inf else duration(self.down_for_s)

    @property
    def state(self) -> str:
        """`down` or `unknown`."""
        return "unknown" if self.decision.observation.observed is Observed.UNKNOWN else "down"


class Digest:
    """One report, sorted for reading."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.totals: Totals = totals(report)
        submitted = self._of(Action.SUBMIT)
        self.changes = tuple(item for item in submitted if not is_refresh(item))
        self.refreshes = tuple(item for item in submitted if is_refresh(item))
        self.held = self._of(Action.HOLD)
        self.others = self._of(Action.SKIP)

    def _of(self, action: Action) -> tuple[Decision, ...]:
        decisions = (item for item in self.report.decisions if item.action is action)
        return tuple(sorted(decisions, key=importance))

    @property
    def kind(self) -> str:
        """Whether this was a dry run."""
        return "dry run, nothing is written" if self.report.dry_run else "run"

    @property
    def headline(self) -> str:
        """What was done, or would be, in one sentence."""
        counted = self.totals
        users = amount(counted.to_submit, "user")
        if self.report.are_of_earlier_passes:
            ended = ((counted.submitted, "written"), (counted.failed, "failed"), (counted.pending, "pending"))
            due = f"Due: {users}" if counted.to_submit else self._nothing_due
            told = ", ".join(numbered(*ended))
            return f"{due}; of earlier passes: {told}" if told else due
        if not counted.to_submit:
            return self._nothing_due
        if self.report.dry_run:
            return f"Plan: {self.plan}"
        words = ((counted.failed, "failed"), (counted.pending, "pending"), (counted.unsent, "not sent"))
        problems = numbered(*words)
        wrote = (
            f"Wrote {counted.submitted:,} of {users}: {', '.join(problems)}" if problems else f"Wrote {users}"
        )
        return f"Interrupted. {wrote}" if self.report.is_interrupted else wrote

    @property
    def plan(self) -> str:
        """What is due and what is not known, in numbers: `7 up, 11 down, 5 refresh, 2 unknown, 3 held`."""
        ups = sum(item.status is BgpStatus.UP for item in self.changes)
        counted = self.totals
        more = ((counted.refreshes, "refresh"), (counted.unknown, "unknown"), (counted.held, "held"))
        return ", ".join([f"{ups:,} up", f"{len(self.changes) - ups:,} down", *numbered(*more)])

    @property
    def _nothing_due(self) -> str:
        counted = self.totals
        if not counted.devices:
            return "Nothing to write: no device was asked"
        if counted.devices == counted.devices_failed + counted.devices_unmatched:
            return "Nothing to write: no device gave a credible answer"
        if counted.held:
            return "Nothing to write except what is held"
        return "Nothing to write"

    @property
    def why_held(self) -> str:
        """Why users are held, and what to do about it."""
        nothing = f"nothing {'would be' if self.report.dry_run else 'was'} written for them"
        others = sum(item.reason == "other-writer" for item in self.held)
        found = []
        if guarded := len(self.held) - others:
            found.append(
                f"{amount(guarded, 'user')}. Too many would turn Down at once, so {nothing}. If it is correct, "
                "--force writes it."
            )
        if others:
            found.append(
                f"{amount(others, 'user')}. Another writer reports on their devices, so {nothing}. "
                "--take-over writes it."
            )
        return " ".join(found)

    @cached_property
    def transactions(self) -> dict[str, Transaction]:
        """The transactions by their signatures, in the order of their numbers."""
        outcomes: dict[str, list[Outcome]] = {}
        for submission in self.report.submissions.values():
            if submission.signature:
                outcomes.setdefault(submission.signature, []).append(submission.outcome)
        return {
            signature: Transaction(number, signature, frozenset(found), len(found))
            for number, (signature, found) in enumerate(outcomes.items(), 1)
        }

    def result(self, decision: Decision) -> tuple[str, Tone]:
        """Return the number of the write's transaction, with a word if it did not land."""
        submission = self.report.submission_of(decision)
        if submission is None:
            return "due" if self.report.are_of_earlier_passes else "not sent", Tone.OPEN
        number = f"#{self.transactions[submission.signature].number}" if submission.signature else ""
        if submission.outcome in LANDED:
            return number or submission.outcome.value, Tone.GOOD
        tone = Tone.BAD if submission.outcome is Outcome.FAILED else Tone.OPEN
        return f"{number} {submission.outcome.value}".strip(), tone

    def left_out(self) -> list[tuple[str, str, str]]:
        """Return name, result and cause of every host without a credible answer; hosts of other platforms are one."""
        found = [
            (host_name(reading), reading.result.value, reading.error or "the cause is unknown")
            for reading in self.report.devices
            if reading.result not in {DeviceResult.OK, DeviceResult.UNSUPPORTED}
        ]
        others = [item for item in self.report.devices if item.result is DeviceResult.UNSUPPORTED]
        if others:
            name = others[0].host if len(others) == 1 else f"{others[0].host} and {len(others) - 1:,} more"
            found.append((name, DeviceResult.UNSUPPORTED.value, others[0].error or "another platform"))
        return found

    def failed_writes(self) -> list[tuple[Pubkey, str, str]]:
        """Return user, device and cause of every write that failed, or is pending for a known reason."""
        devices = {item.observation.user.pubkey: device_name(item) for item in self.report.decisions}
        return [
            (submission.user, devices.get(submission.user, "-"), _fate(submission))
            for submission in self.report.submissions.values()
            if submission.outcome is Outcome.FAILED
            or (submission.outcome is Outcome.PENDING and submission.error)
        ]

    def unknown(self) -> list[UnknownGroup]:
        """Return the users whose state is unknown, by host and reason; a failed host has its own section."""
        groups: dict[tuple[str, str], list[Decision]] = {}
        for decision in self.report.decisions:
            if decision.observation.observed is Observed.UNKNOWN:
                groups.setdefault((decision.observation.host, decision.reason), []).append(decision)
        left_out = {item.host for item in self.report.devices if item.result is not DeviceResult.OK}
        found = []
        for (host, reason), group in sorted(groups.items()):
            causes = dict.fromkeys(decision.observation.why or decision.detail for decision in group)
            cause = reason if host in left_out else f"{reason}: {next(iter(causes))}"
            if host not in left_out and len(causes) > 1:
                cause += f" (and {len(causes) - 1:,} more like it)"
            found.append(UnknownGroup(device_name(group[0]), len(group), cause))
        return found

    def down_now(self) -> list[DownUser]:
        """Return every user that is Down or unknown, changed or not, the longest first."""
        found = [
            DownUser(item, self._down_for_s(item))
            for item in self.report.decisions
            if item.status is BgpStatus.DOWN or item.observation.observed is Observed.UNKNOWN
        ]
        return sorted(found, key=lambda item: (-item.down_for_s, importance(item.decision)))

    def _down_for_s(self, decision: Decision) -> float:
        """Return since when a user is Down or unknown: as observed, else since its last Up onchain."""
        report, user = self.report, decision.observation.user
        memory = report.memories.get(user.pubkey)
        if memory is not None and memory.down_since is not None:
            return max(report.started_at.timestamp() + report.duration_s - memory.down_since, 0.0)
        if not user.last_bgp_up_at:
            return inf
        return max(report.slot - user.last_bgp_up_at, 0) * report.seconds_per_slot

    def facts(self) -> Iterator[str]:
        """Yield the totals, each in a few words."""
        counted = self.totals
        hosts = numbered((counted.devices_failed, "failed"), (counted.devices_unmatched, "unmatched"))
        hosts += numbered((counted.devices_unsupported, "unsupported"))
        yield amount(counted.devices, "device") + (f" ({', '.join(hosts)})" if hosts else "")
        states = numbered((counted.absent, "absent"), (counted.unknown, "unknown"))
        up_down = [f"{counted.up:,} up", f"{counted.down:,} down", *states]
        yield f"{amount(counted.users, 'user')}: {', '.join(up_down)}"
        yield (
            f"{counted.to_submit:,} to submit" if self.report.dry_run else f"{counted.submitted:,} submitted"
        )
        yield from numbered((counted.failed, "failed"), (counted.pending, "pending"), (counted.held, "HELD"))
        yield from numbered(*((number, word) for word, number in counted.skipped.items() if word != "absent"))
        if counted.transactions:
            yield amount(counted.transactions, "transaction")
        yield amount(counted.rpc_requests, "RPC request")
        yield f"{self.report.duration_s:.1f} s"


def is_worth_showing(decision: Decision) -> bool:
    """Return whether a user has an action, is due and not written, or has an unknown state."""
    is_unknown = decision.observation.observed is Observed.UNKNOWN
    return decision.action is not Action.SKIP or is_unknown or is_left(decision)


def importance(decision: Decision) -> tuple[bool, bool, str, int]:
    """Return a key to sort users by: changes first, Down before Up, then by device and tunnel."""
    user = decision.observation.user
    return (
        decision.status is user.bgp_status,
        decision.status is not BgpStatus.DOWN,
        decision.observation.device.code,
        user.tunnel_net.address,
    )


def device_name(decision: Decision) -> str:
    """Return the device's code, or its key if it has no code; a drained device is marked."""
    device = decision.observation.device
    return (device.code or abbreviated(str(device.pubkey))) + drained(device)


def drained(device: Device | None) -> str:
    """Return the mark of a drained device, else an empty text."""
    return " (drained)" if device is not None and device.status is DeviceStatus.DRAINED else ""


def host_name(reading: DeviceReading) -> str:
    """Return the host's name, with the device's code if it differs."""
    code = reading.device.code if reading.device else ""
    name = f"{reading.host} ({code})" if code and code != reading.host else reading.host
    return name + drained(reading.device)


def _fate(submission: Submission) -> str:
    error = submission.error or "the cause is unknown"
    return error if submission.outcome is Outcome.FAILED else f"{submission.outcome.value}: {error}"
