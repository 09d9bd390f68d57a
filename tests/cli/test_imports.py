"""What the command line must not import before it is needed: whoever asks for help or completion does not wait."""

import os
import subprocess
import sys

import pytest

HEAVY = {
    "numpy",
    "dask",
    "distributed",
    "napalm",
    "pyeapi",
    "nornir",
    "solders",
    "solana",
    "pandas",
    "jinja2",
}
CALL = """
import sys, contextlib
sys.argv = ["dzbgp", *sys.argv[1:]]
from dzbgp.cli.app import app
with contextlib.suppress(BaseException):
    app()
sys.stderr.write("\\nMODULES " + " ".join(sys.modules))
"""


def imported(*words: str, **environ: str) -> tuple[str, set[str]]:
    """Return stdout, and the top-level modules that a call of the command line has imported."""
    done = subprocess.run(
        [sys.executable, "-c", CALL, *words],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | environ,
        timeout=60,
    )
    return done.stdout, {name.partition(".")[0] for name in done.stderr.split("MODULES ")[1].split()}


@pytest.mark.parametrize("words", [("--help",), ("run", "--help"), ("watch", "--help"), ("users", "--help")])
def test_help_imports_nothing_that_is_heavy(words: tuple[str, ...]) -> None:
    said, modules = imported(*words)
    assert "Usage" in said
    assert modules & HEAVY == set()


def test_completion_imports_nothing_that_is_heavy() -> None:
    said, modules = imported(
        _DZBGP_COMPLETE="complete_bash", COMP_WORDS="dzbgp watch --ledger", COMP_CWORD="2"
    )
    assert "--ledger-interval" in said
    assert modules & HEAVY == set()


def test_a_listing_imports_neither_what_asks_devices_nor_what_computes() -> None:
    _, modules = imported("users", "--env", "localnet", "--rpc-url", "http://127.0.0.1:9")
    assert modules & {"numpy", "dask", "distributed", "napalm", "pyeapi", "pandas", "jinja2"} == set()
    assert "msgspec" in modules, "it came as far as the ledger"
