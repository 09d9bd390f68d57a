"""What became of transactions that an earlier run left in flight."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from dzbgp.ledger.rpc.client import RpcClient, SignatureStatus
from dzbgp.models.report import Outcome

REJECTED = "rejected"
EXPIRED = "expired"


class InFlightRecord(Protocol):
    """What is needed of a transaction to look for it."""

    @property
    def signature(self) -> str:
        """Its signature, base58."""

    @property
    def last_valid_block_height(self) -> int:
        """Up to which it can land."""


@dataclass(frozen=True, slots=True)
class FlightFate:
    """How it ended: an Outcome's value, `rejected` or `expired`; None while it may still land."""

    outcome: str | None
    slot: int | None = None


async def fates(client: RpcClient, flights: Sequence[InFlightRecord]) -> list[FlightFate]:
    """Gives the fate of each of `flights`. Raises a LedgerError.

    As in confirm.py: that it will never land is believed only of a node that answers from beyond the block height
    up to which it could.
    """
    if not flights:
        return []
    slot, height = await client.height()
    answered_slot, statuses = await client.statuses([flight.signature for flight in flights])
    found = []
    for flight, status in zip(flights, statuses, strict=True):
        if status is not None:
            found.append(_landed(status))
        elif height > flight.last_valid_block_height and answered_slot >= slot:
            found.append(FlightFate(EXPIRED))
        else:
            found.append(FlightFate(None))
    return found


def _landed(status: SignatureStatus) -> FlightFate:
    if status.confirmation == "processed":
        return FlightFate(None)
    if status.err is not None:
        return FlightFate(REJECTED)
    outcome = Outcome.FINALIZED if status.confirmation == "finalized" else Outcome.CONFIRMED
    return FlightFate(outcome.value, status.slot)
