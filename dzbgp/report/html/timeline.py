"""The last day of a user's session, as far as it is known. Pure: no I/O, no clock of its own."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from dzbgp.decision.memory import flaps
from dzbgp.models.decision import Action, Decision
from dzbgp.models.ledger import BgpStatus
from dzbgp.models.memory import UserMemory
from dzbgp.models.report import Report
from dzbgp.models.session import Observed

WINDOW_S = 24 * 3600.0
MOST_SHOWN = 60
_WORTH_DRAWING_S = 300.0
"""A session without transitions that is known for less time is a dot, not worth a line."""


@dataclass(frozen=True, slots=True)
class Span:
    """A time in which the session was up, or down. Unix seconds."""

    start: float
    end: float
    up: bool
    certain: bool = True
    """False: inferred from what followed it; its start was not observed."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """A user's session over the window. Where there is no span, its state is unknown."""

    decision: Decision
    spans: tuple[Span, ...]
    transitions: int
    """How often it went up or down within the window, bounces between two passes included."""
    bounces: tuple[float, ...]
    """When it went down and up again between two passes. Unix seconds."""


@dataclass(frozen=True, slots=True)
class Day:
    """The timelines of one report, from `start` to `end` in Unix seconds."""

    start: float
    end: float
    shown: tuple[Timeline, ...]
    left_out: int
    """How many more there are."""


def day(report: Report) -> Day:
    """Return the timelines of the users with transitions or a change, those with the most transitions first."""
    end = report.started_at.timestamp() + report.duration_s
    start = end - WINDOW_S
    found = []
    for decision in report.decisions:
        memory = report.memories.get(decision.observation.user.pubkey)
        if memory is None or memory.device != decision.observation.device.pubkey:
            continue
        transitions = flaps(memory, end, WINDOW_S)
        if transitions or _changes(decision):
            spans = tuple(_clipped(_spans(decision, memory, end), start, end))
            if transitions or sum(span.end - span.start for span in spans) >= _WORTH_DRAWING_S:
                found.append(Timeline(decision, spans, transitions, tuple(_bounces(memory, start))))
    found.sort(key=_order)
    return Day(start, end, tuple(found[:MOST_SHOWN]), max(len(found) - MOST_SHOWN, 0))


def _changes(decision: Decision) -> bool:
    onchain = decision.observation.user.bgp_status
    return decision.action is not Action.SKIP and decision.status is not onchain


def _order(timeline: Timeline) -> tuple[int, bool, str, int]:
    seen = timeline.decision.observation
    is_down = timeline.decision.status is BgpStatus.DOWN
    return -timeline.transitions, not is_down, seen.device.code, seen.user.tunnel_net.address


def _spans(decision: Decision, memory: UserMemory, end: float) -> Iterator[Span]:
    """Yield the spans from the oldest transition on; each transition changes the state."""
    seen_now = decision.observation.observed is not Observed.UNKNOWN
    last = end if seen_now else memory.seen_at
    times = memory.transitions
    up = memory.up if len(times) % 2 == 0 else not memory.up
    if not times:
        yield Span(_known_since(decision, memory), last, up)
        return
    yield Span(float("-inf"), times[0], up, certain=False)
    for begin, until in zip(times, (*times[1:], last), strict=True):
        up = not up
        yield Span(begin, until, up)


def _known_since(decision: Decision, memory: UserMemory) -> float:
    """Return since when a session without transitions has its state; the device knows the uptime of one that is up."""
    neighbor = decision.observation.neighbor
    if memory.up and neighbor is not None and neighbor.uptime_s >= 0:
        return memory.seen_at - neighbor.uptime_s
    if not memory.up and memory.down_since is not None:
        return memory.down_since
    return memory.seen_at


def _clipped(spans: Iterator[Span], start: float, end: float) -> Iterator[Span]:
    """Yield the parts of the spans within the window."""
    for span in spans:
        begin, until = max(span.start, start), min(span.end, end)
        if begin < until:
            yield Span(begin, until, span.up, span.certain)


def _bounces(memory: UserMemory, start: float) -> Iterator[float]:
    times = memory.transitions
    for one, other in pairwise(times):
        if one == other and one >= start:
            yield one
