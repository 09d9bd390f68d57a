"""A short run of every target under atheris.

A long one: python tests/fuzz/atheris_fuzz.py eapi -max_total_time=3600
"""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import targets

HERE = Path(__file__).parent
SECONDS = 5
LIMITS = ("-rss_limit_mb=1024", "-timeout=10", "-max_len=400")


@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris is not for this Python or system"
)
@pytest.mark.parametrize("target", targets.TARGETS)
def test_coverage_leads_to_no_input_that_breaks_a_target(tmp_path: Path, target: str) -> None:
    done = subprocess.run(
        [sys.executable, HERE / "atheris_fuzz.py", target, f"-max_total_time={SECONDS}", *LIMITS],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    found = [file.read_bytes() for file in tmp_path.iterdir()]
    assert (done.returncode, found) == (0, []), done.stdout + done.stderr
