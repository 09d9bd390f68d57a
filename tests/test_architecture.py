"""What import-linter (pyproject.toml) cannot say of imports: what is loaded when."""

import subprocess
import sys

import pytest

SLOW = (
    "napalm",
    "nornir",
    "netmiko",
    "pyeapi",
    "solana",
    "solders",
    "httpx2",
    "distributed",
    "sqlite3",
    "jinja2",
)


def loaded_by(statement: str) -> set[str]:
    """The slow packages that a fresh interpreter has loaded after a statement."""
    code = f"import sys; {statement}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split()) & set(SLOW)


@pytest.mark.parametrize("module", ["dzbgp", "dzbgp.cli.app", "dzbgp.fleet", "dzbgp.ledger", "dzbgp.run"])
def test_what_every_command_imports_is_light(module: str) -> None:
    assert loaded_by(f"import {module}") == set()


def test_only_a_run_on_a_cluster_loads_the_extra() -> None:
    assert "distributed" not in loaded_by("import dzbgp.run.service, dzbgp.run.once, dzbgp.fleet.dask.runner")
