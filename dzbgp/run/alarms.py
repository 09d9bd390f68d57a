"""Problems on stderr: said when they begin, when they end, and once an hour while they last, not in every pass.

The state file keeps what was said, so that cron jobs and a watch that starts again do not repeat it.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence

from dzbgp.console.words import duration
from dzbgp.models.problem import Alarm, Problem
from dzbgp.models.report import Report
from dzbgp.report.problems import bounded, problems
from dzbgp.state.records import alarms, keep_alarms
from dzbgp.state.store import Store

AGAIN_S = 3600.0
_WHOLE = "whole pass"


class Alarms:
    """What was said, pass by pass. Without a store it is forgotten at the end of the process."""

    def __init__(self, store: Store | None, now: Callable[[], float] = time.time) -> None:
        """`now` gives Unix seconds."""
        self._store = store
        self._now = now
        self._fleet = ""
        self._known: dict[str, Alarm] = {}

    def lines_after(self, report: Report) -> list[str]:
        """Return what is to be said after a pass that came to a report."""
        self._turn_to(report)
        return self._said(list(problems(report)), set(self._known))

    def lines_after_failure(self, line: str) -> list[str]:
        """Return what is to be said after a pass that failed as a whole; of anything else nothing is known."""
        return self._said([Problem(_WHOLE, line)], set())

    def _turn_to(self, report: Report) -> None:
        """Go on with what was said of the hosts of this pass: other runs may share the state file."""
        hosts = "\n".join(sorted(reading.host for reading in report.devices))
        fleet = hashlib.sha256(hosts.encode()).hexdigest()[:16]
        if fleet != self._fleet:
            if self._store is not None and self._fleet:
                # This process asked it until a reload: nobody ends its problems any more.
                keep_alarms(self._store, self._fleet, (), self._now())
            earlier = {_WHOLE: self._known[_WHOLE]} if _WHOLE in self._known else {}
            kept = alarms(self._store, fleet) if self._store else []
            self._fleet, self._known = fleet, {one.key: one for one in kept} | earlier

    def _said(self, found: Sequence[Problem], looked_at: Iterable[str]) -> list[str]:
        """Return the lines, and remember them. `looked_at`: the keys that end unless they are found."""
        now = self._now()
        begun: list[str] = []
        going_on: list[str] = []
        after = dict(self._known)
        for problem in found:
            before = after.get(problem.key)
            if before is None:
                begun.append(problem.line)
                after[problem.key] = Alarm(problem.key, problem.line, now, now)
                continue
            is_due = not 0 <= now - before.said_at < AGAIN_S
            if is_due:
                going_on.append(f"for {duration(max(now - before.since, 0))} now: {problem.line}")
            said_at = now if is_due else before.said_at
            after[problem.key] = Alarm(problem.key, problem.line, before.since, said_at)
        over = [self._known[key] for key in looked_at if key not in {one.key for one in found}]
        # An event may come again at any moment: it is over once it has not been said for an hour.
        over = [one for one in over if not one.is_event or not 0 <= now - one.said_at < AGAIN_S]
        for one in over:
            del after[one.key]
        ended = [
            f"over after {duration(max(now - one.since, 0))}: {one.line}" for one in over if not one.is_event
        ]
        self._known = after
        if self._store is not None and self._fleet:
            keep_alarms(self._store, self._fleet, after.values(), now)
        return [*bounded(begun), *bounded(going_on), *bounded(ended)]
