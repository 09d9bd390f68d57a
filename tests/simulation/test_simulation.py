"""The simulation as a test: fresh seeds, and all that ever failed."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECONDS = float(os.environ.get("SIMULATE_SECONDS", "90"))


def simulate(*words: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT / "tests"), str(ROOT)])
    return subprocess.run(
        [sys.executable, "-m", "simulation", *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
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
