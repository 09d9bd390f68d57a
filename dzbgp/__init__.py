"""dzbgp: writes the BGP status of DoubleZero's users onchain, read from a fleet of Arista devices.

One pass from Python, as `dzbgp run` does it:

    from dzbgp import RunRequest, run_once

    report = run_once(RunRequest(inventory=Path("inventory"), dry_run=True))
    report.to_dict()

These names are the library; everything below is how it is made, and may change. See docs/api.md.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dzbgp.decision.rules import Rules
    from dzbgp.errors import DzbgpError
    from dzbgp.models.report import Report
    from dzbgp.run.once import run_once
    from dzbgp.run.request import RunRequest

__version__ = "0.2.0"
__all__ = [
    "DzbgpError",
    "Report",
    "Rules",
    "RunRequest",
    "__version__",
    "run_once",
]

_PLACES = {
    "DzbgpError": "dzbgp.errors",
    "Report": "dzbgp.models.report",
    "Rules": "dzbgp.decision.rules",
    "RunRequest": "dzbgp.run.request",
    "run_once": "dzbgp.run.once",
}


def __getattr__(name: str) -> Any:
    """Import a name of the library when it is first asked for: `import dzbgp` alone loads nothing."""
    if name not in _PLACES:
        raise AttributeError(f"module 'dzbgp' has no attribute {name!r}")
    found = getattr(import_module(_PLACES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
