"""BGP neighbors out of EOS's own answers. The source of the shapes is public answers of real devices.

NAPALM's get_bgp_neighbors says the same in another form, but fails as a whole on one neighbor that it cannot read,
whoever's it is, and leaves out the RTT. `getter` asks it, and holds what is read here against what it says.
"""

import contextlib
import ipaddress
import socket
import sys

import msgspec

from dzbgp.eos.connection import OddAnswerError
from dzbgp.eos.decoding import read
from dzbgp.models.session import Neighbor, Seen, Vrf

SUMMARY = "show ip bgp summary vrf all"
NEIGHBORS = "show ip bgp neighbors vrf all"

_STATES = frozenset({"Idle", "Connect", "Active", "OpenSent", "OpenConfirm", "Established"})
_ADMIN_DOWN = "Administratively shut down"
_LONGEST_RTT_US = 3_600_000_000
"""Beyond an hour it is nonsense, which might not even fit the instruction."""
_LONGEST_UPTIME_S = 1 << 40
_MOST_NOTES = 20
MAX_NEIGHBORS = 8_192
"""Twice the users that the program allows a device."""
MAX_VRFS = 4_096
"""More than any EOS device has."""


class _SummaryVrf(msgspec.Struct):
    routerId: str | None = None  # noqa: N815 - EOS's own names, here and below


class _NeighborsVrf(msgspec.Struct):
    peerList: list[msgspec.Raw] | None = None  # noqa: N815


class _Vrfs(msgspec.Struct):
    vrfs: dict[str, msgspec.Raw]


class _Tcp(msgspec.Struct):
    sndRtt: float | None = None  # noqa: N815


class _Known(msgspec.Struct):
    peerAddress: str  # noqa: N815


class _Peer(_Known):
    state: str
    idleReason: msgspec.Raw = msgspec.Raw()  # noqa: N815
    description: str | None = None
    establishedTime: float | None = None  # noqa: N815
    peerTcpInfo: msgspec.Raw = msgspec.Raw()  # noqa: N815
    asn: str | int | None = None


class _Bare(_Known):
    """What a session's state rests on, without what is only said about it."""

    state: str
    idleReason: msgspec.Raw = msgspec.Raw()  # noqa: N815


def seen_of(summary: msgspec.Raw, neighbors: msgspec.Raw) -> Seen:
    """Turn the answers to SUMMARY and NEIGHBORS into records. Raises OddAnswerError."""
    router_ids = {name: _router_id(vrf) for name, vrf in _vrfs(summary, SUMMARY).items()}
    shown = _vrfs(neighbors, NEIGHBORS)
    found: list[Neighbor] = []
    notes: list[str] = []
    complete = set()
    count = 0
    for name, vrf in shown.items():
        entries = read(vrf, _NeighborsVrf)
        if entries is None:
            notes.append(f"{name}: its list of neighbors cannot be parsed")
            continue
        count += len(entries.peerList or ())
        if count > MAX_NEIGHBORS:
            raise OddAnswerError(f"the answer to `{NEIGHBORS}` lists more than {MAX_NEIGHBORS:,} neighbors")
        peers = [_neighbor(name, entry) for entry in entries.peerList or ()]
        found += [peer for peer, _ in peers if peer is not None]
        notes += [note for _, note in peers if note]
        if all(peer is not None for peer, _ in peers):
            complete.add(name)
    names = [*router_ids, *(name for name in shown if name not in router_ids)]
    vrfs = tuple(Vrf(name, router_ids.get(name, ""), name in complete) for name in names)
    more = len(notes) - _MOST_NOTES
    told = [*notes[:_MOST_NOTES], f"and {more} more entries that cannot be parsed"] if more > 0 else notes
    return Seen(vrfs, tuple(found), tuple(told))


def _vrfs(answer: msgspec.Raw, command: str) -> dict[str, msgspec.Raw]:
    found = read(answer, _Vrfs)
    if found is None:
        raise OddAnswerError(f"the answer to `{command}` is not of EOS's form: it lacks vrfs")
    if len(found.vrfs) > MAX_VRFS:
        raise OddAnswerError(f"the answer to `{command}` lists more than {MAX_VRFS:,} VRFs")
    return found.vrfs


def _router_id(vrf: msgspec.Raw) -> str:
    found = read(vrf, _SummaryVrf)
    return (found.routerId if found else None) or ""


def _neighbor(vrf: str, entry: msgspec.Raw) -> tuple[Neighbor | None, str]:
    """Return the neighbor that an entry is, None when it does not say which, and a note of what is odd."""
    peer = read(entry, _Peer)
    known = peer or read(entry, _Bare) or read(entry, _Known)
    address = address_of(known.peerAddress) if known is not None else None
    if known is None or address is None:
        return None, f"{vrf}: an entry without the address of a neighbor"
    if not isinstance(known, _Peer | _Bare) or known.state not in _STATES:
        odd = "its state is none of BGP's" if isinstance(known, _Peer | _Bare) else "it has no state"
        return Neighbor(
            address, vrf, is_up=False, is_enabled=True, uptime_s=-1, odd=odd
        ), f"{vrf}: {address}: {odd}"
    is_up = known.state == "Established"
    is_enabled = not (known.state == "Idle" and _is_admin_down(known.idleReason))
    if peer is None:
        neighbor = Neighbor(address, vrf, is_up=is_up, is_enabled=is_enabled, uptime_s=-1)
        return neighbor, f"{vrf}: {address}: only its state can be parsed"
    uptime = peer.establishedTime
    return Neighbor(
        address,
        vrf,
        is_up=is_up,
        is_enabled=is_enabled,
        uptime_s=int(uptime) if is_up and uptime is not None and 0 <= uptime < _LONGEST_UPTIME_S else -1,
        # Every device numbers its tunnels from 500 on: one text each is enough.
        description=sys.intern(peer.description or ""),
        rtt_ns=_rtt_ns(peer.peerTcpInfo) if is_up else 0,
    ), "" if peer.asn else f"{vrf}: {address}: it has no AS number"


def _is_admin_down(reason: msgspec.Raw) -> bool:
    return bool(bytes(reason)) and read(reason, str) == _ADMIN_DOWN


def _rtt_ns(tcp: msgspec.Raw) -> int:
    """Return the smoothed RTT, which EOS shows in microseconds for as long as the TCP connection is up."""
    found = read(tcp, _Tcp) if bytes(tcp) else None
    microseconds = found.sndRtt if found else None
    if microseconds is None or not 0 < microseconds <= _LONGEST_RTT_US:
        return 0
    return round(microseconds * 1000)


def address_of(text: str) -> str | None:
    """Return an address as it is written everywhere else: an IPv4 address mapped into IPv6 is one of IPv4."""
    with contextlib.suppress(OSError, ValueError):
        # As strict as `ipaddress`, and four times as fast.
        socket.inet_pton(socket.AF_INET, text)
        return text
    try:
        # A link-local address names its interface, as in fe80::1%Et3/1.
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped) if mapped else text
