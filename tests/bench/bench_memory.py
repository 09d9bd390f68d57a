"""What a pass over a large fleet takes at its peak: the command in a process of its own, as cron starts it."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from goals import Row, Table
from rig import rig

DEVICES, USERS, WORKERS = 1_000, 128, 20
_PEAK = """
import atexit, re, sys
from pathlib import Path

def peak():
    # Not ru_maxrss: that of the parent at the time of its fork is part of it.
    print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1], file=sys.stderr)

atexit.register(peak)
from dzbgp.cli.app import main
main()
"""


def bench() -> Table:
    with tempfile.TemporaryDirectory() as directory, rig(Path(directory), DEVICES, USERS) as place:
        words = [
            "run",
            "--inventory",
            str(place.inventory),
            "--env",
            "localnet",
            "--rpc-url",
            place.url,
            "--dry-run",
            "--output",
            "table",
        ]
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                _PEAK,
                *words,
                "--workers",
                str(WORKERS),
                "--quiet",
                "--confirm-down",
                "0s",
            ],
            env=os.environ | {"HOME": directory},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"{DEVICES} devices" in done.stdout.replace(",", ""), done.stdout[-500:]
    peak = int(done.stderr.split()[-1]) // 1024
    table = Table(
        f"Memory: one dry run over {DEVICES:,} devices with {USERS} users", "the peak of its resident set"
    )
    table.rows = [
        Row(
            f"peak RSS, {DEVICES:,} devices with {USERS} users", f"{peak} MiB", "400 MB", peak * 2**20 < 400e6
        )
    ]
    return table
