"""What every reading of a snapshot begins with: its origin, and its clock."""

from dzbgp.decision.policy import Clock
from dzbgp.ledger.program.snapshot import Snapshot
from dzbgp.listing.model import Ages, Source


def source_of(snapshot: Snapshot, stale_after_s: float) -> Source:
    """Says where and when `snapshot` was read."""
    data = snapshot.data
    return Source(
        env=snapshot.env,
        program_id=snapshot.program_id,
        slot=data.slot,
        seconds_per_slot=data.seconds_per_slot,
        fetched_at=data.fetched_at,
        stale_after_s=stale_after_s,
        notes=data.skipped,
    )


def ages_of(snapshot: Snapshot, stale_after_s: float) -> Ages:
    """Gives the clock that turns the snapshot's slots into ages."""
    return Ages(Clock(snapshot.data.slot, snapshot.data.seconds_per_slot), stale_after_s)
