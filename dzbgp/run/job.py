"""One pass: recall, read, decide, add early refreshes, recheck, guard, submit, remember, report."""

import contextlib
import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from solders.pubkey import Pubkey

from dzbgp.console.progress import Progress
from dzbgp.decision.guard import guard
from dzbgp.errors import DzbgpError
from dzbgp.fleet.fleet import Fleet
from dzbgp.ledger.errors import ClusterMismatchError
from dzbgp.ledger.program.cache import TTL_S
from dzbgp.ledger.session import ComingData, LedgerSession, WriteResult
from dzbgp.models.decision import Decision, Decisions
from dzbgp.models.ledger import Device
from dzbgp.models.moment import Moment
from dzbgp.models.report import Report
from dzbgp.models.session import DeviceReading, Look
from dzbgp.models.summary import summary
from dzbgp.run.alarms import Alarms
from dzbgp.run.authorize import authorizer
from dzbgp.run.decider import Decider
from dzbgp.run.early_refresh import add_early_refreshes, without_lone_refreshes
from dzbgp.run.interrupts import Interrupts
from dzbgp.run.plan import Plan, Started, left_alone, plan_of, write_of
from dzbgp.run.recheck import recheck
from dzbgp.run.request import PassOptions
from dzbgp.state.memory import Memory

Submit = Callable[[list[Decision], float], bool]
"""Called with decisions to be written, as soon as they are certain, and with the seconds that a slot takes. Returns
whether the pass continues."""


def run_pass(
    fleet: Fleet,
    ledger: LedgerSession,
    options: PassOptions,
    progress: Progress,
    memory: Memory | None = None,
    sleep: Callable[[float], None] = time.sleep,
    interrupts: Interrupts | None = None,
) -> Report:
    """Do one pass over the fleet. Raises a DzbgpError when nothing could be done at all.

    Without options.dry_run it writes what must be written; everything else is in the report. Without a memory it is
    correct, but has no grace, no damping and no guard over time.
    """
    memory = memory or Memory(None, dry_run=options.dry_run)
    interrupts = interrupts or Interrupts()
    written = WriteResult({})

    def submit(decisions: list[Decision], seconds_per_slot: float) -> bool:
        if options.signers is None:
            return True
        progress.stage("confirming writes", len(decisions))
        writes = [write_of(decision) for decision in decisions]
        authorize = authorizer(options.max_age_s, seconds_per_slot)
        was_begun = interrupts.is_begun
        interrupts.begin()
        try:
            done = ledger.write(writes, options.signers, progress.step, memory.history, authorize=authorize)
        except ClusterMismatchError:
            # It comes before anything is sent.
            interrupts.is_begun = was_begun
            raise
        finally:
            interrupts.hold()
        memory.keep_written(decisions, done.submissions, time.time())
        written.add(done)
        return not done.is_interrupted and interrupts.release()

    plan = plan_pass(fleet, ledger, options, progress, memory, sleep, submit)
    interrupts.hold()
    report = plan.report(written, ledger.rpc_requests)
    memory.end(report, summary(report), ledger.floor)
    if memory.history is None or options.dry_run:
        return report
    return replace(report, alarms=tuple(Alarms(memory.history).lines_after(report)))


def plan_pass(
    fleet: Fleet,
    ledger: LedgerSession,
    options: PassOptions,
    progress: Progress,
    memory: Memory,
    sleep: Callable[[float], None] = time.sleep,
    submit: Submit = lambda *_: True,
) -> Plan:
    """Do a pass but for what `submit` does with its writes; a dry run never calls it. Raises a DzbgpError."""
    started = Started.now()
    with _patient_collector():
        coming, asked_at, matched = _begun(fleet, ledger, memory)
        now = asked_at.unix
        progress.stage("asking devices", sum(device is not None for device in matched.values()))
        # The users are read meanwhile; a report that is newer than what the devices said is never overwritten.
        read = fleet.read(matched, lambda _: progress.step(), coming.check, options.max_age_s / 2)
        looked_at, waited_s = time.monotonic(), 0.0
        look = Look(coming.slot, asked_at, coming.ledger_at)
        asked = {device.pubkey for device in matched.values() if device is not None}
        decider = Decider.of(coming.fetched(), now, options, memory, fleet.identity_checks(), asked)
        readings, decisions = _decided(decider, read, look)
        if coming.is_cached and _needs_newer_data(decider, readings, decisions):
            newer = ledger.program_data(TTL_S)
            if newer.data is not decider.data:
                decider = Decider.of(newer, now, options, memory, fleet.identity_checks(), asked)
                readings, decisions = _decided(decider, read, look)
                memory.unexplained = decider.unexplained(readings)
                waited_s = time.monotonic() - looked_at
        decisions = add_early_refreshes(decisions, decider, ledger.builder)
        limits, final = fleet.limits(options.rules.limits), dict[Pubkey, Decision]()
        is_begun, stopped = False, ""

        def guarded(group: Decisions) -> dict[Pubkey, Decision]:
            past = memory.past(now, fleet.part_of)
            found = guard(decisions, past, decider.clock, options.rules, limits)
            return without_lone_refreshes({user: found[user] for user in group}, decider)

        try:
            for group in recheck(decisions, decider, fleet, ledger, options, progress, sleep, waited_s):
                decisions |= group
                certain = guarded(group)
                memory.keep(certain)
                final |= certain
                due = [decision for decision in certain.values() if decision.is_write]
                if due and not options.dry_run:
                    stopped = "" if submit(due, decider.clock.seconds_per_slot) else "it was interrupted"
                    is_begun = True
                if stopped:
                    break
        except (KeyboardInterrupt, DzbgpError) as error:
            if not is_begun:
                raise
            # Something is written: its result must be reported.
            stopped = str(error) or "it was interrupted"
        # They stay in the order of the devices, whichever was asked again first.
        for user, one in decisions.items():
            decisions[user] = final.get(user) or left_alone(one, stopped)
        return plan_of(started, ledger.network, readings, decisions, decider, fleet.notes(), stopped)


def _begun(
    fleet: Fleet, ledger: LedgerSession, memory: Memory
) -> tuple[ComingData, Moment, dict[str, Device | None]]:
    """Read the devices, and keep other runs away from them: what another one has just done is read again."""
    while True:
        memory.settle_in_flight(ledger, time.time())
        coming, now = ledger.coming(), Moment.now()
        matched = fleet.match(coming.devices)
        if not memory.hold(device for device in matched.values() if device is not None):
            return coming, now, matched
        ledger.expire()


def _decided(
    decider: Decider, read: list[DeviceReading], look: Look
) -> tuple[list[DeviceReading], dict[Pubkey, Decision]]:
    """Return the readings, as suspect where they are not credible, and what is decided for every user."""
    if not decider.fetched.doubt:
        decider.memory.forget_departed(decider.data)
    readings = decider.assess(read)
    return readings, decider.decide_all(readings, look)


def _needs_newer_data(
    decider: Decider, readings: list[DeviceReading], decisions: dict[Pubkey, Decision]
) -> bool:
    """Return whether data from before this pass will not do: something is due, or a device shows a new neighbor.

    What is due is weighed by the guard together with all other users, of which some may be gone.
    """
    unexplained = decider.unexplained(readings)
    is_new = not unexplained <= decider.memory.unexplained
    # One that comes back is new again.
    decider.memory.unexplained &= unexplained
    return is_new or any(one.is_write for one in decisions.values())


@contextlib.contextmanager
def _patient_collector() -> Iterator[None]:
    """Let the collector of cycles look less often: nearly all that a pass makes lives until its end."""
    usual = gc.get_threshold()
    gc.set_threshold(50_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
