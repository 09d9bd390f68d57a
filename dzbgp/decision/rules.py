"""What an operator may set about decisions. Light: the command line reads these declarations for `--help` too."""

from dataclasses import dataclass

from dzbgp.console.option import DECISION, duration, number, option, share


@dataclass(frozen=True, slots=True)
class Limits:
    """What the guard lets a device, or the fleet, lose: no more than a share of its Up users, or fewer than so many."""

    max_down: float
    max_down_min: int


@dataclass(frozen=True, slots=True)
class Rules:
    """What an operator may set about decisions. Durations in seconds, shares from 0 to 1."""

    refresh_interval_s: float = duration(
        6 * 3600, DECISION, "Write an unchanged status again when its last report is this old."
    )
    refresh_spread: float = share(
        0, DECISION, "Refresh by up to this share of the interval early, staggered per user."
    )
    down_grace_period_s: float = duration(
        0, DECISION, "Leave an onchain Up as it is while its session was seen up less than this ago."
    )
    max_down: float = share(
        0.3, DECISION, "Hold the Downs of a device, or of the fleet, that would lose more of its Up users."
    )
    max_down_min: int = number(10, DECISION, "Never hold fewer Downs than this.", least=1)
    guard_passes: int = number(
        3, DECISION, "Write a Down that was held in this many passes in a row.", least=1
    )
    guard_spacing_s: float = duration(
        60, DECISION, "Passes closer together than this count as one for --guard-passes."
    )
    guard_window_s: float = duration(
        3600,
        DECISION,
        "Downs written within this window also count, so a mass failure cannot slip through in small steps.",
    )
    force: bool = option(False, DECISION, "Write what the guard would hold.")
    take_over: bool = option(False, DECISION, "Write Downs also for devices on which another writer reports.")
    flap_limit: int = number(
        0,
        DECISION,
        "Dampen users with more transitions than this within --flap-window; 0 never does.",
        least=0,
    )
    """More transitions than this within the window: the user's writes are damped. 0: never."""
    flap_window_s: float = duration(3600, DECISION, "Count a user's transitions over this window.")
    cooldown_s: float = duration(1800, DECISION, "Write a dampened user at most once within this.")

    @property
    def limits(self) -> Limits:
        """What the guard lets the fleet lose, and each device without limits of its own."""
        return Limits(self.max_down, self.max_down_min)
