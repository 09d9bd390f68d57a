"""What went wrong in a pass, and what has been said of it."""

from dataclasses import dataclass

_EVENT = "event "


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem of a pass."""

    key: str
    """The same from pass to pass for as long as it lasts, whatever the numbers in `line` are."""
    line: str

    @classmethod
    def event(cls, key: str, line: str) -> "Problem":
        """Return one that happened and does not last, such as a failed write: it has no end to be said."""
        return cls(_EVENT + key, line)


@dataclass(frozen=True, slots=True)
class Alarm:
    """A problem that was said: since when it lasts, and when it was last said, in Unix seconds."""

    key: str
    line: str
    since: float
    said_at: float

    @property
    def is_event(self) -> bool:
        """Whether it happened, and does not last."""
        return self.key.startswith(_EVENT)
