"""The simulation as a test: fresh seeds, and all that ever failed."""

import contextlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
SECONDS = float(os.environ.get("SIMULATE_SECONDS", "90"))


COMMAND = [sys.executable, "-m", "simulation"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), str(ROOT)])}


def simulate(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS + 300,
    )


def test_every_invariant_holds_on_fresh_seeds_and_on_all_that_ever_failed() -> None:
    done = simulate("--seconds", str(SECONDS))
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-4_000:]


def test_one_seed_gives_one_history() -> None:
    for seed in ("5", "26"):
        first, second = simulate("--seed", seed), simulate("--seed", seed)
        # Each run has a directory of its own, which messages name.
        told = [re.sub(r"simulation-\w+", "simulation", one.stdout) for one in (first, second)]
        assert told[0] == told[1]
        assert len(first.stdout.splitlines()) > 50


def test_what_simulates_for_one_that_was_ended_ends_too() -> None:
    parent = subprocess.Popen([*COMMAND, "--seconds", "3600", "--jobs", "1"], cwd=ROOT, env=ENVIRONMENT)
    workers: list[psutil.Process] = []
    try:
        until = time.monotonic() + 60
        while not workers and time.monotonic() < until:
            workers = psutil.Process(parent.pid).children()
            time.sleep(0.05)
        parent.kill()
        parent.wait()
        assert workers
        assert not psutil.wait_procs(workers, timeout=60)[1]
    finally:
        for worker in workers:
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.kill()
