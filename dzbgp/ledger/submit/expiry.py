"""Whether a transaction that expired unseen has landed after all: the accounts know, whatever the node forgets.

A node may know nothing of a signature that has landed: its status cache is bounded, many keep no history, and
one behind a load balancer may never have seen it. But a transaction takes effect as a whole or not at all, so
if it has landed then every account that it was to write was reported in one slot: after that of its
blockhash, and before it expired. One account that was not reported since proves that it has not landed.
"""

from dataclasses import dataclass

from dzbgp.ledger.program.accounts import AccountError, decode_user
from dzbgp.ledger.program.instruction import Write
from dzbgp.ledger.rpc.client import RpcClient
from dzbgp.ledger.submit.confirm import Followed
from dzbgp.ledger.submit.packing import Batch
from dzbgp.models.ledger import Account, User


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the accounts of an expired transaction say."""

    landed_slot: int | None = None
    """The slot in which all of them were reported as the transaction meant."""
    absent: bool = False
    """The transaction has not landed: signing anew writes nothing twice."""


async def look_back(client: RpcClient, batch: Batch, expired: Followed) -> Evidence:
    """Reads the batch's accounts as of a slot at which `expired` could not land any more. Raises LedgerError.

    Neither landed nor absent: somebody else has written to all of the accounts since.
    """
    accounts = await client.accounts(
        [write.user for write in batch.writes], min_context_slot=expired.expired_by
    )
    users = [(write, _user(account)) for write, account in zip(batch.writes, accounts, strict=True)]
    found = [(write, user) for write, user in users if user is not None]
    slots = {user.last_bgp_reported_at for _, user in found}
    if not slots or min(slots) < expired.sent.since_slot:
        return Evidence(absent=True)
    if len(slots) == 1 and all(says(user, write) for write, user in found):
        return Evidence(landed_slot=slots.pop())
    return Evidence()


def says(user: User, write: Write) -> bool:
    """Tells whether the account says what was to be written."""
    # A program that predates the RTT keeps none.
    return user.bgp_status is write.status and user.bgp_rtt_ns in {write.rtt_ns, 0}


def _user(account: Account | None) -> User | None:
    """Gives None for an account that is gone, or that is no user any more: it proves nothing."""
    try:
        return decode_user(account.pubkey, account.data) if account else None
    except AccountError:
        return None
