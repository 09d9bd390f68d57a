"""How much time has passed, whatever happens to this machine and its clock meanwhile."""

import math
import time
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment by both clocks of this machine: one counts while it sleeps, the other one is never set back."""

    unix: float
    """Unix seconds."""
    monotonic: float = math.inf
    """Seconds of this process's monotonic clock; infinite for a moment of an earlier process."""

    @classmethod
    def now(cls) -> Self:
        """Return the present moment."""
        return cls(time.time(), time.monotonic())

    def seconds_until(self, later: "Moment") -> float:
        """Return the seconds until a later moment, by the clock that counted more."""
        return max(later.unix - self.unix, later.monotonic - self.monotonic)
