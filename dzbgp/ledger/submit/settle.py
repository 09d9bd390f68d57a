"""The fates of transactions that an earlier pass left in flight."""

import logging
import time
from collections.abc import Sequence

from dzbgp.ledger.rpc.client import RpcClient
from dzbgp.ledger.submit.confirm import fate_of
from dzbgp.ledger.submit.expiry import settle
from dzbgp.ledger.submit.reread import reread
from dzbgp.models.in_flight import Fate, InFlight, Settled

log = logging.getLogger(__name__)

_ANOTHER_LEDGER_S = 600.0
"""A ledger that is far from a transaction's slot so long after it was sent began again since."""
_FAR_SLOTS = 1_000
"""A finalized block is some 32 slots old, and this machine's clock may have been set forward since the send."""


async def fates(client: RpcClient, sent: Sequence[InFlight]) -> list[Settled]:
    """Return the fate of each of `sent`. Raises a LedgerError.

    A signature that the node knows tells it. Otherwise a transaction is in flight until a finalized block is beyond its
    last valid height; then its accounts tell it, read at that block's slot or later. From then on the client reads
    nothing that is older than what was found.
    """
    if not sent:
        return []
    slot, height = await client.height()
    _, statuses = await client.statuses([one.signature for one in sent])
    found: dict[str, Settled] = {}
    expired = []
    for one, status in zip(sent, statuses, strict=True):
        if status is not None:
            fate = fate_of(status)
            found[one.signature] = Settled(
                fate, dict.fromkeys(one.users, status.slot) if fate.has_landed else {}
            )
        elif height > one.last_valid_block_height:
            expired.append(one)
        elif slot < one.since_slot - _FAR_SLOTS and time.time() - one.sent_at > _ANOTHER_LEDGER_S:
            log.warning("in flight: the ledger was restarted since signature=%s was sent", one.signature)
            found[one.signature] = Settled(Fate.EXPIRED)
        else:
            found[one.signature] = Settled(Fate.PENDING)
    if expired:
        now = await reread(client, [user for one in expired for user in one.users], slot)
        found |= {one.signature: settle(one, now.users) for one in expired}
        client.read_floor = max(client.read_floor, slot)
    landed = [slot for settled in found.values() for slot in settled.landed.values()]
    client.read_floor = max([client.read_floor, *landed])
    return [found[one.signature] for one in sent]
