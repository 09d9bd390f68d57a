"""Reads back what was written and compares it with what was to be written."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from solders.pubkey import Pubkey

from dzbgp.ledger.errors import LedgerError
from dzbgp.ledger.program.accounts import AccountError, decode_user
from dzbgp.ledger.program.instruction import Write
from dzbgp.ledger.rpc.client import RpcClient
from dzbgp.ledger.submit.expiry import says
from dzbgp.models.ledger import Account
from dzbgp.models.submission import Outcome, Submission


async def verify(
    client: RpcClient, writes: Sequence[Write], submissions: Mapping[Pubkey, Submission]
) -> tuple[dict[Pubkey, Submission], str | None]:
    """Return the submissions whose accounts say something else, as corrected, and a note or None.

    A later report by another writer is not a failure of ours: it is mentioned, and the outcome stays.
    """
    landed = [write for write in writes if (one := submissions.get(write.user)) and one.slot is not None]
    if not landed:
        return {}, None
    newest = max(submissions[write.user].slot or 0 for write in landed)
    try:
        accounts = await client.accounts([write.user for write in landed], min_context_slot=newest)
    except LedgerError as error:
        return {}, f"what was written could not be read back: {error}"
    corrected = {}
    for write, account in zip(landed, accounts, strict=True):
        submission = submissions[write.user]
        found = _compare(write, account, submission.slot or 0)
        if found is not None:
            outcome, words = found
            corrected[write.user] = replace(submission, outcome=outcome or submission.outcome, error=words)
    return corrected, None


def _compare(write: Write, account: Account | None, slot: int) -> tuple[Outcome | None, str] | None:
    """Return None when the account says what was written; else the outcome (None: unchanged) and the words."""
    if account is None:
        return Outcome.FAILED, "read back: the account is gone"
    try:
        user = decode_user(account.pubkey, account.data)
    except AccountError as error:
        return Outcome.FAILED, f"read back: {error}"
    reads = f"{user.bgp_status.label}, RTT {user.bgp_rtt_ns} ns, reported in slot {user.last_bgp_reported_at}"
    if user.last_bgp_reported_at > slot:
        return None, f"read back: another writer has reported since: {reads}"
    if user.last_bgp_reported_at < slot:
        # Undone by a fork, or the node lies. What was undone may land again while its blockhash lives.
        return Outcome.PENDING, f"read back: confirmed in slot {slot}, but the account says {reads}"
    if says(user, write):
        return None
    return Outcome.FAILED, f"read back: the account says {reads}; expected {write.status.label}"
