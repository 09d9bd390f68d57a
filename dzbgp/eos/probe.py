"""The result of testing one device, step by step."""

from dataclasses import dataclass
from enum import IntEnum

from dzbgp.models.session import Neighbor, Vrf


class Step(IntEnum):
    """How far the test got, in the order of the steps."""

    CONNECT = 1
    """A TCP connection."""
    OPEN = 2
    """NAPALM's own opening: TLS, login, `show version`."""
    VERSION = 3
    READ = 4
    """The commands of a pass."""
    DONE = 5


@dataclass(frozen=True, slots=True)
class Probe:
    """The last step that was begun, and why the test ended there; DONE without a failure."""

    step: Step
    failed_check: str = ""
    """The name of the check that failed."""
    error: str = ""
    """What went wrong, in one line."""
    seconds: float = 0.0
    """How long the slowest step took."""
    version: str = ""
    """EOS's own, such as 4.31.2F."""
    vrfs: tuple[Vrf, ...] = ()
    neighbors: tuple[Neighbor, ...] = ()
