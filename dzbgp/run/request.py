"""What a pass is asked to do. Light: the command line reads these declarations for `--help` too."""

from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Self

from dzbgp.console.option import DAILY, LEDGER, REPORT, TUNING, WRITE, duration, number, option, repeated, sol
from dzbgp.decision.rules import Rules
from dzbgp.fleet.options import FleetRequest
from dzbgp.state.options import StateChoice

if TYPE_CHECKING:
    from dzbgp.ledger.submit.signers import Signers

NO_STATE = Path("none")
"""As --state: remember nothing."""


class Commitment(StrEnum):
    """How safe a write must be before it counts as done."""

    CONFIRMED = "confirmed"
    FINALIZED = "finalized"


@dataclass(frozen=True, kw_only=True)
class SetupRequest(StateChoice, FleetRequest):
    """What a run rests on, and `dzbgp check` tests: the fleet, the ledger, the keys and the state file."""

    genesis_hash: str | None = option(
        None, LEDGER, "Write only to the cluster with this genesis hash.", metavar="HASH"
    )
    keypairs: tuple[Path, ...] = repeated(
        DAILY, "Publisher keypair: file or directory. Only these keys sign. Repeatable.", "keypair", "PATH"
    )
    low_balance_sol: float = sol(0.5, TUNING, "Warn about publishers with less than this.")


@dataclass(frozen=True, kw_only=True)
class RunRequest(SetupRequest):
    """The options of one run. Durations in seconds. Raises UsageError for options that contradict each other."""

    commitment: Commitment = option(Commitment.CONFIRMED, WRITE, "Commitment that a write must reach.")
    priority_fee: int = number(0, TUNING, "Priority fee in micro-lamports per compute unit.", least=0)
    verify: bool = option(True, WRITE, "Read each write back and compare it.")
    submit_timeout_s: float = duration(180, TUNING, "Stop sending after this time.")
    dry_run: bool = option(False, DAILY, "Show what would be written; send nothing.")
    confirm_down_s: float = duration(5, TUNING, "Delay before the second check of a Down.")
    max_age_s: float = duration(60, TUNING, "Read a device again if its data is older.")
    rules: Rules = field(default_factory=Rules)


@dataclass(frozen=True, kw_only=True)
class WatchRequest(RunRequest):
    """The options of `dzbgp watch`."""

    interval_s: float = duration(60, DAILY, "Time between the starts of two passes.")
    ledger_interval_s: float = duration(60, TUNING, "Interval of reading all users; 0s: each pass.")
    metrics_addr: str | None = option(
        None, REPORT, "Serve Prometheus /metrics and /healthz over HTTP.", metavar="HOST:PORT"
    )


@dataclass(frozen=True, kw_only=True)
class PassOptions:
    """What of a request the code of a pass reads, and the keys that can sign."""

    dry_run: bool = True
    identity_check: bool = True
    rules: Rules = field(default_factory=Rules)
    confirm_down_s: float = RunRequest.confirm_down_s
    max_age_s: float = RunRequest.max_age_s
    """A decision older than this is not signed; each look at the devices gets half of it."""
    signers: "Signers | None" = None
    """None: there are no keys, which is allowed only in a dry run."""

    @classmethod
    def of(cls, request: RunRequest, signers: "Signers | None") -> Self:
        """Take the fields that a request has too."""
        shared = {one.name: getattr(request, one.name) for one in fields(cls) if one.name != "signers"}
        return cls(**shared, signers=signers)
