"""Whether a transaction that expired unseen has landed after all. The accounts know it.

A missing signature proves nothing: a node's status cache is bounded, many nodes keep no history, and a node behind a
load balancer may never have seen the transaction. But a transaction takes effect as a whole or not at all. If it
landed, each account that it writes was reported in one slot, after that of its last read and before it expired.
One account that was not reported since then proves that the transaction did not land.
"""

from collections.abc import Mapping

from solders.pubkey import Pubkey

from dzbgp.ledger.program.instruction import Write
from dzbgp.models.in_flight import Fate, InFlight, Settled
from dzbgp.models.ledger import User


def settle(sent: InFlight, users: Mapping[Pubkey, User | None]) -> Settled:
    """Return the fate of an expired transaction, by its accounts as of a slot at which it could not land any more.

    FINALIZED with only some of the users: the others were reported again since, and their state is unknown. An
    account that is gone proves nothing.
    """
    found = {key: user for key in sent.users if (user := users.get(key)) is not None}
    if not found or any(user.last_bgp_reported_at < sent.since_slot for user in found.values()):
        return Settled(Fate.EXPIRED)
    landed = {
        key: user.last_bgp_reported_at for key, user in found.items() if user.bgp_status is sent.users[key]
    }
    return Settled(Fate.FINALIZED if landed else Fate.EXPIRED, landed)


def says(user: User, write: Write) -> bool:
    """Whether the account says what was to be written."""
    # A program that predates the RTT keeps none.
    return user.bgp_status is write.status and user.bgp_rtt_ns in {write.rtt_ns, 0}
