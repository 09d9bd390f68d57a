"""The timelines of a day as positions in percent and words, ready to be drawn."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from dzbgp.console.words import abbreviated, amount
from dzbgp.errors import one_line
from dzbgp.report.digest import device_name
from dzbgp.report.html.timeline import Day, Span, Timeline

_HOUR_S = 3600
_TICKS_EVERY_S = 6 * _HOUR_S
_NARROW = 0.35
"""Percent: a narrower span would be hard to see and is drawn as a mark."""
_TOLD = 6
"""How many of a user's latest transitions are in its text for screen readers."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A span: its position in percent, its look and its text."""

    kind: str
    x: float
    width: float
    title: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment that is too short for a bar."""

    x: float
    title: str


@dataclass(frozen=True, slots=True)
class TimelineView:
    """One user's timeline."""

    user: str
    whole_key: str
    device: str
    tunnel: str
    bars: tuple[Bar, ...]
    marks: tuple[Mark, ...]
    transitions: int
    words: str


@dataclass(frozen=True, slots=True)
class DayView:
    """All timelines, with the hours above."""

    lines: tuple[TimelineView, ...]
    left_out: int
    ticks: tuple[tuple[float, str], ...]
    """Position in percent and UTC time of the hours that are labelled."""


def day_view(day: Day) -> DayView:
    """Return what the template draws."""
    scale = _Scale(day)
    return DayView(tuple(scale.line(timeline) for timeline in day.shown), day.left_out, tuple(scale.ticks()))


class _Scale:
    def __init__(self, day: Day) -> None:
        self._day = day

    def at(self, moment: float) -> float:
        """Return the position of a moment in percent."""
        share = (moment - self._day.start) / (self._day.end - self._day.start)
        return round(100 * min(max(share, 0.0), 1.0), 3)

    def ticks(self) -> Iterator[tuple[float, str]]:
        moment = self._day.start - self._day.start % _TICKS_EVERY_S + _TICKS_EVERY_S
        while moment < self._day.end:
            yield self.at(moment), _clock(moment)
            moment += _TICKS_EVERY_S

    def line(self, timeline: Timeline) -> TimelineView:
        seen = timeline.decision.observation
        key = str(seen.user.pubkey)
        drawn = [(span, self._bar(span)) for span in timeline.spans]
        short = (self._mark(span) for span, bar in drawn if bar.width < _NARROW and not span.up)
        bounces = (Mark(self.at(at), f"down and up again before {_clock(at)} UTC") for at in timeline.bounces)
        return TimelineView(
            user=abbreviated(key),
            whole_key=key,
            device=one_line(device_name(timeline.decision)),
            tunnel=str(seen.user.tunnel_net),
            bars=tuple(bar for _, bar in drawn),
            marks=(*short, *bounces),
            transitions=timeline.transitions,
            words=_words(timeline),
        )

    def _bar(self, span: Span) -> Bar:
        x = self.at(span.start)
        state = "up" if span.up else "down"
        if not span.certain:
            return Bar(
                f"{state} inferred",
                x,
                round(self.at(span.end) - x, 3),
                f"{state} before {_clock(span.end)} UTC",
            )
        return Bar(state, x, round(self.at(span.end) - x, 3), f"{state} {_from_to(span)}")

    def _mark(self, span: Span) -> Mark:
        return Mark(self.at((span.start + span.end) / 2), f"down {_from_to(span)}")


def _words(timeline: Timeline) -> str:
    """Return the timeline in words, for a screen reader."""
    certain = [span for span in timeline.spans if span.certain]
    latest = [f"{'up' if span.up else 'down'} from {_clock(span.start)}" for span in certain[-_TOLD:]]
    return f"{amount(timeline.transitions, 'transition')}; {', '.join(latest) or 'nothing is known for certain'} UTC"


def _from_to(span: Span) -> str:
    return f"{_clock(span.start)} to {_clock(span.end)} UTC"


def _clock(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%H:%M}"
