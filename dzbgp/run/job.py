"""One pass: recall, collect, resolve, decide, look again, guard, submit, report."""

import contextlib
import gc
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

from dzbgp.console.progress import Progress
from dzbgp.decision.guard import guard
from dzbgp.decision.history import flaps
from dzbgp.decision.policy import Clock
from dzbgp.fleet.fleet import Fleet
from dzbgp.ledger.session import LedgerSession, WriteResult
from dzbgp.models.decision import Action
from dzbgp.models.report import Report
from dzbgp.models.session import Look
from dzbgp.models.summary import summary
from dzbgp.run.authorize import authorizer
from dzbgp.run.decider import Judging
from dzbgp.run.early_refresh import ride_along, without_lone_riders
from dzbgp.run.plan import Plan, _key_notes, _rpc_notes, _unsigned_notes, write_of
from dzbgp.run.recheck import look_again
from dzbgp.run.request import PassOptions
from dzbgp.state.memory import Recall

log = logging.getLogger(__name__)


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
        written = ledger.write(
            plan.writes,
            options.signers,
            progress.step,
            recall.history,
            authorize=authorizer(options.max_age_s, plan.seconds_per_slot),
        )
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
    with _patient_collector():
        return _plan_pass(fleet, ledger, options, progress, recall, sleep)


@contextlib.contextmanager
def _patient_collector() -> Iterator[None]:
    """Lets the collector of cycles look less often: nearly all that a pass makes lives until its end."""
    usual = gc.get_threshold()
    gc.set_threshold(50_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def _plan_pass(
    fleet: Fleet,
    ledger: LedgerSession,
    options: PassOptions,
    progress: Progress,
    recall: Recall,
    sleep: Callable[[float], None],
) -> "Plan":
    started_at, started = datetime.now(UTC), time.monotonic()
    recall.settle_flights(ledger, time.time())
    coming, now = ledger.coming(), time.time()
    matched = fleet.match(coming.devices)
    progress.stage("asking devices", sum(device is not None for device in matched.values()))
    # The users are read meanwhile; decide() writes nothing over a report that is younger than what was seen.
    read = fleet.read(matched, lambda _: progress.step(), coming.check)
    fetched = coming.fetched()
    data = fetched.data
    recall.forget_departed(data)
    clock = Clock(data.slot, data.seconds_per_slot, now, asked_slot=coming.slot, read_slot=data.newest_slot)
    judging = Judging(data, fetched, options, recall, clock)
    readings = [judging.judged(reading) for reading in read]
    first = judging.decide_all(judging.observe(readings))
    riding = ride_along(first, write_of, ledger.builder, judging.clock, options.rules, judging.may_ride)
    look = look_again(fleet, riding, readings, options.confirm_down_s, progress, sleep)
    observations = judging.confirmed(first, look)
    recall.learn(observations, judging.clock.now, options.rules, time.time())
    due = judging.decide_again(first, observations, look)
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
        look=Look(coming.slot, now),
        guarded=guarded,
        seconds_per_slot=data.seconds_per_slot,
        transitions={
            user: count
            for user, memory in recall.users.items()
            if (count := flaps(memory, judging.clock.now, options.rules.flap_window_s))
        },
        memories={
            decision.observation.user.pubkey: memory
            for decision in guarded.decisions
            if (memory := recall.users.get(decision.observation.user.pubkey)) is not None
            and (memory.transitions or decision.action is not Action.SKIP)
        },
        skipped_accounts=data.skipped,
        notes=(
            *data.notes,
            *_rpc_notes(ledger.network),
            *_key_notes(data, options),
            *_unsigned_notes(decisions),
            *fleet.notes(),
            *recall.notes(data, decisions, judging.clock, options.rules),
        ),
    )
