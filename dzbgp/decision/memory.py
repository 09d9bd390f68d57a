"""How what is remembered of a user follows from what is seen. Pure: no I/O, no clock."""

from msgspec.structs import replace

from dzbgp.models.ledger import User
from dzbgp.models.memory import UserMemory
from dzbgp.models.session import Observation, Observed

TRANSITIONS_KEPT = 200
"""Of one user: enough for any flap limit that makes sense, and a bound on the state file."""
_BOUNCE_S = 0.001
"""How long a session that bounced was down is not known; the two transitions are told apart by their times."""


def remember(
    before: UserMemory | None,
    observation: Observation,
    now: float,
    keep_s: float,
    seen_at: float | None = None,
    *,
    is_believed: bool = True,
) -> UserMemory:
    """Return the memory of a user after `observation`; transitions older than `keep_s` are forgotten.

    The device was asked between `now`, when the pass began, and `seen_at` (default: the same).
    A ledger that is not believed (`is_believed`) may show an account as it was long ago: only what the device said is
    remembered, and nothing of a user that is then another one or elsewhere.
    An UNKNOWN observation shows only since when the user exists, and ends a row of passes that saw the
    same.
    A session that is up in two observations and has an uptime shorter than the time between them went down and up
    in between: two transitions.
    """
    seen_at = now if seen_at is None else seen_at
    reported_slot: int | None = observation.user.last_bgp_reported_at
    device = observation.device.pubkey
    is_same = before is not None and before.device == device and not _is_recreated(before, observation.user)
    if not is_believed:
        if before is not None and not is_same:
            return before
        reported_slot = before.reported_slot if before is not None else None
    if before is None or not is_same:
        # A user that moved to another device begins again there, and so does one that was deleted and made again.
        before = UserMemory(device, seen_at, up=False, first_seen_at=now)
    if is_believed:
        before = _as_shown(before, observation.user)
    if not reported_slot and before.first_seen_at is not None and before.first_seen_at > now:
        # The clock was set back: how long the user has been there is unknown.
        before = replace(before, first_seen_at=now)
    if observation.observed is Observed.UNKNOWN:
        return replace(before, held_passes=0, held_since=None, held_at=None, reported_slot=reported_slot)
    up = observation.observed is Observed.ESTABLISHED
    if not before.is_observed:
        return replace(
            before,
            seen_at=seen_at,
            up=up,
            last_up_at=now if up else None,
            down_since=None if up else now,
            reported_slot=reported_slot,
        )
    transitions = [at for at in before.transitions if now - at < keep_s]
    if up != before.up:
        transitions.append(now)
    elif up and _bounced(observation, now - before.seen_at):
        came_up_at = now - _uptime_s(observation)
        transitions += [came_up_at - _BOUNCE_S, came_up_at]
    after = replace(
        before,
        seen_at=seen_at,
        up=up,
        last_up_at=now if up else before.last_up_at,
        down_since=None if up else (before.down_since or now),
        transitions=tuple(transitions[-TRANSITIONS_KEPT:]),
        reported_slot=reported_slot,
    )
    return (
        replace(after, held_passes=0, held_since=None, held_at=None) if up and before.held_passes else after
    )


def account_of(user: User) -> str:
    """Return what tells an account that was never reported from one that is made again at its key."""
    return f"{user.index} {user.tunnel_id} {user.tunnel_net}"


def _as_shown(before: UserMemory, user: User) -> UserMemory:
    """Return the memory of a user after what the ledger shows of its account."""
    if user.last_bgp_reported_at == 0:
        before = replace(before, account=account_of(user))
    return (
        replace(before, written_slot=user.last_bgp_reported_at)
        if _shows_noted_write(before, user)
        else before
    )


def _is_recreated(before: UserMemory, user: User) -> bool:
    """Whether the account is another one than before: an account keeps its last report for good."""
    if user.last_bgp_reported_at > 0:
        return False
    return (before.reported_slot or 0) > 0 or before.account not in {None, account_of(user)}


def _shows_noted_write(before: UserMemory, user: User) -> bool:
    """Whether the account shows the last write, which landed in a slot that its run was killed before it noted."""
    is_newer = user.last_bgp_reported_at > (before.reported_slot or 0)
    return before.is_slot_unknown and user.bgp_status is before.written_status and is_newer


def _uptime_s(observation: Observation) -> int:
    return observation.neighbor.uptime_s if observation.neighbor else -1


def _bounced(observation: Observation, since_s: float) -> bool:
    # From the end of the one pass to the beginning of the other, so that a session that came up while
    # a pass was asking around is not counted twice. Uptimes are whole seconds, rounded by the device as it likes:
    # a second's difference is none.
    return 0 <= _uptime_s(observation) < since_s - 1


def flaps(memory: UserMemory | None, now: float, window_s: float) -> int:
    """Count the transitions of the last `window_s` seconds; none from after `now`: the clock was set back."""
    return sum(0 <= now - at < window_s for at in memory.transitions) if memory else 0
