"""What import-linter (pyproject.toml) cannot say: what is loaded when, one class a name, a face for each package."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

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


def test_no_two_classes_share_a_name() -> None:
    places: dict[str, list[str]] = {}
    for file in sorted((ROOT / "dzbgp").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(str(file.relative_to(ROOT)))
    assert not {name: files for name, files in places.items() if len(files) > 1}


def test_no_path_of_a_person_is_expanded_by_what_raises_for_an_unknown_user() -> None:
    for file in sorted((ROOT / "dzbgp").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr == "expanduser":
                assert ast.unparse(node.value) == "os.path", file


def test_every_package_says_what_is_in_it_and_where_to_start() -> None:
    for file in sorted((ROOT / "dzbgp").rglob("__init__.py")):
        summary, _, more = (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").partition(
            "\n\n"
        )
        assert summary.endswith("."), file
        assert more.endswith(".") or file.parent.parent != ROOT / "dzbgp", file
