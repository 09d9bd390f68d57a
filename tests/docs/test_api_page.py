"""The examples of docs/api.md run as they stand, against the lab as if it were the real network."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e_lab import E2eLab, environment, started_lab
from pages import DOCS
from test_commands import furnish

from dzbgp.lab.world.world import LAB_PASSWORD, LAB_USERNAME

EXAMPLES = re.findall(
    r"## (In .*?)\n.*?```python\n(.*?)```", (DOCS / "api.md").read_text(encoding="utf-8"), re.DOTALL
)
PREFECT = """
def task(**_): return lambda function: function
def flow(function): return function
"""
"""Its decorators as far as the example needs them: the tests do without Prefect."""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[E2eLab]:
    with started_lab(tmp_path / "lab") as made:
        made.heal()
        yield made


@pytest.mark.parametrize("example", [text for _, text in EXAMPLES], ids=[title for title, _ in EXAMPLES])
def test_an_example_runs(lab: E2eLab, tmp_path: Path, example: str) -> None:
    furnish(lab, tmp_path)
    text = example.replace(
        'env="testnet"', f'env="localnet", rpc_urls=({lab.ledger.url!r},), confirm_down_s=0'
    )
    text = text.replace("/etc/dzbgp", f"{tmp_path}/etc").replace("/var/lib/dzbgp", f"{tmp_path}/var")
    script = tmp_path / "example.py"
    script.write_text(text, encoding="utf-8")
    (tmp_path / "prefect.py").write_text(PREFECT, encoding="ascii")
    login = {"DZBGP_EOS_USERNAME": LAB_USERNAME, "DZBGP_EOS_PASSWORD": LAB_PASSWORD}
    done = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env=environment(tmp_path / "home", **login),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_each_use_has_one_example() -> None:
    assert len(EXAMPLES) == 3
