"""What the gauges say: the state after the last pass, as one record that is replaced as a whole.

The series are made from the record whenever they are asked for. So a device, a user or a publisher that has left
the ledger or the inventory is gone from the metrics with the next pass, and nobody ever reads half a pass.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeVar

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from solders.pubkey import Pubkey

from dzbgp.errors import ExitCode
from dzbgp.models.decision import Action, Decision
from dzbgp.models.ledger import LAMPORTS_PER_SOL, BgpStatus
from dzbgp.models.report import Report
from dzbgp.models.session import DeviceResult, Observed
from dzbgp.models.submission import LANDED, Outcome

Labels = TypeVar("Labels", bound=tuple[str, ...])

FLAPPING = 2
"""From so many transitions within the flap window on a user is said to flap: one is a change."""

LAST_SUCCESS = "dzbgp_device_last_success_timestamp_seconds"
LAST_COMPLETE = "dzbgp_last_complete_pass_timestamp_seconds"
BALANCE = "dzbgp_publisher_balance_sol"


class DeviceLabels(NamedTuple):
    """What tells one device's series from another's."""

    device: str
    """The device's code."""
    host: str


def result_word(code: ExitCode) -> str:
    """Return the word for an exit code as the label `result` has it."""
    return code.name.lower()


@dataclass(frozen=True, slots=True)
class PassGauges:
    """What one pass saw and did."""

    hosts: Mapping[str, int]
    up: Mapping[DeviceLabels, bool]
    sessions: Mapping[DeviceLabels, tuple[int, int]]
    """All and the established BGP sessions of the devices that gave a credible answer."""
    report_ages_s: Mapping[DeviceLabels, float]
    """The age of the oldest report among the users of a device."""
    users: Mapping[tuple[str, str], int]
    """By status onchain before the pass, and by what was observed."""
    decisions: Mapping[tuple[str, str], int]
    """By action and reason."""
    submissions: Mapping[str, int]
    transitions: int
    flapping: int

    @classmethod
    def of(cls, report: Report) -> "PassGauges":
        """Read them off a report."""
        up, sessions = {}, {}
        for reading in report.devices:
            if reading.device is not None:
                labels = DeviceLabels(reading.device.code, reading.host)
                up[labels] = reading.result is DeviceResult.OK
                if up[labels]:
                    established = sum(neighbor.is_up for neighbor in reading.neighbors)
                    sessions[labels] = (len(reading.neighbors), established)
        return cls(
            hosts=_filled(DeviceResult, (reading.result for reading in report.devices)),
            up=up,
            sessions=sessions,
            report_ages_s=_report_ages_s(report),
            users=Counter(
                {(onchain.label, seen.value): 0 for onchain in BgpStatus for seen in Observed}
                | Counter(
                    (decision.observation.user.bgp_status.label, decision.observation.observed.value)
                    for decision in report.decisions
                )
            ),
            decisions=Counter((decision.action.value, decision.reason) for decision in report.decisions),
            submissions=_filled(Outcome, (item.outcome for item in report.submissions.values())),
            transitions=sum(report.transitions.values()),
            flapping=sum(count >= FLAPPING for count in report.transitions.values()),
        )


@dataclass(frozen=True, slots=True)
class MetricsState:
    """The state that the gauges show. Times are Unix seconds; 0 means never."""

    last_pass_at: float = 0.0
    last_complete_at: float = 0.0
    last_duration_s: float = 0.0
    last_result: ExitCode | None = None
    gauges: PassGauges | None = None
    """None while the last pass failed as a whole: what it did not see is not told."""
    last_success_at: Mapping[DeviceLabels, float] = field(default_factory=dict)
    balances: Mapping[str, float] = field(default_factory=dict)
    """In SOL, by publisher."""

    def after_pass(self, report: Report, result: ExitCode, now: float) -> "MetricsState":
        """Return the state after a pass that ended in `report` at `now`."""
        gauges = PassGauges.of(report)
        publishers = {
            str(reading.device.metrics_publisher_pk) for reading in report.devices if reading.device
        }
        return MetricsState(
            last_pass_at=now,
            last_complete_at=now,
            last_duration_s=report.duration_s,
            last_result=result,
            gauges=gauges,
            last_success_at={
                labels: now if up else self.last_success_at.get(labels, 0.0)
                for labels, up in gauges.up.items()
            },
            balances={key: sol for key, sol in self.balances.items() if key in publishers},
        )

    def after_failure(self, result: ExitCode, duration_s: float, now: float) -> "MetricsState":
        """Return the state after a pass that failed as a whole: timestamps and balances stay as they were."""
        return replace(self, last_pass_at=now, last_duration_s=duration_s, last_result=result, gauges=None)

    def with_balances(self, lamports: Mapping[Pubkey, int]) -> "MetricsState":
        """Return the state with these balances and no others."""
        balances = {str(publisher): amount / LAMPORTS_PER_SOL for publisher, amount in lamports.items()}
        return replace(self, balances=balances)

    def families(self) -> Iterator[Metric]:
        """Yield the gauges."""
        yield _plain("dzbgp_last_pass_timestamp_seconds", "When the last pass ended, with any result",
                     self.last_pass_at)  # fmt: skip
        yield _plain(LAST_COMPLETE, "When the last pass with a report ended", self.last_complete_at)
        yield _plain("dzbgp_last_pass_duration_seconds", "How long the last pass took", self.last_duration_s)
        if self.last_result is not None:
            yield _labelled("dzbgp_last_pass_result", "1 for the result of the last pass, an exit code in words",
                            ("result",),
                            {(result_word(code),): code is self.last_result for code in ExitCode})  # fmt: skip
        yield _labelled(LAST_SUCCESS, "When a device last gave a credible answer; 0: never",
                        DeviceLabels._fields, self.last_success_at)  # fmt: skip
        yield _labelled(BALANCE, "SOL of a metrics publisher", ("publisher",),
                        {(key,): sol for key, sol in self.balances.items()})  # fmt: skip
        if self.gauges is not None:
            yield from _pass_families(self.gauges)


def _pass_families(gauges: PassGauges) -> Iterator[Metric]:
    device = DeviceLabels._fields
    # What is held because of another writer is among the decisions only: `dzbgp release` does nothing for it.
    held = gauges.decisions.get((Action.HOLD.value, "guard"), 0)
    damped = sum(count for (_, reason), count in gauges.decisions.items() if reason == "damped")
    yield _labelled("dzbgp_hosts", "Hosts of the last pass, by result", ("result",),
                    {(result,): count for result, count in gauges.hosts.items()})  # fmt: skip
    yield _labelled("dzbgp_device_up", "1 when the device gave a credible answer in the last pass", device,
                    gauges.up)  # fmt: skip
    yield _labelled("dzbgp_device_sessions", "BGP sessions of a device that gave a credible answer", device,
                    {labels: total for labels, (total, _) in gauges.sessions.items()})  # fmt: skip
    yield _labelled("dzbgp_device_sessions_established", "Of these, the established ones", device,
                    {labels: up for labels, (_, up) in gauges.sessions.items()})  # fmt: skip
    yield _labelled("dzbgp_device_oldest_report_age_seconds",
                    "Age of the oldest report onchain among the users of a device", device,
                    gauges.report_ages_s)  # fmt: skip
    yield _labelled("dzbgp_users", "Users, by status onchain before the last pass and by what it observed",
                    ("onchain", "observed"), gauges.users)  # fmt: skip
    yield _labelled("dzbgp_decisions", "Decisions of the last pass", ("action", "reason"), gauges.decisions)
    yield _plain("dzbgp_users_held", "Users whose Down the guard held in the last pass", held)
    yield _plain("dzbgp_users_damped", "Users not written in the last pass because they flap", damped)
    yield _plain(
        "dzbgp_users_flapping", "Users with two or more transitions in the flap window", gauges.flapping
    )
    yield _plain("dzbgp_flap_transitions", "Transitions of all users in the flap window", gauges.transitions)
    yield _labelled("dzbgp_submissions", "Users written in the last pass, by result", ("result",),
                    {(result,): count for result, count in gauges.submissions.items()})  # fmt: skip


def _report_ages_s(report: Report) -> dict[DeviceLabels, float]:
    """Leave out users that were never reported, and absent users that are Down: their report is never renewed."""
    landed = {item.user for item in report.submissions.values() if item.outcome in LANDED}
    ages: dict[DeviceLabels, float] = {}
    for decision in report.decisions:
        seen = decision.observation
        reported_at = seen.user.last_bgp_reported_at
        if seen.user.pubkey in landed:
            age_s = 0.0
        elif reported_at == 0 or _never_renewed(decision):
            continue
        else:
            age_s = max(0, report.slot - reported_at) * report.seconds_per_slot
        labels = DeviceLabels(seen.device.code, seen.host)
        ages[labels] = max(ages.get(labels, 0.0), age_s)
    return ages


def _never_renewed(decision: Decision) -> bool:
    return decision.observation.observed is Observed.ABSENT and decision.status is None


def _filled(words: Iterable[str], found: Iterable[str]) -> dict[str, int]:
    """Counts, with a 0 for every word that was not found."""
    counted = Counter(found)
    return {str(word): counted[word] for word in words}


def _plain(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help_text, value=value)


def _labelled(name: str, help_text: str, labels: tuple[str, ...], values: Mapping[Labels, float]) -> Metric:
    family = GaugeMetricFamily(name, help_text, labels=labels)
    for label_values, value in values.items():
        family.add_metric(label_values, value)
    return family
