"""The first send of a transaction. The node's answer seldom says whether it lands."""

import logging

from dzbgp.ledger.errors import LedgerError, RpcError
from dzbgp.ledger.rpc.client import RpcClient
from dzbgp.ledger.submit.confirm import Followed
from dzbgp.ledger.submit.rejection import ALREADY_PROCESSED, BLOCKHASH_NOT_FOUND, Rejection, read_rejection

log = logging.getLogger(__name__)

# The node did not accept the transaction: a malformed or unknown request, a failed preflight, a bad signature. After
# any other error (an internal one, a rate limit) a proxy may have passed it on anyway.
_NOT_ACCEPTED = frozenset({-32700, -32600, -32601, -32602, -32002, -32003})


async def first_send(client: RpcClient, sending: Followed, program_id: str) -> Rejection | None:
    """Send the transaction once. Return why the node refused it; None when it may land."""
    try:
        await client.send(sending.raw)
    except RpcError as error:
        if error.code not in _NOT_ACCEPTED:
            log.warning("send: signature=%s: %s; it is sent again", sending.sent.signature, error)
            return None
        data = error.data if isinstance(error.data, dict) else {}
        err = data.get("err")
        if err is None:
            return Rejection(None, f"the node refused it: {error}")
        if err in (ALREADY_PROCESSED, BLOCKHASH_NOT_FOUND):
            # Either it has landed, or this node does not know the blockhash yet.
            return None
        return read_rejection(err, data.get("logs") or (), program_id)
    except LedgerError as error:
        log.warning("send: signature=%s: %s; its result is looked up", sending.sent.signature, error)
    return None
