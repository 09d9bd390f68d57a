"""What a pass is asked to do. Light: the command line reads these declarations for `--help` too."""

from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Self

from dzbgp.console.option import DECISION, LEDGER, REPORT, duration, number, option, repeated, sol
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
        LEDGER,
        "Solana CLI keypair file, or a directory of them. Repeatable. A device's writes are signed by the key that is "
        "its metrics publisher. Writing needs one; no key is taken from anywhere else.",
        "keypair",
        "PATH",
    )
    low_balance_sol: float = sol(0.5, LEDGER, "Warn about publishers with less than this.")


@dataclass(frozen=True, kw_only=True)
class RunRequest(SetupRequest):
    """The options of one run. Durations in seconds. Raises UsageError for options that contradict each other."""

    commitment: Commitment = option(
        Commitment.CONFIRMED, LEDGER, "How safe a write must be before it counts as done."
    )
    priority_fee: int = number(0, LEDGER, "Micro-lamports per compute unit.", least=0)
    verify: bool = option(True, LEDGER, "Read back what was written and compare it.")
    submit_timeout_s: float = duration(
        180, LEDGER, "Send nothing after this; writes that are unconfirmed then are reported as pending."
    )
    dry_run: bool = option(False, DECISION, "Show what would be written; send nothing.")
    confirm_down_s: float = duration(
        5, DECISION, "Wait this long before the second look that a Down needs; 0s: no wait."
    )
    max_age_s: float = duration(
        60, DECISION, "Sign nothing that rests on an observation older than this; the device is asked again."
    )
    rules: Rules = field(default_factory=Rules)


@dataclass(frozen=True, kw_only=True)
class WatchRequest(RunRequest):
    """The options of `dzbgp watch`."""

    interval_s: float = duration(60, DECISION, "Start a pass every so often.")
    ledger_interval_s: float = duration(
        60, LEDGER, "Read all users again after this, and at once when something is due; 0s: in every pass."
    )
    metrics_addr: str | None = option(
        None,
        REPORT,
        "Serve Prometheus metrics at http://HOST:PORT/metrics, and /healthz beside them.",
        metavar="HOST:PORT",
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
    """None: nobody can sign, which only a dry run may do without."""

    @classmethod
    def of(cls, request: RunRequest, signers: "Signers | None") -> Self:
        """Take the fields that a request has too."""
        shared = {one.name: getattr(request, one.name) for one in fields(cls) if one.name != "signers"}
        return cls(**shared, signers=signers)
