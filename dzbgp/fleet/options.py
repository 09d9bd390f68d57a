"""Which hosts a command is about, and how they are asked."""

from dataclasses import dataclass, field

from dzbgp.eos.credentials import Login
from dzbgp.eos.tls import Verification
from dzbgp.ledger.networks import Network

DEVICE_TIMEOUT_S = 25.0

TIMEOUT = "dzbgp_device_timeout_s"
"""Where Nornir's configuration keeps FleetOptions.device_timeout_s, among what users define."""


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """Which hosts to ask, and how many at once. `workers` None: as the inventory's configuration says."""

    limit: tuple[str, ...] = ()
    filters: tuple[tuple[str, str], ...] = ()
    workers: int | None = None
    groups: tuple[str, ...] = ()
    """Hosts of any of these; empty: all."""
    network: Network | None = None
    """The ledger that an inventory made of it is read from, unless the inventory's configuration names one."""
    verification: Verification = field(default_factory=Verification)
    """Whether devices must prove who they are."""
    runner: str | None = None
    """Nornir's runner; None: as the inventory's configuration says, else threads."""
    scheduler: str | None = None
    """Where the Dask cluster's scheduler is; None: as Dask's configuration says."""
    login: Login = field(default_factory=Login)
    """For hosts that have none, nor does the environment."""
    device_timeout_s: float = DEVICE_TIMEOUT_S
    """The deadline of one look at one device: connecting, logging in and every request of it."""
