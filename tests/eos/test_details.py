"""What EOS says of one neighbor: a field that cannot be parsed costs itself only."""

import json
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dzbgp.eos.connection import OddAnswerError
from dzbgp.eos.details import NeighborDetails, read_details

odd = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers()) | st.just({"a": 1})
FIELDS = ("state", "idleReason", "lastState", "lastEvent", "configHoldTime", "establishedTime", "ifName")


class _Device:
    def __init__(self, answer: Any) -> None:
        self._answer = msgspec.Raw(json.dumps(answer).encode())

    def ask(self, _: list[str]) -> list[msgspec.Raw]:
        return [self._answer]


def details(*peers: Any) -> list[NeighborDetails]:
    return read_details(cast("Any", _Device({"vrfs": {"vrf1": {"peerList": list(peers)}, "odd": 3}})))


def test_what_eos_shows_of_a_session_is_read() -> None:
    peer = {
        "peerAddress": "169.254.0.1",
        "state": "Idle",
        "idleReason": "No path to peer",
        "lastState": "Established",
        "lastEvent": "HoldTime",
        "configHoldTime": 3,
        "establishedTransitions": 7,
        "ifName": "Tunnel500",
    }
    assert details(peer) == [
        NeighborDetails(
            "169.254.0.1",
            "vrf1",
            "Idle",
            "No path to peer",
            "Established",
            "HoldTime",
            3,
            None,
            7,
            "Tunnel500",
        )
    ]


@given(st.dictionaries(st.sampled_from(FIELDS), odd))
def test_an_odd_field_costs_itself_only(fields: dict[str, Any]) -> None:
    (one,) = details(fields | {"peerAddress": "169.254.0.1", "establishedTransitions": 7})
    assert (one.address, one.vrf, one.established_transitions) == ("169.254.0.1", "vrf1", 7)


def test_an_answer_of_another_form_is_an_error() -> None:
    with pytest.raises(OddAnswerError):
        read_details(cast("Any", _Device({"errors": ["no"]})))
