"""What a pass found and did."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from solders.pubkey import Pubkey

from dzbgp.models.decision import Decision
from dzbgp.models.ledger import NOMINAL_SECONDS_PER_SLOT, SkippedAccount
from dzbgp.models.memory import UserMemory
from dzbgp.models.session import DeviceReading
from dzbgp.models.submission import LANDED, Submission


@dataclass(frozen=True, slots=True)
class PassResult:
    """Everything that one pass found and did: what `Report`, its numbers and its exit code are made of."""

    dry_run: bool
    env: str
    program_id: str
    slot: int
    started_at: datetime
    duration_s: float
    devices: tuple[DeviceReading, ...]
    decisions: tuple[Decision, ...]
    submissions: dict[Pubkey, Submission] = field(default_factory=dict)
    are_of_earlier_passes: bool = False
    """Whether `submissions` are those that earlier passes decided, as in a watch: its own writes are queued."""
    transactions: int = 0
    rpc_requests: int = 0
    seconds_per_slot: float = NOMINAL_SECONDS_PER_SLOT
    """The cluster's own recent rate, which turns slots into seconds."""
    transitions: Mapping[Pubkey, int] = field(default_factory=dict)
    """How often each user's session went up or down within the flap window; users with 0 may be left out."""
    memories: Mapping[Pubkey, UserMemory] = field(default_factory=dict)
    """What is remembered, this pass included, of users with transitions or an action; of other users it is left out."""
    skipped_accounts: tuple[SkippedAccount, ...] = ()
    signals_changes: bool = False
    """A dry run with something to write exits with CHANGES_PENDING (--exit-code)."""
    is_interrupted: bool = False
    """A signal ended the pass before all its writes were sent and confirmed."""
    ledger_doubt: str = ""
    """Why the ledger's data is not believed: no RPC answered, or none advances, or all are behind. Then even what is
    unchanged may not be so."""
    alarms: tuple[str, ...] | None = None
    """Of its problems those that are to be said now, because they began, ended or last for long; None: all of them."""
    has_state: bool = True
    """Whether a state file was used: without one nothing can be released."""
    notes: tuple[str, ...] = ()
    """Sentences for people: ignored hosts, low balances and others."""

    def submission_of(self, decision: Decision) -> Submission | None:
        """Return the outcome of the write that a decision is about, None without one.

        One of an earlier pass is about it only if it wrote the same status, and did not land where it is due again.
        """
        found = self.submissions.get(decision.user)
        if found is None or not self.are_of_earlier_passes:
            return found
        is_again = decision.is_write and found.outcome in LANDED
        return None if is_again or found.status is not decision.status else found
