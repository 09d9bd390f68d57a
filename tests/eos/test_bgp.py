"""EOS's answers, turned into VRFs and neighbors: one odd entry costs itself, and absence is never made up."""

import ipaddress
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dzbgp.eos.bgp import address_of, seen_of
from dzbgp.eos.connection import OddAnswerError
from dzbgp.models.session import Neighbor, Seen, Vrf

ADDRESS = "169.254.0.1"
ROUTER_ID = "203.0.113.10"


def peer(address: Any = ADDRESS, **changes: Any) -> dict[str, Any]:
    values = {"peerAddress": address, "state": "Established", "asn": "65000", "establishedTime": 500}
    return {**values, **changes}


def raw(answer: Any) -> msgspec.Raw:
    return msgspec.Raw(answer if isinstance(answer, bytes) else json.dumps(answer).encode())


def seen(*peers: Any, vrf: str = "vrf1", **more: Any) -> Seen:
    """What is seen of a device with these neighbors in one VRF, and `more` VRFs with their lists of neighbors."""
    lists = {vrf: list(peers), **more}
    summary = {"vrfs": {name: {"routerId": ROUTER_ID, "peers": {}} for name in lists}}
    return seen_of(raw(summary), raw({"vrfs": {name: {"peerList": found} for name, found in lists.items()}}))


def test_vrf_description_uptime_and_rtt_come_with_the_neighbor() -> None:
    tcp = {"state": "ESTABLISHED", "sndRtt": 4_287}
    shown = seen(peer(description="USER-500", peerTcpInfo=tcp), default=[peer("10.66.0.2", state="Active")])
    assert shown.vrfs == (Vrf("vrf1", ROUTER_ID), Vrf("default", ROUTER_ID))
    assert shown.neighbors == (
        Neighbor(ADDRESS, "vrf1", True, True, 500, "USER-500", 4_287_000),
        Neighbor("10.66.0.2", "default", False, True, -1),
    )
    assert shown.notes == ()


def test_one_address_in_two_vrfs_has_the_state_and_the_rtt_of_each() -> None:
    down, up = peer(state="Active", peerTcpInfo={}), peer(peerTcpInfo={"sndRtt": 9})
    states = {one.vrf: (one.is_up, one.rtt_ns) for one in seen(down, vrf2=[up]).neighbors}
    assert states == {"vrf1": (False, 0), "vrf2": (True, 9_000)}


@pytest.mark.parametrize("state", ["Idle", "Connect", "Active", "OpenSent", "OpenConfirm"])
def test_only_established_is_up_and_has_an_rtt(state: str) -> None:
    (neighbor,) = seen(peer(state=state, peerTcpInfo={"sndRtt": 5_000})).neighbors
    assert (neighbor.is_up, neighbor.rtt_ns, neighbor.uptime_s, neighbor.odd) == (False, 0, -1, "")


@pytest.mark.parametrize(
    ("reason", "enabled"), [("Administratively shut down", False), ("No path", True), (None, True)]
)
def test_idle_is_shut_down_only_if_eos_says_so(reason: str | None, enabled: bool) -> None:
    (neighbor,) = seen(peer(state="Idle", idleReason=reason)).neighbors
    assert (neighbor.is_up, neighbor.is_enabled) == (False, enabled)


@pytest.mark.parametrize(
    "tcp",
    [
        None,
        {},
        {"sndRtt": 0},
        {"sndRtt": -1},
        {"sndRtt": "4287"},
        {"sndRtt": True},
        {"sndRtt": 2**70},
        "up",
        [1],
    ],
)
def test_an_rtt_that_is_none_costs_the_rtt_and_nothing_else(tcp: Any) -> None:
    (neighbor,) = seen(peer(peerTcpInfo=tcp)).neighbors
    assert neighbor == Neighbor(ADDRESS, "vrf1", True, True, 500)


@pytest.mark.parametrize("rtt", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
def test_numbers_that_only_python_takes_for_json_are_no_sample(rtt: bytes) -> None:
    entry = (
        b'{"peerAddress": "169.254.0.1", "state": "Established", "asn": "1", "peerTcpInfo": {"sndRtt": %s}}'
        % rtt
    )
    shown = seen_of(raw({"vrfs": {}}), raw(b'{"vrfs": {"vrf1": {"peerList": [%s]}}}' % entry))
    assert shown.neighbors == (Neighbor(ADDRESS, "vrf1", True, True, -1),)


def test_half_a_surrogate_and_bytes_of_no_utf8_are_read() -> None:
    entry = b'{"peerAddress": "169.254.0.1", "state": "Established", "asn": "1", "description": "%s"}'
    for text in (b"a\\ud800b", b"a\xffb"):
        shown = seen_of(raw({"vrfs": {}}), raw(b'{"vrfs": {"vrf1": {"peerList": [%s]}}}' % (entry % text)))
        assert [one.description for one in shown.neighbors] == ["a\N{REPLACEMENT CHARACTER}b"]


@pytest.mark.parametrize(
    "change", [{"asn": None}, {"asn": [1]}, {"description": 5}, {"establishedTime": "x"}]
)
def test_an_entry_whose_state_is_known_is_evidence_and_what_is_odd_is_noted(change: dict[str, Any]) -> None:
    shown = seen(peer(**change), peer("169.254.0.3"))
    assert [(one.address, one.is_up, one.odd) for one in shown.neighbors] == [
        (ADDRESS, True, ""),
        ("169.254.0.3", True, ""),
    ]
    assert len(shown.notes) == 1
    assert shown.notes[0].startswith(f"vrf1: {ADDRESS}: ")


@pytest.mark.parametrize("state", [None, 5, "Establishd", [], {}])
def test_an_entry_without_a_state_is_odd_and_no_other_one_is(state: Any) -> None:
    shown = seen(peer(state=state), peer("169.254.0.3"))
    assert [(one.address, one.is_up, bool(one.odd)) for one in shown.neighbors] == [
        (ADDRESS, False, True),
        ("169.254.0.3", True, False),
    ]
    assert shown.notes[0].startswith(f"vrf1: {ADDRESS}: ")
    assert shown.vrfs == (Vrf("vrf1", ROUTER_ID),)


@pytest.mark.parametrize(
    "entry", [{"state": "Established"}, peer(None), peer("nowhere"), peer(7), 7, "x", None, [], {}]
)
def test_an_entry_that_may_be_anybodys_takes_the_proof_of_absence_from_its_vrf(entry: Any) -> None:
    shown = seen(entry, peer("169.254.0.3"), vrf2=[])
    assert [one.address for one in shown.neighbors] == ["169.254.0.3"]
    assert shown.vrfs == (Vrf("vrf1", ROUTER_ID, is_shown=False), Vrf("vrf2", ROUTER_ID))
    assert shown.notes == ("vrf1: an entry without the address of a neighbor",)


def test_a_vrf_that_only_the_summary_has_is_not_shown() -> None:
    summary = raw({"vrfs": {"vrf1": {"routerId": ROUTER_ID}, "vrf2": {"routerId": ROUTER_ID}}})
    shown = seen_of(summary, raw({"vrfs": {"vrf1": {"peerList": []}}}))
    assert shown.vrfs == (Vrf("vrf1", ROUTER_ID), Vrf("vrf2", ROUTER_ID, is_shown=False))


@pytest.mark.parametrize("vrf", [{}, {"peerList": None}])
def test_a_vrf_without_a_list_has_no_neighbors(vrf: Any) -> None:
    shown = seen_of(raw({"vrfs": {}}), raw({"vrfs": {"vrf1": vrf}}))
    assert (shown.vrfs, shown.neighbors) == ((Vrf("vrf1", ""),), ())


@pytest.mark.parametrize("vrf", [5, None, [], {"peerList": {}}, {"peerList": "x"}])
def test_a_vrf_that_cannot_be_understood_is_not_shown(vrf: Any) -> None:
    shown = seen_of(raw({"vrfs": {}}), raw({"vrfs": {"vrf1": vrf}}))
    assert shown.vrfs == (Vrf("vrf1", "", is_shown=False),)
    assert shown.notes == ("vrf1: its list of neighbors cannot be parsed",)


@pytest.mark.parametrize("answer", [{}, {"vrfs": None}, {"vrfs": []}, [], None, 5, b"", b"[[["])
@pytest.mark.parametrize("which", [0, 1])
def test_an_answer_without_vrfs_names_its_command(answer: Any, which: int) -> None:
    answers = [raw({"vrfs": {}}), raw({"vrfs": {}})]
    answers[which] = raw(answer)
    command = ["show ip bgp summary vrf all", "show ip bgp neighbors vrf all"][which]
    with pytest.raises(OddAnswerError, match=f"`{command}`"):
        seen_of(*answers)


def test_an_ipv4_address_mapped_into_ipv6_is_that_address_and_a_scope_is_kept() -> None:
    shown = seen(peer("::ffff:169.254.0.1"), peer("fe80::1%Et3/1"))
    assert [one.address for one in shown.neighbors] == [ADDRESS, "fe80::1%Et3/1"]


def test_notes_are_few() -> None:
    shown = seen(*[{}] * 500)
    assert len(shown.notes) == 21
    assert shown.notes[-1] == "and 480 more entries that cannot be parsed"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["peerAddress", "state", "asn", "description", "peerTcpInfo"]), JSON))
def test_whatever_an_entry_holds_the_others_are_read(change: dict[str, Any]) -> None:
    shown = seen(peer("169.254.0.9", **{k: v for k, v in change.items() if k != "peerAddress"}), peer())
    assert Neighbor(ADDRESS, "vrf1", True, True, 500) in shown.neighbors
    shown = seen(change, peer())
    assert Neighbor(ADDRESS, "vrf1", True, True, 500) in shown.neighbors


@given(
    st.text()
    | st.from_regex(r"\A[0-9a-f.:]{0,18}\Z")
    | st.from_regex(r"\A[0-9]{1,4}(\.[0-9]{1,3}){3}\s?\Z")
    | st.ip_addresses().map(str)
)
def test_an_address_is_one_for_us_if_it_is_one_for_python(text: str) -> None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        assert address_of(text) is None or "%" in text
        return
    assert address_of(text) == str(getattr(address, "ipv4_mapped", None) or text)
