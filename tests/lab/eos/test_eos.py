"""The simulated devices, read by NAPALM's eos driver as it is installed."""

import json
import socket
import ssl
import threading
from collections.abc import Iterator

import pyeapi.eapilib
import pytest
from eos_lab import block, device, raw, read, two_devices
from waiting import until

from dzbgp.lab.eos.device import STATES
from dzbgp.lab.eos.fleet import ADMIN_DOWN, DeviceFault, EosDevice, EosFault, EosFleet, EosPeer


@pytest.fixture
def fleet() -> Iterator[EosFleet]:
    with two_devices() as it:
        yield it


def test_napalm_reads_every_vrf_with_its_router_id_and_neighbors(fleet: EosFleet) -> None:
    answer = read(fleet)
    assert {vrf: table["router_id"] for vrf, table in answer.items()} == {
        "global": "10.0.0.1",
        "vrf1": "203.0.113.1",
        "vrf2": "203.0.113.1",
    }
    assert set(answer["global"]["peers"]) == {"169.254.0.5", "10.0.0.2"}
    user = answer["vrf1"]["peers"]["169.254.0.1"]
    assert user["is_up"]
    assert user["is_enabled"]
    assert (user["local_as"], user["remote_as"]) == (65342, 65000)
    assert user["description"] == "USER-500"
    assert 86_400 <= user["uptime"] < 86_500


def test_a_vrf_without_neighbors_is_shown_with_its_router_id(fleet: EosFleet) -> None:
    fleet.remove_peer("one", "169.254.0.3")
    assert read(fleet)["vrf2"] == {"peers": {}, "router_id": "203.0.113.1"}


@pytest.mark.parametrize("state", STATES)
def test_a_session_is_up_in_no_state_but_established(fleet: EosFleet, state: str) -> None:
    fleet.set_state("one", "169.254.0.1", state)
    user = read(fleet)["vrf1"]["peers"]["169.254.0.1"]
    assert user["is_up"] == (state == "Established")
    assert user["is_enabled"]
    assert (user["uptime"] >= 0) == (state == "Established")
    shown = raw(fleet)["169.254.0.1"]
    assert shown["state"] == state
    assert ("idleReason" in shown) == (state == "Idle")
    assert ("establishedTime" in shown) == (state == "Established")


def test_a_neighbor_that_was_shut_is_not_enabled(fleet: EosFleet) -> None:
    fleet.set_state("one", "169.254.0.1", "Idle", idle_reason=ADMIN_DOWN)
    user = read(fleet)["vrf1"]["peers"]["169.254.0.1"]
    assert not user["is_up"]
    assert not user["is_enabled"]
    assert raw(fleet)["169.254.0.1"]["idleReason"] == "Administratively shut down"


def test_the_rtt_is_in_microseconds_and_only_there_while_tcp_is_up(fleet: EosFleet) -> None:
    peers = raw(fleet)
    assert peers["169.254.0.1"]["peerTcpInfo"]["sndRtt"] == 4_287
    assert "peerTcpInfo" not in peers["169.254.0.3"]
    fleet.set_state("one", "169.254.0.1", "OpenSent")
    assert raw(fleet)["169.254.0.1"]["peerTcpInfo"]["sndRtt"] == 4_287
    fleet.set_state("one", "169.254.0.1", "Active")
    assert raw(fleet)["169.254.0.1"]["peerTcpInfo"] == {}
    fleet.set_state("one", "169.254.0.1", "Established", rtt_us=9_000)
    assert raw(fleet)["169.254.0.1"]["peerTcpInfo"]["sndRtt"] == 9_000


def test_a_bounce_shows_as_a_short_uptime_and_one_transition_more(fleet: EosFleet) -> None:
    fleet.set_state("one", "169.254.0.1", "Established")
    shown = raw(fleet)["169.254.0.1"]
    assert shown["establishedTime"] < 60
    assert shown["establishedTransitions"] == 2


def test_an_uptime_grows_although_answers_are_kept(fleet: EosFleet) -> None:
    read(fleet)

    def age(device: EosDevice) -> None:
        device.peers[0].changed_at -= 1_000

    # Not through `change`: nothing may be thrown away for time to pass.
    age(fleet.device("one"))
    assert read(fleet)["vrf1"]["peers"]["169.254.0.1"]["uptime"] >= 87_400


def test_a_peer_entry_is_about_as_large_as_a_real_one(fleet: EosFleet) -> None:
    shown = raw(fleet)["169.254.0.1"]
    assert 3_000 < len(json.dumps(shown)) < 6_000
    assert shown["localRouterId"] == "203.0.113.1"
    assert shown["ifName"] == "Tunnel500"
    assert "description" not in raw(fleet)["169.254.0.5"]


def test_neighbors_come_and_go(fleet: EosFleet) -> None:
    fleet.add_peer("one", EosPeer("169.254.9.1", 65000, "vrf1", state="Connect"))
    fleet.remove_peer("one", "169.254.0.1")
    assert set(read(fleet)["vrf1"]["peers"]) == {"169.254.9.1"}
    with pytest.raises(KeyError, match=r"169\.254\.0\.1"):
        fleet.remove_peer("one", "169.254.0.1")
    with pytest.raises(ValueError, match="Upside"):
        fleet.set_state("one", "169.254.9.1", "Upside")


def test_every_device_answers_for_itself_and_counts_its_requests(fleet: EosFleet) -> None:
    assert read(fleet, "two")["vrf1"]["router_id"] == "203.0.113.2"
    assert (fleet.requests("one"), fleet.requests("two")) == (0, 2)


def test_devices_on_one_address_are_told_apart_by_port() -> None:
    address = f"{block()}.1"
    three = [device(f"d{n}", address, router_id=f"203.0.113.{n}") for n in range(1, 4)]
    with EosFleet.start(three) as fleet:
        assert len(set(fleet.addresses.values())) == 3
        for n in range(1, 4):
            assert read(fleet, f"d{n}")["vrf1"]["router_id"] == f"203.0.113.{n}"


def test_a_read_only_user_needs_no_enable(fleet: EosFleet) -> None:
    assert "vrf1" in read(fleet, force_no_enable=True)


def test_the_certificate_can_be_verified_with_the_ca(fleet: EosFleet) -> None:
    assert "vrf1" in read(fleet, context=ssl.create_default_context(cadata=fleet.ca_pem))
    with pytest.raises(pyeapi.eapilib.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        read(fleet, enforce_verification=True)


def test_an_address_that_is_taken_is_named_and_nothing_is_left_listening() -> None:
    net = block()
    with socket.create_server((f"{net}.2", 0)) as taken:
        port = taken.getsockname()[1]
        free = device("one", f"{net}.1", port=port)
        with pytest.raises(OSError, match=rf"two can't listen on {net}\.2:{port}"):
            EosFleet.start([free, device("two", f"{net}.2", port=port)])
        with socket.create_server((f"{net}.1", port)):
            pass


def test_two_devices_of_one_code_are_refused() -> None:
    net = block()
    with pytest.raises(ValueError, match="one"):
        EosFleet.start([device("one", f"{net}.1"), device("one", f"{net}.2")])


def test_stopping_twice_is_fine_and_ends_the_thread_even_while_a_client_waits() -> None:
    fleet = EosFleet.start([device("one", f"{block()}.1", fault=EosFault(DeviceFault.NO_ANSWER))])
    failures: list[BaseException] = []

    def wait() -> None:
        try:
            read(fleet, timeout=20)
        except pyeapi.eapilib.ConnectionError as error:
            failures.append(error)

    client = threading.Thread(target=wait)
    client.start()
    until(lambda: fleet.requests("one") > 0)
    fleet.stop()
    fleet.stop()
    client.join(10)
    assert failures
    assert not any(thread.name == "dzbgp-lab-eos" for thread in threading.enumerate())


def test_a_hundred_devices_start_and_answer_in_parallel() -> None:
    net = block()
    many = [device(f"d{n}", f"{net}.{n}", router_id=f"203.0.113.{n}") for n in range(1, 101)]
    with EosFleet.start(many) as fleet:
        codes = list(fleet.addresses)
        seen: dict[str, str] = {}

        def work(mine: list[str]) -> None:
            for code in mine:
                seen[code] = read(fleet, code)["vrf1"]["router_id"]

        threads = [threading.Thread(target=work, args=(codes[n::8],)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == {f"d{n}": f"203.0.113.{n}" for n in range(1, 101)}
