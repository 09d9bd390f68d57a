"""The long-running form: a pass every interval, until it is stopped.

One bad pass never ends it. What a pass wants written goes to a worker (submit_queue.py), whose results the next
pass takes in; so a slow ledger delays no look at the devices.
"""

import logging
import math
import queue
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

from dzbgp.errors import DzbgpError, StateLockedError, reason_of
from dzbgp.fleet.fleet import Fleet
from dzbgp.ledger.errors import LedgerReplacedError
from dzbgp.ledger.session import LedgerSession, WriteResult
from dzbgp.ledger.submit.reread import Authorize
from dzbgp.ledger.submit.signers import Signers
from dzbgp.models.decision import Decision
from dzbgp.models.exit import exit_code_of
from dzbgp.models.ledger import NOMINAL_SECONDS_PER_SLOT
from dzbgp.models.session import DeviceResult
from dzbgp.models.summary import summary
from dzbgp.report.problems import changes
from dzbgp.run.alarms import Alarms
from dzbgp.run.authorize import authorizer
from dzbgp.run.job import plan_pass
from dzbgp.run.observer import Observer
from dzbgp.run.overrun import Overrun
from dzbgp.run.plan import Plan
from dzbgp.run.request import PassOptions
from dzbgp.run.setup import Setup
from dzbgp.run.submit_queue import SubmitWorker
from dzbgp.run.systemd import Heartbeat, Notifier
from dzbgp.state.memory import Memory

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """Durations in seconds."""

    interval_s: float = 60.0
    jitter: float = 0.1
    """The first pass begins within this share of the interval, so that many watchers started at once spread out."""
    stop_wait_s: float = 35.0
    """How long, once stopped, it waits for writes that are under way: a little longer than these wait
    themselves (SubmitOptions.interrupt_wait_s)."""
    passes: int | None = None
    """Ends after so many passes; None: never."""


class Watch:
    """Runs passes in the calling thread until it is stopped."""

    def __init__(
        self,
        ledger: LedgerSession,
        memory: Memory,
        load: Callable[[], Setup],
        options: WatchOptions,
        observer: Observer | None = None,
        notifier: Notifier | None = None,
    ) -> None:
        """Load the first setup; `load` is called again for every reload. Raises a DzbgpError."""
        self._ledger = ledger
        self._memory = memory
        self._load = load
        self._setup = load()
        self._options = options
        self._observer = observer or Observer()
        self._notifier = notifier or Notifier()
        # Plain flags, and a queue whose `put` may interrupt its own `get`: an Event's lock is not safe for a
        # signal handler, which runs in the very thread that may hold it.
        self._stopping = False
        self._reloading = False
        self._interruptible = False
        self._has_passed = False
        self._is_in_doubt = True
        """The last pass did not get to a ledger that is believed: another one may have taken its place."""
        self._woken: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._rpc_requests = 0
        self._overrun = Overrun(options.interval_s)
        self._finished = WriteResult({})
        self._changed: list[Decision] = []
        """What was written since the last report."""
        self._noted: frozenset[str] = frozenset()
        self._seconds_per_slot = NOMINAL_SECONDS_PER_SLOT
        self._alarms = Alarms(None if memory.dry_run else memory.history)
        self._worker = SubmitWorker(ledger, self._signers, self._authorize, memory.history)
        memory.begun = self._worker.begun
        memory.take_back = partial(self._worker.keep_only, {})

    @property
    def fleet(self) -> Fleet:
        """The fleet that is watched at the moment."""
        return self._setup.fleet

    def stop(self) -> None:
        """End it after the pass under way; for any thread, and safe in a signal handler."""
        self._stopping = True
        self._woken.put(None)

    def interrupt(self) -> None:
        """End it, and cuts short what waits for devices or for the ledger; for a handler in the thread of `run`.

        Raises KeyboardInterrupt where that is safe, and only there.
        """
        self.stop()
        if self._interruptible:
            raise KeyboardInterrupt

    def reload(self) -> None:
        """Read inventory and keypairs again before the next pass; safe in a signal handler."""
        self._reloading = True
        self._woken.put(None)

    def run(self) -> None:
        """Do passes. Return when stopped, within about the time that WatchOptions allows for that.

        Raises StateLockedError in the first pass, and LedgerReplacedError.
        """
        log.info("watching %d hosts, a pass every %g s", len(self.fleet.hosts), self._options.interval_s)
        self._notifier.ready()
        try:
            self._passes()
        except KeyboardInterrupt:
            self._stopping = True
        finally:
            self._interruptible = False
            log.info("stopped" if self._stopping else "ending")
            self._end()

    def _passes(self) -> None:
        interval_s = self._options.interval_s
        due = time.monotonic() + random.uniform(0, interval_s * self._options.jitter)  # noqa: S311
        done = 0
        while done != self._options.passes and self._waited(due):
            self._overrun.begin()
            try:
                self._pass()
            finally:
                self._overrun.cancel()
            done += 1
            due += interval_s
            late_s = time.monotonic() - due
            if 0 < late_s <= self._overrun.paused_s:
                # It was not too slow: it waited for the second look before a Down.
                due = time.monotonic()
            elif late_s > 0:
                due += (math.floor(late_s / interval_s) + 1) * interval_s

    def _waited(self, due: float) -> bool:
        """Wait until `due`, and reload meanwhile if asked to; False if the watch must end instead."""
        while not self._stopping:
            if self._reloading:
                self._reloading = False
                self._load_anew()
            if time.monotonic() >= due:
                return True
            self._rest(due)
        return False

    def _rest(self, until: float) -> None:
        """Wait until then at most, but not longer than the watchdog does; a signal ends the wait."""
        self._notifier.alive()
        left_s = min(until - time.monotonic(), self._notifier.feed_s, 1.0)
        try:
            self._woken.get(timeout=max(left_s, 0))
        except queue.Empty:
            return

    def _pass(self) -> None:
        started = time.monotonic()
        try:
            self._take_in_results()
            plan = self._planned()
            self._keep_only(plan)
            self._tell(plan)
        except Exception as error:
            is_at_start = isinstance(error, StateLockedError) and not self._has_passed
            if is_at_start or isinstance(error, LedgerReplacedError):
                raise
            self._failed(error, started)
        else:
            return
        # Nobody looked: what an earlier pass wanted to write may not be true any more.
        self._worker.keep_only({})

    def _planned(self) -> Plan:
        self._interruptible = True
        try:
            if self._is_in_doubt:
                self._ledger.check_genesis_hash()
            self._is_in_doubt = True
            self._memory.submitting |= self._worker.in_flight.unsettled(
                self._ledger,
                self._memory.submitting,
                lambda sent, settled: self._memory.note_landed(sent, settled, time.time()),
            )
            plan = plan_pass(
                self.fleet,
                self._ledger,
                self._options_of_pass(),
                Heartbeat(self._notifier),
                self._memory,
                self._pause,
                self._hand_over,
            )
        finally:
            self._interruptible = False
        self._has_passed = True
        self._is_in_doubt = self._ledger.is_failing or bool(plan.ledger_doubt)
        self._worker.in_flight.read(plan.slot)
        # Of a device that did not answer nothing is kept: a dead SSH session would fail for ever.
        failed = [reading.host for reading in plan.readings if reading.result is DeviceResult.FAILED]
        self.fleet.forget(failed)
        return plan

    def _signers(self) -> Signers:
        """Return the keypairs as last loaded; without any, nothing is ever handed to the worker."""
        return self._setup.options.signers or Signers({})

    def _authorize(self) -> Authorize:
        """Return the rule for what may be signed, as last loaded."""
        return authorizer(self._setup.options.max_age_s, self._seconds_per_slot)

    def _pause(self, seconds: float) -> None:
        self._overrun.pause(seconds)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self._stopping:
                raise KeyboardInterrupt
            self._rest(until)

    def _options_of_pass(self) -> PassOptions:
        """Return the options of a pass; other writers stop no watch, which corrects itself within its interval."""
        options = self._setup.options
        return replace(options, rules=replace(options.rules, take_over=True))

    def _hand_over(self, decisions: list[Decision], seconds_per_slot: float) -> bool:
        # The queue's lock is not safe for a KeyboardInterrupt.
        self._interruptible = False
        self._seconds_per_slot = seconds_per_slot
        dropped = self._worker.offer(decisions)
        self._interruptible = True
        if dropped:
            log.warning("%d writes did not fit into the queue; they are due again in the next pass", dropped)
        return True

    def _keep_only(self, plan: Plan) -> None:
        """Take back what waits and is no longer wanted: the session came back, the user or the host is gone."""
        if plan.dry_run:
            return
        self._worker.keep_only(
            {
                user: decision.status
                for user, decision in plan.decisions.items()
                if decision.status is not None and (decision.is_write or decision.reason == "in-flight")
            }
        )

    def _tell(self, plan: Plan) -> None:
        finished, self._finished = self._finished, WriteResult({})
        requests = self._ledger.rpc_requests
        report = plan.report(finished, requests - self._rpc_requests, is_of_earlier_pass=True)
        self._rpc_requests = requests
        self._memory.end(report, summary(report), self._ledger.floor)
        result = exit_code_of(report)
        line = " ".join(f"{name}={number}" for name, number in summary(report).items())
        log.info("pass result=%s seconds=%.2f %s", result.name.lower(), report.duration_s, line)
        changed, self._changed = self._changed, []
        for told in changes(changed, report.submissions):
            log.info("%s", told)
        for note in report.notes:
            # What holds for long is said once, not every minute.
            if note not in self._noted:
                log.warning("%s", note)
        self._noted = frozenset(report.notes)
        _say(self._alarms.lines_after(report))
        self._notifier.status(f"last pass {result.name.lower()}: {line}")
        self._interruptible = True
        try:
            self._observer.passed(report, result)
        finally:
            self._interruptible = False

    def _failed(self, error: Exception, started: float) -> None:
        seconds = time.monotonic() - started
        self._memory.fail(error, time.time() - seconds, seconds)
        log.debug("the pass ended here", exc_info=error)
        told = reason_of(error)
        _say(self._alarms.lines_after_failure(f"pass failed: {told}"))
        self._notifier.status(f"last pass failed: {told}")
        try:
            self._observer.failed(error, seconds)
        except Exception as failure:
            log.error("metrics: internal error (%s)", type(failure).__name__)  # noqa: TRY400 - one line
            log.debug("the metrics ended here", exc_info=True)

    def _take_in_results(self) -> None:
        """Remember what the worker has written since the last pass, and which users it is about."""
        standing = self._worker.begin_pass()
        self._memory.submitting = standing.busy
        for finished in standing.finished:
            self._memory.keep_written(finished.decisions, finished.result.submissions, time.time())
            self._finished.add(finished.result)
            self._changed += finished.decisions

    def _load_anew(self) -> None:
        self._notifier.reloading()
        # An inventory that is made of the ledger may wait for it.
        self._interruptible = True
        try:
            fresh = self._load()
        except DzbgpError as error:
            log.error("reload: %s; the previous inventory stays in use", error)  # noqa: TRY400 - one line
        except Exception as error:
            name = type(error).__name__
            log.error("reload: internal error (%s); the previous inventory stays in use", name)  # noqa: TRY400 - one line
            log.debug("the reload ended here", exc_info=True)
        else:
            self._interruptible = False
            before, self._setup = self._setup, fresh
            # The users of new hosts may not have been asked for.
            self._ledger.expire()
            before.fleet.close()
            log.info("reloaded: %d hosts", len(fresh.fleet.hosts))
        finally:
            self._interruptible = False
        self._notifier.ready()

    def _end(self) -> None:
        self._notifier.stopping()
        if not self._worker.stop(self._options.stop_wait_s):
            log.warning("a write was still in flight at the end; its result is looked up at the next start")
        self._take_in_results()
        outcomes = Counter(one.outcome.value for one in self._finished.submissions.values())
        if outcomes:
            line = " ".join(f"{outcome}={count}" for outcome, count in outcomes.items())
            log.info("writes in flight: %s", line)
        self.fleet.close()
        log.info("ended")


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        log.error("%s", line)
