"""One pass: recall, collect, resolve, decide, look again, guard, submit, report."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from solders.pubkey import Pubkey

from dzbgp.fleet import Fleet
from dzbgp.guard import Guarded, guard
from dzbgp.ledger.instruction import Write, grown_len
from dzbgp.ledger.program_data import Fetched
from dzbgp.ledger.session import LedgerSession, WriteResult
from dzbgp.ledger.signers import Signers
from dzbgp.looks import Progress, SecondLook, confirmed_observation, look_again
from dzbgp.memory import flaps
from dzbgp.models import (
    Action,
    BgpStatus,
    Decision,
    DeviceReading,
    Observation,
    ProgramData,
    Report,
    User,
    UserMemory,
)
from dzbgp.policy import Clock, Rules, decide
from dzbgp.recall import Recall
from dzbgp.report.totals import summary
from dzbgp.resolver import judge, resolve, users_by_device
from dzbgp.rides import ride_along, without_lone_riders

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PassOptions:
    """How to do a pass. Durations in seconds."""

    dry_run: bool = True
    identity_check: bool = True
    rules: Rules = field(default_factory=Rules)
    confirm_down_s: float = 5.0
    signers: Signers | None = None
    """None: nobody can sign, which only a dry run may do without."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What to ask and how: what a long-running process reads anew when it is told to."""

    fleet: Fleet
    options: PassOptions


def run_pass(
    fleet: Fleet,
    ledger: LedgerSession,
    options: PassOptions,
    progress: Progress,
    recall: Recall | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Report:
    """Does one pass over the fleet. Raises a DzbgpError when nothing could be done at all.

    Without options.dry_run it writes what must be written; everything else is in the report. `recall` None: a
    pass without memory, which is correct, but has no grace, no damping and no guard over time.
    """
    recall = recall or Recall(None, dry_run=options.dry_run)
    plan = plan_pass(fleet, ledger, options, progress, recall, sleep)
    written = WriteResult({})
    if plan.writes and not options.dry_run and options.signers is not None:
        progress.stage("confirming writes", len(plan.writes))
        written = ledger.write(plan.writes, options.signers, progress.step, recall.history)
        recall.keep_written(
            plan.guarded.decisions, written.submissions, plan.guarded.acknowledged, time.time()
        )
    report = plan.report(written, ledger.rpc_requests)
    recall.end(report, summary(report))
    return report


def plan_pass(
    fleet: Fleet,
    ledger: LedgerSession,
    options: PassOptions,
    progress: Progress,
    recall: Recall,
    sleep: Callable[[float], None] = time.sleep,
) -> "Plan":
    """Does a pass up to the point where something would be written. Raises a DzbgpError."""
    started_at, started = datetime.now(UTC), time.monotonic()
    recall.settle_flights(ledger, time.time())
    fetched = ledger.program_data()
    data = fetched.data
    matched = fleet.match(data.devices)
    recall.forget_departed(data, ledger.scope_of(data))
    judging = Judging(data, fetched, options, recall, Clock(data.slot, data.seconds_per_slot, time.time()))

    progress.stage("asking devices", sum(device is not None for device in matched.values()))
    readings = [judging.judged(reading) for reading in fleet.read(matched, lambda _: progress.step())]
    first = judging.decide_all(judging.observe(readings))
    riding = ride_along(first, write_of, ledger.builder, judging.clock, options.rules, judging.may_ride)
    look = look_again(fleet, riding, readings, options.confirm_down_s, progress, sleep)
    observations = judging.confirmed(first, look)
    recall.learn(observations, judging.clock.now, options.rules, time.time())
    due = judging.decide_all(observations, look)
    boarded = judging.boarded(due, riding, look)
    guarded = guard(boarded, recall.weighed(judging.clock.now), judging.clock, options.rules)
    guarded = replace(guarded, decisions=without_lone_riders(guarded.decisions, due))
    decisions = guarded.decisions
    recall.keep_guarded(guarded, decisions)
    return Plan(
        env=ledger.network.name,
        program_id=ledger.network.program_id,
        slot=data.slot,
        started_at=started_at,
        started=started,
        dry_run=options.dry_run,
        readings=tuple(readings),
        guarded=guarded,
        seconds_per_slot=data.seconds_per_slot,
        transitions={
            user: flaps(memory, judging.clock.now, options.rules.flap_window_s)
            for user, memory in recall.users.items()
        },
        memories={
            key: recall.users[key]
            for decision in guarded.decisions
            if (key := decision.observation.user.pubkey) in recall.users
        },
        notes=(
            *data.skipped,
            *_key_notes(data, options),
            *_unsigned_notes(decisions),
            *fleet.notes(),
            *recall.notes(data, decisions, judging.clock, options.rules),
        ),
    )


@dataclass(frozen=True, slots=True)
class Plan:
    """What a pass has found, and would do."""

    env: str
    program_id: Pubkey
    slot: int
    started_at: datetime
    started: float
    """Monotonic seconds."""
    dry_run: bool
    readings: tuple[DeviceReading, ...]
    guarded: Guarded
    seconds_per_slot: float
    transitions: Mapping[Pubkey, int]
    memories: Mapping[Pubkey, UserMemory]
    notes: tuple[str, ...]

    @property
    def writes(self) -> list[Write]:
        """What is to be written, a dry run's too."""
        return [write_of(decision) for decision in self.guarded.decisions if decision.action is Action.SUBMIT]

    def report(self, written: WriteResult, rpc_requests: int) -> Report:
        """Gives the report of the pass, with what became of its writes."""
        return Report(
            dry_run=self.dry_run,
            env=self.env,
            program_id=str(self.program_id),
            slot=self.slot,
            started_at=self.started_at,
            duration_s=time.monotonic() - self.started,
            devices=self.readings,
            decisions=tuple(self.guarded.decisions),
            submissions=written.submissions,
            transactions=written.transactions,
            rpc_requests=rpc_requests,
            seconds_per_slot=self.seconds_per_slot,
            transitions=self.transitions,
            memories=self.memories,
            notes=(*self.notes, *written.notes),
        )


@dataclass(frozen=True, slots=True)
class Judging:
    """From readings to decisions, with everything that a pass knows."""

    data: ProgramData
    fetched: Fetched
    options: PassOptions
    recall: Recall
    clock: Clock
    users: Mapping[Pubkey, Sequence[User]] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "users", users_by_device(self.data))

    def judged(self, reading: DeviceReading) -> DeviceReading:
        """Gives the reading, as suspect when it is not credible."""
        return judge(reading, self._users_of(reading), identity_check=self.options.identity_check)

    def observe(self, readings: Sequence[DeviceReading]) -> list[Observation]:
        """Says what was seen of every user of the devices that were read."""
        return [
            observation
            for reading in readings
            for observation in resolve(reading, self._users_of(reading), self.data.tenants)
        ]

    def confirmed(self, first: Sequence[Decision], look: SecondLook) -> list[Observation]:
        """Gives the observations that count after the second look."""
        readings = {host: self.judged(reading) for host, reading in look.readings.items()}
        again = {seen.user.pubkey: seen for seen in self.observe(list(readings.values()))}
        looked = SecondLook(readings, look.rtts)
        return [confirmed_observation(decision, again, looked) for decision in first]

    def decide_all(
        self, observations: Sequence[Observation], look: SecondLook | None = None
    ) -> list[Decision]:
        """Decides about every user, the signers and the ledger's own state considered; RTTs come from `look`."""
        return [self._decide(observation, look) for observation in observations]

    def may_ride(self, decision: Decision) -> bool:
        """Says whether a report may be written again before it is due: whether it might be if it were."""
        rules = replace(self.options.rules, refresh_interval_s=0.0)
        return self._decide(decision.observation, None, rules).action is Action.SUBMIT

    def boarded(
        self, decisions: Sequence[Decision], riding: Sequence[Decision], look: SecondLook
    ) -> list[Decision]:
        """Gives the decisions, with the refreshes that were to ride along and are as unchanged as they were."""
        return [
            replace(before, rtt_ns=look.rtt_ns(before.observation) if before.status is BgpStatus.UP else 0)
            if decision.reason == "unchanged"
            and before.action is Action.SUBMIT
            and before.reason == "refresh"
            and self.may_ride(decision)
            else decision
            for decision, before in zip(decisions, riding, strict=True)
        ]

    def _decide(
        self, observation: Observation, look: SecondLook | None, rules: Rules | None = None
    ) -> Decision:
        key = observation.user.pubkey
        decision = decide(
            observation,
            self.clock,
            rules or self.options.rules,
            self.recall.users.get(key),
            in_flight=self.recall.may_still_land(key, self.clock.slot, self.clock.now),
        )
        if decision.action is not Action.SUBMIT:
            return decision
        if self.fetched.stale:
            why = f"the ledger did not answer, its data is {self.fetched.age_s:.0f} s old"
            return _not_written(decision, "stale-ledger", why)
        publisher = observation.device.metrics_publisher_pk
        if self.options.signers is not None and publisher not in self.options.signers:
            return _not_written(decision, "no-signer", f"no keypair for publisher {publisher}")
        if look is not None and decision.status is BgpStatus.UP:
            return replace(decision, rtt_ns=look.rtt_ns(observation))
        return decision

    def _users_of(self, reading: DeviceReading) -> Sequence[User]:
        return self.users.get(reading.device.pubkey, ()) if reading.device else ()


def _not_written(decision: Decision, reason: str, why: str) -> Decision:
    return replace(
        decision, action=Action.SKIP, reason=reason, detail=f"{decision.detail} Not written: {why}."
    )


def write_of(decision: Decision) -> Write:
    """Gives the write that a decision asks for. Raises ValueError when it decides nothing."""
    observation = decision.observation
    return Write(
        user=observation.user.pubkey,
        device=observation.device.pubkey,
        publisher=observation.device.metrics_publisher_pk,
        status=decision.status or BgpStatus.UNKNOWN,
        rtt_ns=decision.rtt_ns,
        grown_len=grown_len(observation.user),
        lamports=observation.user.lamports,
    )


def _unsigned_notes(decisions: Sequence[Decision]) -> list[str]:
    """Says whose key is missing: users that are due, and stay as they are for want of it."""
    missing = Counter(
        decision.observation.device.metrics_publisher_pk
        for decision in decisions
        if decision.reason == "no-signer"
    )
    return [
        f"{count} users are due, and nobody here can sign for them: no keypair of publisher {publisher} (--keypair)."
        for publisher, count in missing.items()
    ]


def _key_notes(data: ProgramData, options: PassOptions) -> list[str]:
    """Says which keypairs are of no use, and that a dry run had none."""
    if options.signers is None:
        return ["No keypair was given: what is shown could not be signed here (--keypair)."]
    publishers = {device.metrics_publisher_pk for device in data.devices.values()}
    return [
        f"Keypair {pubkey} is the metrics publisher of no device of this program."
        for pubkey in options.signers.keypairs
        if pubkey not in publishers
    ]
