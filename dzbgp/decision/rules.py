"""What an operator may set about decisions. Light: the command line reads these declarations for `--help` too."""

from dataclasses import dataclass

from dzbgp.console.option import GUARD, TUNING, WRITE, duration, number, option, share


@dataclass(frozen=True, slots=True)
class Limits:
    """What the guard lets a device, or the fleet, lose: no more than a share of its Up users, or fewer than so many."""

    max_down: float
    max_down_min: int


@dataclass(frozen=True, slots=True)
class Rules:
    """What an operator may set about decisions. Durations in seconds, shares from 0 to 1."""

    refresh_interval_s: float = duration(6 * 3600, WRITE, "Repeat an unchanged status after this time.")
    refresh_spread: float = share(0, TUNING, "Spread refreshes, up to this share earlier.")
    down_grace_period_s: float = duration(0, WRITE, "Keep Up until a session is down for this long.")
    max_down: float = share(0.3, GUARD, "Hold Downs above this share of the Up users.")
    max_down_min: int = number(10, GUARD, "Apply --max-down from this many Downs on.", least=1)
    guard_passes: int = number(3, GUARD, "Write a held Down after this many passes.", least=1)
    guard_spacing_s: float = duration(60, TUNING, "Minimum time between counted passes.")
    guard_window_s: float = duration(3600, TUNING, "Also count Downs written within this time.")
    force: bool = option(False, GUARD, "Write Downs that the guard would hold.")
    take_over: bool = option(False, WRITE, "Write Downs even where another writer reports.")
    flap_limit: int = number(0, TUNING, "Dampen users with more transitions; 0: never.", least=0)
    """More transitions than this within the window: the user's writes are damped. 0: never."""
    flap_window_s: float = duration(3600, TUNING, "Time window of --flap-limit.")
    cooldown_s: float = duration(1800, TUNING, "Time between writes of a dampened user.")

    @property
    def limits(self) -> Limits:
        """What the guard lets the fleet lose, and each device without limits of its own."""
        return Limits(self.max_down, self.max_down_min)
