"""What a device shows of BGP: NAPALM's get_bgp_neighbors, and our own reading of the very same answers.

NAPALM's getter is asked first. Ours adds VRF, description and RTT, and counts alone where NAPALM cannot read an answer.
A neighbor on which the two contradict each other has an unknown state.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from dzbgp.eos.bgp import MAX_NEIGHBORS, MAX_VRFS, NEIGHBORS, SUMMARY, address_of, seen_of
from dzbgp.eos.connection import EosConnection
from dzbgp.eos.decoding import DECODING, AnswerTooLargeError, CommandRefusedError, read
from dzbgp.eos.tap import GetterError
from dzbgp.models.session import Neighbor, Seen

_Word = Annotated[str, msgspec.Meta(max_length=100)] | int | float | UnsetType | None


class _NapalmPeer(msgspec.Struct):
    """What NAPALM's getter needs of a neighbor. What is missing stays missing, and NAPALM says what it says to that."""

    peerAddress: _Word = UNSET  # noqa: N815 - EOS's own names, here and below
    state: _Word = UNSET
    idleReason: _Word = UNSET  # noqa: N815
    establishedTime: _Word = UNSET  # noqa: N815
    asn: _Word = UNSET
    localAsn: _Word = UNSET  # noqa: N815
    routerId: _Word = UNSET  # noqa: N815
    prefixesReceived: _Word = UNSET  # noqa: N815
    prefixesSent: _Word = UNSET  # noqa: N815
    v6PrefixesReceived: _Word = UNSET  # noqa: N815
    v6PrefixesSent: _Word = UNSET  # noqa: N815


class _NapalmVrf(msgspec.Struct):
    """A VRF of any of the four answers. The neighbors of a summary, which hold counts of prefixes, are left out."""

    routerId: _Word = UNSET  # noqa: N815
    peerList: list[_NapalmPeer] | UnsetType | None = UNSET  # noqa: N815


class _NapalmAnswer(msgspec.Struct):
    vrfs: dict[str, _NapalmVrf]


def read_bgp(connection: EosConnection) -> Seen:
    """Ask a device for its VRFs and neighbors.

    Raises OddAnswerError when an answer about IPv4 is not of EOS's form, and what `EosConnection.ask` raises.
    """
    if connection.has_getter:
        seen = _ask_napalm(connection)
        if seen is not None:
            return seen
    summary, neighbors = connection.ask([SUMMARY, NEIGHBORS])
    with DECODING:
        return seen_of(summary, neighbors)


def _ask_napalm(connection: EosConnection) -> Seen | None:
    """Return what NAPALM's getter and our reading agree on, None where an answer about IPv4 is missing."""
    with _Heard(is_at_once=connection.is_eapi) as heard:
        try:
            found = connection.get_bgp_neighbors(heard.take)
        except GetterError:
            connection.has_getter = heard.is_complete
        except (CommandRefusedError, AnswerTooLargeError):
            if not connection.is_eapi:
                # The rest of the answer is still to come.
                raise
            # It may be IPv6's, which concerns no user. IPv4 alone is asked now, and at once at the next look.
            connection.has_getter = False
        else:
            return heard.seen and held_against(heard.seen, found)
        return heard.seen


class _Heard(ExitStack):
    """What the answers to one call of NAPALM's getter say.

    Where all answers come at once, DECODING is held until NAPALM has read them: its objects take more than the answers.
    """

    def __init__(self, *, is_at_once: bool) -> None:
        super().__init__()
        self.seen: Seen | None = None
        self.is_complete = True
        """No command was answered with what is not JSON, as a terminal answers one that it refuses."""
        self._is_at_once = is_at_once
        self._summary: msgspec.Raw | None = None

    def take(self, command: str, answer: msgspec.Raw | None) -> Any:
        """Read an answer, and return what NAPALM needs of it. Raises OddAnswerError."""
        if answer is None:
            self.is_complete = False
            return None
        with DECODING:
            if self._is_at_once:
                self.enter_context(DECODING)
            if command == SUMMARY:
                self._summary = answer
            elif command == NEIGHBORS and self._summary is not None:
                self.seen = seen_of(self._summary, answer)
                self._summary = None
            return _trimmed(answer)


def _trimmed(answer: msgspec.Raw) -> Any:
    """Return what NAPALM needs of an answer, None for one that it could not read."""
    found = read(answer, _NapalmAnswer)
    if found is None or len(found.vrfs) > MAX_VRFS:
        return None
    if sum(len(vrf.peerList or ()) for vrf in found.vrfs.values()) > MAX_NEIGHBORS:
        return None
    return {"vrfs": {name: msgspec.to_builtins(vrf) | {"peers": {}} for name, vrf in found.vrfs.items()}}


def held_against(seen: Seen, found: Mapping[str, Any]) -> Seen:
    """Return what was seen, less the neighbors on which NAPALM's answer says something else."""
    verdicts = {
        # NAPALM's name of the default VRF.
        ("default" if vrf == "global" else vrf, address_of(address)): peer
        for vrf, shown in found.items()
        for address, peer in shown["peers"].items()
    }
    # A VRF that is called so too is not told apart from it.
    hidden = "global" if "default" in (vrf.name for vrf in seen.vrfs) else None
    neighbors, notes = [], list(seen.notes)
    for neighbor in seen.neighbors:
        verdict = verdicts.get((neighbor.vrf, neighbor.address))
        if neighbor.odd or neighbor.vrf == hidden or _agree(neighbor, verdict):
            neighbors.append(neighbor)
            continue
        odd = "NAPALM reads its entry otherwise"
        blank = Neighbor(neighbor.address, neighbor.vrf, is_up=False, is_enabled=True, uptime_s=-1, odd=odd)
        neighbors.append(blank)
        notes.append(f"{neighbor.vrf}: {neighbor.address}: {odd}")
    return replace(seen, neighbors=tuple(neighbors), notes=tuple(notes))


def _agree(neighbor: Neighbor, verdict: Mapping[str, Any] | None) -> bool:
    if verdict is None:
        return False
    return (
        verdict["is_up"] == neighbor.is_up
        and verdict["is_enabled"] == neighbor.is_enabled
        and (neighbor.uptime_s < 0 or verdict["uptime"] == neighbor.uptime_s)
    )
