"""The option that names the state file. Light: the command line reads this declaration for `--help` too."""

from dataclasses import dataclass
from pathlib import Path

from dzbgp.console.option import REPORT, option


@dataclass(frozen=True, kw_only=True)
class StateChoice:
    """Where the state file is."""

    state: Path | None = option(
        None,
        REPORT,
        "State file; none: keep no state.",
        metavar="PATH",
        shown_default="in $STATE_DIRECTORY, /var/lib/dzbgp or ~/.local/state/dzbgp",
    )
