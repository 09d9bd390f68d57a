"""Tunnel nets that overlap: a net that is not a /31 is never rendered, but is still on the ledger."""

from collections.abc import Iterable

from solders.pubkey import Pubkey

from dzbgp.models.ledger import Net, User

_POINT_TO_POINT = 31
_IPV4_BITS = 32


def overlapping(users: Iterable[User]) -> dict[Pubkey, User]:
    """Return, for each user whose net overlaps another's, one of those others."""
    users = list(users)
    pairs = {user.tunnel_net.address | 1 for user in users if user.tunnel_net.prefix_len == _POINT_TO_POINT}
    if len(pairs) == len(users):
        return {}  # nothing but /31 nets, each a different one: nearly always
    spans = sorted(
        ((*bounds(user.tunnel_net), user) for user in users if _is_tunnel(user.tunnel_net)),
        key=lambda span: span[:2],
    )
    rivals: dict[Pubkey, User] = {}
    reach, holder = -1, None
    for first, last, user in spans:
        if holder is not None and first <= reach:
            rivals[user.pubkey] = holder
            rivals.setdefault(holder.pubkey, user)
        if last > reach:
            reach, holder = last, user
    return rivals


def bounds(net: Net) -> tuple[int, int]:
    """Return first and last address of `net`, whose stored address may be any inside it."""
    size = 1 << (_IPV4_BITS - net.prefix_len)
    first = net.address & ~(size - 1)
    return first, first + size - 1


def _is_tunnel(net: Net) -> bool:
    """A net with at least one address beside its own; 0.0.0.0 is the value before allocation."""
    return net.address != 0 and 0 < net.prefix_len < _IPV4_BITS
