"""Imports point one way, as docs/architecture.md says."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts): file
    for package in ("dzbgp", "tasks")
    for file in (ROOT / package).rglob("*.py")
}
NORNIR = ("nornir", "nornir_napalm", "napalm", "pyeapi", "netmiko")


def imported(module: str) -> set[str]:
    """Everything that a module imports, wherever in it, but for what only a type checker does."""
    found: set[str] = set()
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    return found


def importers(*names: str) -> set[str]:
    """The modules that import any of these packages."""
    heads = tuple(f"{name}." for name in names)
    return {
        module for module in MODULES if any(one in names or one.startswith(heads) for one in imported(module))
    }


def test_models_and_errors_are_at_the_bottom() -> None:
    for module in ("dzbgp.models.ledger", "dzbgp.errors"):
        own = {name for name in imported(module) if name.startswith(("dzbgp", "tasks"))}
        assert all(name.startswith(("dzbgp.models.ledger", "dzbgp.errors")) for name in own), own


@pytest.mark.parametrize("module", ["resolver", "policy", "guard", "memory"])
def test_what_decides_is_given_everything(module: str) -> None:
    names = imported(f"dzbgp.{module}")
    refused = (*NORNIR, "solana", "dzbgp.ledger", "dzbgp.fleet.fleet", "tasks", "sqlite3", "httpx2")
    assert not {name for name in names if name.split(".")[0] in refused or name.startswith(refused)}


def test_only_the_ledgers_side_speaks_to_solana() -> None:
    assert all(module.startswith("dzbgp.ledger.") for module in importers("solana"))


def test_only_what_is_near_the_devices_knows_nornir_and_napalm() -> None:
    near = (
        "tasks.",
        "dzbgp.diagnostics.check.",
        "dzbgp.fleet.dask.",
        "dzbgp.device_",
        "dzbgp.eos.eapi",
        "dzbgp.fleet.fleet",
        "dzbgp.inventor",
        "dzbgp.lab.",
    )
    assert not {module for module in importers(*NORNIR) if not module.startswith(near)}


def test_nothing_but_the_commands_starts_the_lab_and_nothing_imports_the_command_line() -> None:
    users = {module for module in importers("dzbgp.lab") if not module.startswith("dzbgp.lab.")}
    assert users == {"dzbgp.cli.app", "dzbgp.run.setup"}
    assert importers("dzbgp.cli.app") == {"dzbgp.__main__"}


def test_the_cluster_knows_of_no_ledger_and_no_device_and_only_its_worker_needs_the_extra_at_once() -> None:
    known = {name for module in MODULES if module.startswith("dzbgp.fleet.dask") for name in imported(module)}
    own = {name for name in known if name.startswith(("dzbgp", "tasks", "napalm", "solders"))}
    assert {name for name in own if not name.startswith(("dzbgp.fleet.dask", "dzbgp.errors"))} <= {"dzbgp"}
    users = {
        "dzbgp.fleet.dask.payload",
        "dzbgp.fleet.dask.runner",
        "dzbgp.fleet.dask.worker",
        "dzbgp.fleet.runner",
    }
    assert importers("distributed", "dask", "cloudpickle") <= users
