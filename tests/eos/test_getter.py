"""NAPALM's getter is asked first; our reading of the same answers adds to it, and stands in where it fails."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import structs
from napalm.eos import EOSDriver

from dzbgp.eos import decoding, getter
from dzbgp.eos.bgp import MAX_NEIGHBORS, MAX_VRFS, NEIGHBORS, SUMMARY
from dzbgp.eos.connection import EosConnection
from dzbgp.eos.deadline import Deadline
from dzbgp.eos.decoding import CommandRefusedError
from dzbgp.eos.getter import held_against, read_bgp
from dzbgp.lab.http import LoopThread, Request, Response, serve
from dzbgp.models.session import Neighbor, Seen, Vrf

SUMMARY_V6, NEIGHBORS_V6 = "show ipv6 bgp summary vrf all", "show ipv6 bgp peers vrf all"
GETTER = [SUMMARY, SUMMARY_V6, NEIGHBORS, NEIGHBORS_V6]
ROUTER_ID = "203.0.113.10"
UP = Neighbor("169.254.0.1", "vrf1", True, True, 500, "USER-500", 4_287_000)
DOWN = Neighbor("169.254.0.3", "vrf1", False, True, -1)
SHUT = Neighbor("10.66.0.2", "default", False, False, -1)
SEEN = Seen((Vrf("vrf1", ROUTER_ID), Vrf("default", ROUTER_ID)), (UP, DOWN, SHUT))


def peer(address: str, state: str = "Established", **changes: Any) -> dict[str, Any]:
    counts = dict.fromkeys(("prefixesReceived", "prefixesSent", "v6PrefixesReceived", "v6PrefixesSent"), 1)
    ids = {"asn": "65000", "localAsn": "65342", "routerId": "192.0.2.1"}
    return {"peerAddress": address, "state": state, **ids, **counts, **changes}


def answers() -> dict[str, Any]:
    """What the device of SEEN answers."""
    tcp = {"state": "ESTABLISHED", "sndRtt": 4_287}
    up = peer(UP.address, establishedTime=500.7, description="USER-500", peerTcpInfo=tcp)
    shut = peer(SHUT.address, "Idle", idleReason="Administratively shut down")
    lists = {"vrf1": [up, peer(DOWN.address, "Active")], "default": [shut]}
    summary = {"vrfs": {name: {"routerId": ROUTER_ID, "peers": {}} for name in lists}}
    return {
        SUMMARY: summary,
        SUMMARY_V6: summary,
        NEIGHBORS: {"vrfs": {name: {"peerList": peers} for name, peers in lists.items()}},
        NEIGHBORS_V6: {"vrfs": {name: {"peerList": []} for name in lists}},
    }


class Switch:
    """Answers what it knows, refuses all else, and keeps what it was asked after it was opened."""

    def __init__(self, known: dict[str, Any]) -> None:
        self.known = {"enable": {}, "show version": {"version": "4.31.2F"}, **known}
        self.asked: list[list[str]] = []

    async def answer(self, request: Request) -> Response:
        commands = json.loads(request.body)["params"]["cmds"]
        if "show version" not in commands:
            self.asked.append(commands[1:])
        refused = [one for one in commands if one not in self.known]
        reply: dict[str, Any] = {"result": [self.known.get(one) for one in commands]}
        if refused:
            reply = {
                "error": {"code": 1002, "message": f"CLI command '{refused[0]}' failed: invalid command"}
            }
        return Response(200, json.dumps(reply).encode(), {"content-type": "application/json"})


@contextmanager
def connected(known: dict[str, Any]) -> Iterator[tuple[EosConnection, Switch]]:
    switch, thread, connection = Switch(known), LoopThread("switch"), EosConnection(Deadline(20))
    try:
        port = thread.call(serve(switch.answer, "127.0.0.1", 0)).sockets[0].getsockname()[1]
        options = {"timeout": 20, "optional_args": {"transport": "http"}}
        connection.open("127.0.0.1", "u", "p", port, "eos", options)
        yield connection, switch
    finally:
        connection.close()
        thread.close()


def test_napalms_getter_is_asked_and_the_rtt_is_of_the_same_answer() -> None:
    with connected(answers()) as (connection, switch):
        assert read_bgp(connection) == SEEN
        assert read_bgp(connection) == SEEN
    assert switch.asked == [GETTER, GETTER]


@pytest.mark.parametrize("command", [SUMMARY_V6, NEIGHBORS_V6])
def test_a_refused_ipv6_command_costs_one_request_a_connection(command: str) -> None:
    known = answers()
    del known[command]
    with connected(known) as (connection, switch):
        assert read_bgp(connection) == SEEN
        assert read_bgp(connection) == SEEN
    assert switch.asked == [GETTER, [SUMMARY, NEIGHBORS], [SUMMARY, NEIGHBORS]]


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {"vrfs": 5},
        {"vrfs": {}},
        {"vrfs": {"vrf1": {"peerList": [5]}}},
        {"vrfs": {"vrf1": {"peerList": [{}] * (MAX_NEIGHBORS + 1)}}},
        {"vrfs": {"vrf1": {"peerList": [peer("fe80::1%Et1", "x" * 101)]}}},
        {"vrfs": {f"vrf{number}": {"peerList": []} for number in range(MAX_VRFS + 1)}},
    ],
    ids=lambda answer: str(answer)[:30],
)
@pytest.mark.parametrize("command", [SUMMARY_V6, NEIGHBORS_V6])
def test_an_ipv6_answer_that_cannot_be_read_costs_nothing(command: str, answer: Any) -> None:
    with connected({**answers(), command: answer}) as (connection, switch):
        assert read_bgp(connection) == SEEN
    assert switch.asked == [GETTER]


def test_answers_that_are_too_large_only_with_ipv6_are_asked_for_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decoding, "MAX_ANSWER_BYTES", 10_000)
    with connected({**answers(), NEIGHBORS_V6: "x" * 10_000}) as (connection, switch):
        assert read_bgp(connection) == SEEN
    assert switch.asked == [GETTER, [SUMMARY, NEIGHBORS]]


@pytest.mark.parametrize("command", [SUMMARY, NEIGHBORS])
def test_a_refused_ipv4_command_is_an_error_that_names_it(command: str) -> None:
    known = answers()
    del known[command]
    with connected(known) as (connection, _), pytest.raises(CommandRefusedError, match=command):
        read_bgp(connection)


def test_one_neighbor_that_napalm_cannot_read_costs_no_other() -> None:
    known = answers()
    known[NEIGHBORS]["vrfs"]["default"]["peerList"].append({"peerAddress": "10.66.0.4"})
    odd = Neighbor("10.66.0.4", "default", False, True, -1, odd="it has no state")
    with connected(known) as (connection, switch):
        seen = read_bgp(connection)
    assert seen == Seen(SEEN.vrfs, (*SEEN.neighbors, odd), ("default: 10.66.0.4: it has no state",))
    assert switch.asked == [GETTER]


def test_where_napalm_asks_something_else_the_two_answers_about_ipv4_are_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(EOSDriver, "get_bgp_neighbors", lambda self: self._run_commands([SUMMARY]))
    with connected(answers()) as (connection, switch):
        assert read_bgp(connection) == SEEN
    assert switch.asked == [[SUMMARY], [SUMMARY, NEIGHBORS]]


def verdicts(**changes: Any) -> dict[str, Any]:
    """What NAPALM says of SEEN, with one change to what it says of UP."""
    said = {
        (one.vrf, one.address): {"is_up": one.is_up, "is_enabled": one.is_enabled, "uptime": one.uptime_s}
        for one in SEEN.neighbors
    }
    said[UP.vrf, UP.address] |= changes
    found: dict[str, Any] = {}
    for (vrf, address), verdict in said.items():
        name = "global" if vrf == "default" else vrf
        found.setdefault(name, {"peers": {}})["peers"][address] = verdict
    return found


def test_what_both_say_is_kept_as_it_is() -> None:
    assert held_against(SEEN, verdicts()) == SEEN


@pytest.mark.parametrize("change", [{"is_up": False}, {"is_enabled": False}, {"uptime": 501}])
def test_of_a_neighbor_on_which_the_two_contradict_each_other_nothing_is_known(
    change: dict[str, Any],
) -> None:
    seen = held_against(SEEN, verdicts(**change))
    odd, *others = seen.neighbors
    assert odd == Neighbor(UP.address, UP.vrf, False, True, -1, odd="NAPALM reads its entry otherwise")
    assert tuple(others) == (DOWN, SHUT)
    assert seen.notes == ("vrf1: 169.254.0.1: NAPALM reads its entry otherwise",)


def test_of_a_neighbor_that_napalm_does_not_show_nothing_is_known() -> None:
    found = verdicts()
    del found["vrf1"]["peers"][UP.address]
    assert [bool(one.odd) for one in held_against(SEEN, found).neighbors] == [True, False, False]


def test_a_vrf_that_has_the_name_of_napalms_default_vrf_is_not_compared() -> None:
    odd_one = structs.replace(UP, vrf="global", uptime_s=9)
    seen = replace(SEEN, vrfs=(*SEEN.vrfs, Vrf("global", "")), neighbors=(*SEEN.neighbors, odd_one))
    assert held_against(seen, verdicts()) == seen


def test_an_error_of_a_terminal_is_none_of_napalms_reading() -> None:
    """What the terminal says late would be taken for the answer to the next command."""

    class Terminal:
        def send_command(self, command: str) -> str:
            if command.startswith(NEIGHBORS_V6):
                raise ValueError("the prompt was not found")
            return json.dumps(answers()[command.removesuffix(" | json")])

    with pytest.raises(ValueError, match="prompt"):
        read_bgp(on_terminal(Terminal()))


def test_over_a_terminal_ipv6_is_not_asked_for_again_where_it_is_refused() -> None:
    asked = []

    class Terminal:
        def send_command(self, command: str) -> str:
            asked.append(command.removesuffix(" | json"))
            return "% Denied" if "ipv6" in command else json.dumps(answers()[asked[-1]])

    connection = on_terminal(Terminal())
    assert read_bgp(connection) == SEEN
    assert asked == GETTER
    assert read_bgp(connection) == SEEN
    assert asked[4:] == [SUMMARY, NEIGHBORS]


def on_terminal(terminal: Any) -> EosConnection:
    """A connection whose NAPALM driver speaks to `terminal` where it would to netmiko's."""
    driver = EOSDriver("192.0.2.1", "u", "p", optional_args={"transport": "ssh"})
    driver.device = driver._netmiko_device = terminal
    connection = EosConnection(Deadline(20))
    connection.connection = driver
    return connection


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
PLAUSIBLE = {
    "peerAddress": st.sampled_from([UP.address, "::ffff:169.254.0.1", "fe80::1%Et1", "x"]),
    "state": st.sampled_from(["Established", "Idle", "Active", "idle"]),
    "idleReason": st.sampled_from(["Administratively shut down", "No path"]),
    "establishedTime": st.integers(-5, 2**70) | st.floats(),
    "description": st.text(max_size=5),
    "asn": st.sampled_from(["65000", "1.1", 7, "x"]),
    "routerId": st.sampled_from(["192.0.2.1", "", None]),
}
CHANGES = st.fixed_dictionaries({}, optional={name: likely | JSON for name, likely in PLAUSIBLE.items()})


@given(CHANGES)
@example({"peerAddress": float("inf"), "routerId": []})
def test_the_two_never_contradict_each_other_on_the_same_answer(change: dict[str, Any]) -> None:
    known = answers()
    known[NEIGHBORS]["vrfs"]["vrf1"]["peerList"].append(peer("169.254.0.9") | change)
    with getter._Heard(is_at_once=True) as heard:

        def run(commands: list[str], **_: Any) -> list[Any]:
            return [heard.take(one, msgspec.Raw(json.dumps(known[one]).encode())) for one in commands]

        try:
            found = EOSDriver.get_bgp_neighbors(SimpleNamespace(_run_commands=run))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            return
    seen = heard.seen
    assert seen is not None
    if change.get("peerAddress") not in {UP.address, "::ffff:169.254.0.1"}:
        # Of two entries with one address NAPALM keeps the last.
        assert held_against(seen, found) == seen
