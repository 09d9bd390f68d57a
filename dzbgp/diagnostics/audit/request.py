"""What an audit is asked to do. Light: the command line reads these declarations for `--help` too."""

from dataclasses import dataclass

from dzbgp.console.option import ROWS, duration, listed
from dzbgp.fleet.options import FleetRequest, HeldKeys
from dzbgp.state.options import StateChoice


@dataclass(frozen=True, kw_only=True)
class AuditRequest(HeldKeys, StateChoice, FleetRequest):
    """The options of an audit. Durations in seconds."""

    device: tuple[str, ...] = listed(ROWS, "Only these devices (code or key).", "CODE")
    down_for_s: float = duration(24 * 3600, ROWS, "Report users that are Down for longer than this time.")
    stale_after_s: float = duration(12 * 3600, ROWS, "Reports older than this are stale.")
