"""What a pass is asked to do."""

from dataclasses import dataclass, field
from pathlib import Path

from dzbgp.decision.policy import Rules
from dzbgp.fleet.shard import Shard
from dzbgp.ledger.submit.signers import Signers
from dzbgp.report.delivery import Destination


@dataclass(frozen=True, slots=True)
class PassOptions:
    """How to do a pass. Durations in seconds."""

    dry_run: bool = True
    identity_check: bool = True
    rules: Rules = field(default_factory=Rules)
    confirm_down_s: float = 5.0
    max_age_s: float = 60.0
    """A decision older than this is not signed; each look at the devices gets half of it."""
    signers: Signers | None = None
    """None: nobody can sign, which only a dry run may do without."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """The options of one run, parsed. Durations in seconds."""

    inventory: Path | None = None
    limit: tuple[str, ...] = ()
    filters: tuple[tuple[str, str], ...] = ()
    groups: tuple[str, ...] = ()
    shard: Shard | None = None
    workers: int | None = None
    runner: str | None = None
    scheduler: str | None = None
    identity_check: bool = True
    tls_verify: bool | None = None
    """None: as the inventory says."""
    tls_ca_file: Path | None = None
    lab: bool = False
    env: str = ""
    """Empty: the network that the inventory is made of, else mainnet-beta."""
    rpc_urls: tuple[str, ...] = ()
    program_id: str | None = None
    genesis_hash: str | None = None
    keypairs: tuple[Path, ...] = ()
    commitment: str = "confirmed"
    priority_fee: int = 0
    low_balance_sol: float = 0.5
    verify: bool = True
    submit_timeout_s: float = 180.0
    dry_run: bool = False
    rules: Rules = field(default_factory=Rules)
    confirm_down_s: float = 5.0
    state: Path | None = None
    destinations: tuple[Destination, ...] = ()
    progress: bool = True
