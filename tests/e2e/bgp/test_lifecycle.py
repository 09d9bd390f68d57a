"""A session's life, from FRR and BIRD through the eAPI front and an unmodified NAPALM to the ledger's accounts."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from bgp_lab import FIRST, IBGP, SECOND, WRONG_ASN_USER, BgpLab, Switches, started_lab, two_switches

from dzbgp.lab.eos.fleet import DeviceFault
from dzbgp.models.ledger import BgpStatus

UP, DOWN, UNKNOWN = BgpStatus.UP, BgpStatus.DOWN, BgpStatus.UNKNOWN
KILLED, OTHER = 500, 501
"""Users of the first switch."""
WRONG = WRONG_ASN_USER[1]


@pytest.fixture(scope="module")
def switches() -> Iterator[Switches]:
    with two_switches() as running:
        yield running


@pytest.fixture
def lab(switches: Switches, tmp_path: Path) -> Iterator[BgpLab]:
    switches.heal()
    with started_lab(tmp_path, switches) as running:
        yield running


@pytest.fixture
def up(lab: BgpLab) -> BgpLab:
    """A lab whose users are Up onchain as they are on the switch."""
    for device, tunnel in lab.accounts():
        lab.set_onchain(tunnel, DOWN if (device, tunnel) == WRONG_ASN_USER else UP, device)
    return lab


@contextmanager
def watching_rtts(lab: BgpLab) -> Iterator[dict[tuple[str, int], list[float]]]:
    """Collects what the kernel says of every user's RTT, in nanoseconds, for as long as it is open."""
    seen: dict[tuple[str, int], list[float]] = {user: [] for user in lab.accounts()}
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            live = {code: switch.live() for code, switch in lab.switches.switches.items()}
            for (device, tunnel), rtts in seen.items():
                rtt_us = live[device].rtts.get(lab.peer(tunnel, device))
                if rtt_us is not None:
                    rtts.append(rtt_us * 1000)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield seen
    finally:
        over.set()
        looking.join()


def test_established_sessions_in_every_vrf_are_written_up_with_the_rtt_that_the_kernel_tells(
    lab: BgpLab,
) -> None:
    with watching_rtts(lab) as kernel:
        done = lab.run()
    assert done.code == 0, done.err
    for (device, tunnel), bgp in lab.accounts().items():
        if (device, tunnel) == WRONG_ASN_USER:
            continue
        rtts = kernel[device, tunnel]
        assert bgp.status is UP
        assert bgp.up_at == bgp.reported_at > lab.switches.world.now_slot
        assert min(rtts) / 3 <= bgp.rtt_ns <= max(rtts) * 3
    vrfs = {entry["vrf"] for entry in done.report["users"]}
    assert vrfs == {"default", "vrf1", "vrf2"}


def test_a_session_that_belongs_to_no_user_is_read_and_left_alone(lab: BgpLab) -> None:
    lab.switch().established(IBGP.peer)
    done = lab.run()
    devices = {device["code"]: device for device in done.report["devices"]}
    assert devices[SECOND]["users"] == 3
    assert devices[SECOND]["sessions"] == devices[SECOND]["established"] == 4
    assert set(lab.ledger.stats().per_user) == {spec.user.pubkey for spec in lab.switches.world.users}


def test_a_session_whose_remote_as_is_wrong_is_never_established_and_is_written_down(lab: BgpLab) -> None:
    lab.set_onchain(WRONG, UP)
    done = lab.run()
    assert lab.told(done, WRONG)["observed"] == "not_established"
    assert (lab.account(WRONG).status, lab.account(WRONG).rtt_ns) == (DOWN, 0)


def test_a_killed_daemon_is_written_down_with_rtt_0_and_up_again_when_it_is_back(up: BgpLab) -> None:
    before = up.accounts()
    assert before[FIRST, KILLED].rtt_ns > 0
    up.switch().kill(up.peer(KILLED))
    up.switch().down(up.peer(KILLED))
    done = up.run("--confirm-down", "1s")
    assert done.code == 0, done.err
    dead = up.account(KILLED)
    assert (dead.status, dead.rtt_ns, dead.up_at) == (DOWN, 0, before[FIRST, KILLED].up_at)
    assert up.accounts() == before | {(FIRST, KILLED): dead}

    up.switch().revive(up.peer(KILLED))
    up.switch().established(up.peer(KILLED))
    done = up.run()
    assert done.code == 0, done.err
    back = up.account(KILLED)
    assert back.status is UP
    assert back.rtt_ns > 0
    assert back.up_at == back.reported_at > dead.reported_at
    assert up.accounts() == before | {(FIRST, KILLED): back}


def test_a_neighbor_that_is_shut_down_on_the_switch_is_written_down_as_admin_down(up: BgpLab) -> None:
    up.switch().shut(up.peer(KILLED))
    done = up.run()
    told = up.told(done, KILLED)
    assert (told["reason"], told["observed"]) == ("changed", "not_established")
    assert "admin-down" in told["detail"]
    assert (up.account(KILLED).status, up.account(KILLED).rtt_ns) == (DOWN, 0)
    assert up.account(OTHER).status is UP


def test_a_tunnel_that_is_removed_while_it_is_up_onchain_is_written_down(up: BgpLab) -> None:
    up.switch().remove(up.peer(KILLED))
    done = up.run()
    assert up.told(done, KILLED)["observed"] == "absent"
    assert (up.account(KILLED).status, up.account(KILLED).rtt_ns) == (DOWN, 0)
    assert up.account(OTHER).status is UP


def test_nothing_is_written_about_a_tunnel_that_is_removed_while_it_is_down_onchain(up: BgpLab) -> None:
    up.switch().remove(up.peer(KILLED))
    up.set_onchain(KILLED, DOWN)
    before = up.accounts()
    done = up.run()
    assert (done.code, up.told(done, KILLED)["reason"]) == (0, "absent")
    assert up.accounts() == before
    assert up.ledger.stats().transactions_executed == 0


def test_nothing_is_written_about_a_flap_that_is_shorter_than_the_grace_period(up: BgpLab) -> None:
    grace = ("--down-grace-period", "10m")
    before = up.accounts()
    assert up.run(*grace).code == 0
    up.switch().kill(up.peer(KILLED))
    up.switch().down(up.peer(KILLED))
    during = up.run(*grace)
    assert (during.code, up.told(during, KILLED)["reason"]) == (0, "grace")
    up.switch().revive(up.peer(KILLED))
    up.switch().established(up.peer(KILLED))
    after = up.run(*grace)
    assert (after.code, up.told(after, KILLED)["reason"]) == (0, "unchanged")
    assert up.accounts() == before
    assert up.ledger.stats().transactions_executed == 0


def test_nothing_is_written_about_a_switch_whose_bgp_daemon_is_dead_and_it_is_suspect(up: BgpLab) -> None:
    before = up.accounts()
    up.switch().kill_bgp()
    done = up.run("--limit", FIRST)
    (device,) = done.report["devices"]
    assert (done.code, device["result"]) == (3, "suspect")
    assert "no BGP at all" in device["error"]
    assert {user["reason"] for user in done.report["users"]} == {"suspect-device"}
    assert up.accounts() == before
    assert up.ledger.stats().transactions_executed == 0


@pytest.mark.parametrize("fault", [DeviceFault.REFUSE, DeviceFault.NO_ANSWER])
def test_nothing_is_written_about_a_switch_that_can_not_be_reached(up: BgpLab, fault: DeviceFault) -> None:
    before = up.accounts()
    up.switch().kill(up.peer(KILLED))
    up.front.set_fault(FIRST, fault)
    done = up.run("--limit", FIRST)
    (device,) = done.report["devices"]
    assert (done.code, device["result"]) == (3, "failed")
    assert {user["reason"] for user in done.report["users"]} == {"no-answer"}
    assert up.accounts() == before
    assert up.ledger.stats().transactions_executed == 0


def test_the_users_of_one_switch_are_written_while_the_other_switch_is_down(lab: BgpLab) -> None:
    lab.switch(SECOND).kill(lab.peer(501, SECOND))
    lab.switch(SECOND).down(lab.peer(501, SECOND))
    lab.front.set_fault(FIRST, DeviceFault.REFUSE)
    done = lab.run()
    assert done.code == 3
    assert lab.statuses(SECOND) == {500: UP, 501: DOWN, 502: UP}
    assert set(lab.statuses(FIRST).values()) == {UNKNOWN}
