import signal
import subprocess
import sys
from pathlib import Path

import pytest
from bgp_lab import require_real_bgp
from sandbox import Sandbox
from waiting import until

_MAKE_ONE = """
import sys
from sandbox import Sandbox
sandbox = Sandbox()
sandbox.run("ip netns add somebody; setsid sleep 600 >/dev/null 2>&1 & echo $!")
print(sandbox.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _real_bgp() -> None:
    require_real_bgp()


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def inside(pid: int) -> list[int]:
    """Every process of the PID namespace that `pid` is in."""
    namespace = Path(f"/proc/{pid}/ns/pid").readlink()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "ns/pid").readlink() == namespace:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def test_a_sandbox_ends_with_everything_in_it_when_its_maker_is_killed() -> None:
    here = Path(__file__).parent
    maker = subprocess.Popen(
        [sys.executable, "-c", _MAKE_ONE], cwd=here, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert maker.stdout is not None
    processes = inside(int(maker.stdout.readline()))
    assert len(processes) >= 2
    maker.send_signal(signal.SIGKILL)
    maker.communicate()
    until(lambda: not any(map(alive, processes)), "every process of the sandbox has ended")


def test_two_sandboxes_do_not_see_each_other() -> None:
    with Sandbox() as one, Sandbox() as another:
        for sandbox in (one, another):
            sandbox.run(
                "ip netns add vrf1; ip link add tunnel type veth peer name other; touch /run/frr/mine"
            )
        one.run("rm /run/frr/mine; ip link del tunnel; ip netns del vrf1")
        another.run("test -e /run/frr/mine; ip link show tunnel; ip -n vrf1 link")
    assert not Path("/run/netns/vrf1").exists()


def test_a_failure_inside_is_raised_with_what_was_said() -> None:
    with Sandbox() as sandbox, pytest.raises(AssertionError, match="no such thing"):
        sandbox.run("echo no such thing >&2; exit 3")
