"""What may still be signed: the rule that is asked before each signature.

Pure: no I/O and no clock of its own. The submitter reads the users again and hands them in (ledger/submit/reread.py).
"""

from collections.abc import Callable, Mapping, Sequence

from solders.pubkey import Pubkey

from dzbgp.console.words import duration
from dzbgp.ledger.program.instruction import Write
from dzbgp.ledger.submit.reread import Authorize, Reread
from dzbgp.models.ledger import NOMINAL_SECONDS_PER_SLOT, User, UserStatus
from dzbgp.models.moment import Moment
from dzbgp.models.session import Look
from dzbgp.models.submission import Refusal

MAX_AGE_S = 60.0


def authorizer(
    max_age_s: float = MAX_AGE_S,
    seconds_per_slot: float = NOMINAL_SECONDS_PER_SLOT,
    now: Callable[[], Moment] = Moment.now,
) -> Authorize:
    """Return the rule for one pass."""

    def authorize(writes: Sequence[Write], reread: Reread) -> Mapping[Pubkey, Refusal]:
        found = {write.user: refusal(write, reread, now(), max_age_s, seconds_per_slot) for write in writes}
        return {user: refused for user, refused in found.items() if refused is not None}

    return authorize


def refusal(
    write: Write, reread: Reread, now: Moment, max_age_s: float, seconds_per_slot: float
) -> Refusal | None:
    """Return why `write` must not be signed, given the user as it is now. None: it may be signed."""
    user, seen, look = reread.users.get(write.user), write.seen, write.look
    if user is None:
        return Refusal("gone", "its account is no longer on the ledger")
    if user.status is not UserStatus.ACTIVATED:
        return Refusal("not-activated", f"the user is {user.status.label} now")
    if user.device_pk != write.device:
        return Refusal("moved", f"the user is on device {user.device_pk} now")
    if seen is None or look is None:
        return Refusal("expired", "the decision does not say when its device was asked")
    if _identity(user) != _identity(seen) or user.last_bgp_reported_at < seen.last_bgp_reported_at:
        return Refusal("recreated", "the account is not the one of the decision")
    reported = user.last_bgp_reported_at
    if reported > look.slot:
        return Refusal(
            "newer-report",
            f"another writer reported {user.bgp_status.label} in slot {reported}, after the device was asked",
        )
    if reported > seen.last_bgp_reported_at and user.bgp_status is write.status:
        return Refusal(
            "newer-report", f"another writer reported {user.bgp_status.label} in slot {reported} already"
        )
    age_s = decision_age_s(look, reread, now, seconds_per_slot)
    if age_s > max_age_s:
        return Refusal(
            "expired",
            f"the device was asked {duration(age_s)} ago, more than {duration(max_age_s)}: it must be asked again",
        )
    return None


def decision_age_s(look: Look, reread: Reread, now: Moment, seconds_per_slot: float) -> float:
    """Return the age of a decision in seconds, by this machine's clocks or by the ledger's: the larger counts.

    The ledger may be read from a node that lags, also while this machine's clock is set back.
    """
    if look.ledger_at is not None and reread.ledger_at is not None:
        ledger_s = reread.ledger_at - look.ledger_at
    else:
        ledger_s = (reread.slot - look.slot) * seconds_per_slot
    return max(look.at.seconds_until(now), ledger_s)


def _identity(user: User) -> tuple[object, ...]:
    """Return what stays the same for as long as an account is the same user's, on the same tunnel."""
    return (
        user.owner,
        user.index,
        user.user_type,
        user.tenant_pk,
        user.client_ip,
        user.tunnel_id,
        user.tunnel_net,
    )
