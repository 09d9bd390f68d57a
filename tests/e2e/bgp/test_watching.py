"""`dzbgp watch` across the whole life of sessions, with a pass every 2 s, ending in the right state."""

import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from bgp_lab import FIRST, SECOND, WRONG_ASN_USER, Bgp, BgpLab, Switches, started_lab, two_switches
from e2e_lab import began
from waiting import until

from dzbgp.lab.eos.fleet import DeviceFault
from dzbgp.models.ledger import BgpStatus

UP, DOWN = BgpStatus.UP, BgpStatus.DOWN
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


@dataclass
class Watching:
    """A running `dzbgp watch` and what it has logged."""

    process: "subprocess.Popen[str]"
    lines: list[str] = field(default_factory=list)

    @property
    def passes(self) -> int:
        return sum(" pass result=" in line for line in self.lines)

    def two_more_passes(self) -> None:
        """Waits until a pass that began after this call has ended."""
        wanted = self.passes + 2
        until(lambda: self.passes >= wanted or self.process.poll() is not None, "two passes")
        assert self.process.poll() is None, "\n".join(self.lines)

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


@contextmanager
def watching(lab: BgpLab) -> Iterator[Watching]:
    process = began(lab.home, "watch", *lab.args, "--interval", "2s", "--confirm-down", "500ms")
    running = Watching(process)

    def read() -> None:
        assert process.stderr is not None
        running.lines.extend(process.stderr)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield running
    finally:
        process.kill()
        process.wait()
        reader.join(10)


def test_watch_follows_kills_shutdowns_removals_and_dead_switches_into_the_right_state(lab: BgpLab) -> None:
    switch, other = lab.switch(), lab.switch(SECOND)
    all_up = {tunnel: DOWN if tunnel == WRONG else UP for tunnel in lab.statuses()}
    with watching(lab) as watch:
        _until_statuses(lab, all_up, {500: UP, 501: UP, 502: UP})
        came_up = lab.accounts()

        # A daemon killed, a neighbor shut, a neighbor removed, all at once; and all of them back.
        switch.kill(lab.peer(500), lab.peer(504))
        switch.shut(lab.peer(501))
        switch.remove(lab.peer(505))
        _until_statuses(lab, all_up | dict.fromkeys((500, 501, 504, 505), DOWN))
        assert {lab.account(tunnel).rtt_ns for tunnel in (500, 501, 504, 505)} == {0}
        switch.heal()
        _until_statuses(lab, all_up)
        for tunnel in (500, 501, 504, 505):
            assert lab.account(tunnel).up_at > came_up[FIRST, tunnel].up_at
        for tunnel in (502, 503, 506, WRONG):
            assert lab.account(tunnel) == came_up[FIRST, tunnel]

        # One switch's BGP is dead: nothing is written there, and the other's users are.
        switch.kill_bgp()
        before = lab.accounts()
        other.kill(lab.peer(501, SECOND))
        _until_statuses(lab, all_up, {500: UP, 501: DOWN, 502: UP})
        watch.two_more_passes()
        assert _of(FIRST, lab) == {key: bgp for key, bgp in before.items() if key[0] == FIRST}
        switch.heal()
        # A pass may have looked before all sessions were back: what it writes must be over.
        watch.two_more_passes()
        _until_statuses(lab, all_up)

        # One device cannot be reached, while a session of the other comes back.
        lab.front.set_fault(FIRST, DeviceFault.REFUSE)
        watch.two_more_passes()
        before = lab.accounts()
        switch.kill(lab.peer(506))
        other.heal()
        _until_statuses(lab, all_up, {500: UP, 501: UP, 502: UP})
        watch.two_more_passes()
        assert _of(FIRST, lab) == {key: bgp for key, bgp in before.items() if key[0] == FIRST}
        lab.front.set_fault(FIRST, None)
        _until_statuses(lab, all_up | {506: DOWN})

        # Nothing more happens, and so nothing more is written.
        settled = lab.accounts()
        watch.two_more_passes()
        assert watch.end() == 0, "\n".join(watch.lines)
    assert lab.accounts() == settled
    assert not [line for line in watch.lines if "Traceback" in line or "internal error" in line]


def _of(device: str, lab: BgpLab) -> dict[tuple[str, int], Bgp]:
    return {key: bgp for key, bgp in lab.accounts().items() if key[0] == device}


def _until_statuses(
    lab: BgpLab, first: dict[int, BgpStatus], second: dict[int, BgpStatus] | None = None
) -> None:
    until(
        lambda: lab.statuses(FIRST) == first and (second is None or lab.statuses(SECOND) == second),
        f"{first} and {second}",
    )
