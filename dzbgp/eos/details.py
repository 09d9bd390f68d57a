"""More of BGP neighbors than a pass reads: what one person wants to know of one session."""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from dzbgp.eos.bgp import NEIGHBORS
from dzbgp.eos.connection import EosConnection, OddAnswerError
from dzbgp.eos.decoding import DECODING, read


@dataclass(frozen=True, slots=True)
class NeighborDetails:
    """What EOS says of one neighbor; an empty text or None where it does not."""

    address: str
    vrf: str
    state: str = ""
    idle_reason: str = ""
    """Why it is Idle."""
    last_state: str = ""
    last_event: str = ""
    """What moved it to where it is, such as the hold timer."""
    hold_time_s: int | None = None
    """As configured."""
    established_s: int | None = None
    established_transitions: int | None = None
    """How often it came up since the BGP agent started."""
    interface: str = ""


class _Entry(msgspec.Struct):
    """Each field on its own: one that cannot be parsed is left out, and nothing else."""

    peerAddress: str  # noqa: N815 - EOS's own names, here and below
    state: msgspec.Raw = msgspec.Raw()
    idleReason: msgspec.Raw = msgspec.Raw()  # noqa: N815
    lastState: msgspec.Raw = msgspec.Raw()  # noqa: N815
    lastEvent: msgspec.Raw = msgspec.Raw()  # noqa: N815
    configHoldTime: msgspec.Raw = msgspec.Raw()  # noqa: N815
    establishedTime: msgspec.Raw = msgspec.Raw()  # noqa: N815
    establishedTransitions: msgspec.Raw = msgspec.Raw()  # noqa: N815
    ifName: msgspec.Raw = msgspec.Raw()  # noqa: N815


class _Vrf(msgspec.Struct):
    peerList: list[msgspec.Raw] | None = None  # noqa: N815


class _Answer(msgspec.Struct):
    vrfs: dict[str, msgspec.Raw]


def read_details(connection: EosConnection) -> list[NeighborDetails]:
    """Ask a device for its neighbors. Raises OddAnswerError, and what `EosConnection.ask` raises."""
    (answer,) = connection.ask([NEIGHBORS])
    with DECODING:
        found = read(answer, _Answer)
        if found is None:
            raise OddAnswerError(f"the answer to `{NEIGHBORS}` is not of EOS's form: it lacks vrfs")
        return [one for name, vrf in found.vrfs.items() for one in _details(name, vrf)]


def _details(vrf: str, answer: msgspec.Raw) -> Iterator[NeighborDetails]:
    shown = read(answer, _Vrf)
    for entry in (shown.peerList if shown else None) or ():
        one = read(entry, _Entry)
        if one is not None:
            yield NeighborDetails(
                one.peerAddress,
                vrf,
                state=_text(one.state),
                idle_reason=_text(one.idleReason),
                last_state=_text(one.lastState),
                last_event=_text(one.lastEvent),
                hold_time_s=_number(one.configHoldTime),
                established_s=_number(one.establishedTime),
                established_transitions=_number(one.establishedTransitions),
                interface=_text(one.ifName),
            )


def _text(raw: msgspec.Raw) -> str:
    return (read(raw, str) if bytes(raw) else None) or ""


def _number(raw: msgspec.Raw) -> int | None:
    value = read(raw, float) if bytes(raw) else None
    return None if value is None or not 0 <= value < 1 << 40 else int(value)
