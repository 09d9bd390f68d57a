"""Find the user that a person means."""

from collections.abc import Collection
from ipaddress import AddressValueError, IPv4Address

from dzbgp.console.words import may_mean
from dzbgp.errors import UsageError
from dzbgp.models.ledger import User, UserStatus

_SHORTEST = 4
_EXPECTED = "expected a key or its first characters, a client IP, or a tunnel address"


def find_user(text: str, users: Collection[User]) -> User:
    """Return the user with this key (or a part of it), client IP or tunnel address; activated ones come first.

    Raises UsageError for none and for several.
    """
    address = _address(text.partition("/")[0])
    if address is None:
        found = [user for user in users if may_mean(text, str(user.pubkey))] if len(text) >= _SHORTEST else []
    else:
        found = [user for user in users if user.client_ip == text or _is_in_tunnel(address, user)]
    active = [user for user in found if user.status is UserStatus.ACTIVATED]
    chosen = active or found
    if not chosen:
        raise UsageError(f"USER: no user matches {text!r}: {_EXPECTED}")
    if len(chosen) > 1:
        named = ", ".join(f"{user.pubkey} ({user.user_type.label})" for user in chosen[:5])
        raise UsageError(f"USER: {len(chosen)} users match {text!r}: give the key of one: {named}")
    return chosen[0]


def _address(text: str) -> int | None:
    try:
        return int(IPv4Address(text))
    except AddressValueError:
        return None


def _is_in_tunnel(address: int, user: User) -> bool:
    net = user.tunnel_net
    shift = 32 - net.prefix_len
    return bool(net.address) and address >> shift == net.address >> shift
