"""Namespaces that die with whoever made them.

A sandbox has a PID, a mount and a network namespace of its own. Its first process waits for the end of its standard
input, which comes when the test closes it and also when the test is killed; with the first process the kernel ends
all others, and takes the mounts, the network namespaces and their interfaces away. So nothing has a name that
another run could meet, and there is nothing to clean up.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

DEADLINE_S = 30
_UNSHARE = ("unshare", "--mount", "--net", "--pid", "--fork")
NEEDED = ("unshare", "nsenter", "ip", "ss", "vtysh", "bird", "/usr/lib/frr/zebra", "/usr/lib/frr/bgpd")

# SIGCHLD ignored: the daemons' orphans are reaped by the kernel.
_FIRST = """
import signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("ready", flush=True)
sys.stdin.read()
"""

# Where FRR's and BIRD's files are, and nothing of the machine's own.
_PRIVATE = """
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /etc/frr
mkdir -p /run/netns /run/frr
touch /etc/frr/vtysh.conf
chown frr:frr /run/frr
ip link set lo up
"""


def missing() -> str | None:
    """What this machine lacks for real BGP; None: nothing."""
    lacking = [tool for tool in NEEDED if shutil.which(tool) is None]
    if os.geteuid() != 0:
        return "real BGP in network namespaces needs root"
    if lacking:
        return f"real BGP needs {', '.join(lacking)} (apt-get install frr bird2 iproute2)"
    probe = subprocess.run(
        [*_UNSHARE, "true"],
        check=False,
        capture_output=True,
        text=True,
    )
    return f"no namespaces can be made here: {probe.stderr.strip()}" if probe.returncode else None


class Sandbox:
    """A set of namespaces. A context manager: leaving it ends every process inside."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(
            [*_UNSHARE, "--kill-child", "--mount-proc", sys.executable, "-Ic", _FIRST],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "ready\n", "no namespaces"
        holder = self._holder.pid
        self.pid = int(Path(f"/proc/{holder}/task/{holder}/children").read_text(encoding="ascii"))
        """The first process, as the machine sees it."""
        self.run(_PRIVATE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._holder.kill()
        self._holder.communicate()

    def attempt(self, script: str) -> "subprocess.CompletedProcess[str]":
        """Runs a shell script inside."""
        enter = ["nsenter", "--target", str(self.pid), "--mount", "--net", "--pid"]
        return subprocess.run(
            [*enter, "sh", "-euc", script],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )

    def run(self, script: str) -> str:
        """Runs a shell script that must succeed, and gives what it printed."""
        done = self.attempt(script)
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout

    def write(self, path: str, text: str) -> None:
        """Write a file inside."""
        Path(f"/proc/{self.pid}/root{path}").write_text(text, encoding="utf-8")

    def kill(self, *pidfiles: str) -> None:
        """Kills the processes that files inside name, all at once, and waits until they are gone."""
        files = " ".join(pidfiles)
        self.run(
            f"pids=$(cat {files}); kill -9 $pids; for pid in $pids; do "
            f"while kill -0 $pid 2>/dev/null; do sleep 0.02; done; done; rm {files}"
        )
