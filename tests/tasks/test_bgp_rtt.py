"""RTTs out of EOS's own JSON: microseconds there, nanoseconds here, and no sample is no RTT."""

from typing import Any

import pytest

from dzbgp.tasks.bgp_rtt import pick_rtts

ADDRESS = "169.254.0.1"


def shown(*peers: dict[str, Any], vrf: str = "vrf1") -> dict[str, Any]:
    return {"vrfs": {vrf: {"peerList": list(peers)}}}


def peer(tcp: Any = None, **changes: Any) -> dict[str, Any]:
    values = {"peerAddress": ADDRESS, "state": "Established", "peerTcpInfo": tcp}
    return {**values, **changes}


@pytest.mark.parametrize(
    ("microseconds", "nanoseconds"),
    [(4_287, 4_287_000), (1, 1_000), (4_287.5, 4_287_500), (2_000_000, 2_000_000_000)],
)
def test_an_rtt_in_microseconds_becomes_nanoseconds(microseconds: float, nanoseconds: int) -> None:
    found = pick_rtts(shown(peer({"sndRtt": microseconds, "sndRttVariance": 9})), [ADDRESS])
    assert found == {ADDRESS: nanoseconds}
    assert isinstance(found[ADDRESS], int)


NO_SAMPLE: dict[str, dict[str, Any]] = {
    "no TCP information": {"peerAddress": ADDRESS, "state": "Established"},
    "null": peer(None),
    "empty": peer({}),
    "without the RTT": peer({"state": "ESTABLISHED"}),
    "zero": peer({"sndRtt": 0}),
    "negative": peer({"sndRtt": -1}),
    "a text": peer({"sndRtt": "4287"}),
    "null RTT": peer({"sndRtt": None}),
    "a truth": peer({"sndRtt": True}),
    "TCP up, BGP in OpenSent": peer({"sndRtt": 4_287}, state="OpenSent"),
    "TCP up, BGP in OpenConfirm": peer({"sndRtt": 4_287}, state="OpenConfirm"),
    "without a state": {"peerAddress": ADDRESS, "peerTcpInfo": {"sndRtt": 4_287}},
    "another neighbor": peer({"sndRtt": 4_287}, peerAddress="169.254.0.3"),
    "no address": {"state": "Established", "peerTcpInfo": {"sndRtt": 4_287}},
    "not a number": peer({"sndRtt": float("nan")}),
    "more than fits": peer({"sndRtt": 2**70}),
    "infinite": peer({"sndRtt": float("inf")}),
}


@pytest.mark.parametrize("case", NO_SAMPLE)
def test_without_a_sample_of_an_established_session_there_is_no_rtt(case: str) -> None:
    assert pick_rtts(shown(NO_SAMPLE[case]), [ADDRESS]) == {}


@pytest.mark.parametrize("answer", [{}, {"vrfs": {}}, {"vrfs": {"vrf1": {}}}, shown()])
def test_an_answer_without_neighbors_has_no_rtts(answer: dict[str, Any]) -> None:
    assert pick_rtts(answer, [ADDRESS]) == {}


def test_neighbors_of_all_vrfs_are_found_and_only_those_asked_for() -> None:
    answer = {
        "vrfs": {
            "default": {"peerList": [peer({"sndRtt": 1}, peerAddress="169.254.0.5")]},
            "vrf1": {"peerList": [peer({"sndRtt": 2}), peer({"sndRtt": 3}, peerAddress="169.254.0.3")]},
        }
    }
    assert pick_rtts(answer, {"169.254.0.5", ADDRESS}) == {"169.254.0.5": 1_000, ADDRESS: 2_000}
