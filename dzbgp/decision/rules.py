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

    refresh_interval_s: float = duration(6 * 3600, WRITE, "Write an unchanged status again after this.")
    refresh_spread: float = share(0, TUNING, "Refresh up to this earlier, staggered per user.")
    down_grace_period_s: float = duration(0, WRITE, "Keep Up what was seen up less than this ago.")
    max_down: float = share(0.3, GUARD, "Hold Downs of more of the Up users.")
    max_down_min: int = number(10, GUARD, "Hold no fewer Downs than this.", least=1)
    guard_passes: int = number(3, GUARD, "Write a Down that was held so many times.", least=1)
    guard_spacing_s: float = duration(60, TUNING, "Passes closer than this count once as held.")
    guard_window_s: float = duration(3600, TUNING, "Downs written this recently count too.")
    force: bool = option(False, GUARD, "Write what the guard would hold.")
    take_over: bool = option(False, WRITE, "Write Downs also where another writer reports.")
    flap_limit: int = number(0, TUNING, "Dampen users with more transitions. 0: never.", least=0)
    """More transitions than this within the window: the user's writes are damped. 0: never."""
    flap_window_s: float = duration(3600, TUNING, "Count transitions over this window.")
    cooldown_s: float = duration(1800, TUNING, "Write a dampened user once in this time.")

    @property
    def limits(self) -> Limits:
        """What the guard lets the fleet lose, and each device without limits of its own."""
        return Limits(self.max_down, self.max_down_min)
