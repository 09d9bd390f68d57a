"""What became of transactions that an earlier pass left in flight."""

from collections.abc import Sequence

from dzbgp.ledger.rpc.client import RpcClient
from dzbgp.ledger.submit.confirm import fate_of
from dzbgp.models.in_flight import Fate, InFlight, Settled


async def fates(client: RpcClient, sent: Sequence[InFlight]) -> list[Settled]:
    """Return the fate of each of `sent`. Raises a LedgerError.

    As in confirm.py, "it will never land" is believed only of a node that answers from beyond the block height up to
    which the transaction could land.
    """
    if not sent:
        return []
    slot, height = await client.height()
    answered_slot, statuses = await client.statuses([one.signature for one in sent])
    found = []
    for one, status in zip(sent, statuses, strict=True):
        if status is not None:
            fate = fate_of(status)
            found.append(Settled(fate, dict.fromkeys(one.users, status.slot) if fate.has_landed else {}))
        elif height > one.last_valid_block_height and answered_slot >= slot:
            found.append(Settled(Fate.EXPIRED))
        else:
            found.append(Settled(Fate.PENDING))
    return found
