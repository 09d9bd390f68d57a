"""The pages say what the program says."""

import ast
import re
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from command_tree import every_word
from configuration_page import page
from pages import DOCS, PAGES, README, blocks, shown

import dzbgp.errors
import dzbgp.ledger.errors
from dzbgp.decision.guard import LONG_HELD_S
from dzbgp.decision.rules import Rules
from dzbgp.eos.eapi import PORTS
from dzbgp.errors import DzbgpError
from dzbgp.models.session import Neighbor, Seen, Vrf
from dzbgp.run.request import WatchRequest

PACKAGE = DOCS.parent / "dzbgp"
ERRORS = {
    name
    for module in (dzbgp.errors, dzbgp.ledger.errors)
    for name, kind in vars(module).items()
    if isinstance(kind, type) and issubclass(kind, DzbgpError)
}
DECIDING = (
    "decision/policy",
    "decision/resolver",
    "decision/guard",
    "decision/second_look",
    "run/job",
    "run/plan",
    "run/authorize",
    "run/decider",
    "run/recheck",
    "run/early_refresh",
)
OTHERS_OPTIONS = {
    "--account-index",
    "--bgp-status-enable",
    "--from-file",
    "--help",
    "--install-completion",
    "--show-completion",
    "--version",
    "--host",
    "--protocol",
    "--no-deps",
    "--metrics-publisher",
    "--replicas",
    "--collector",
}
"""Of dzbgp itself, and of Solana's node, Dask, pip, kubectl, node_exporter, the agent and DoubleZero's command line."""
NO_REASONS = {"big", "default", "g", "h", "min", "s", "user", "users", "vrf"}
"""Words of the deciding modules that are no reason."""


def read(name: str) -> str:
    return " ".join((DOCS / name).read_text(encoding="utf-8").split())


def test_the_page_of_options_is_that_of_the_commands() -> None:
    assert (DOCS / "configuration.md").read_text(encoding="utf-8") == page(), "make docs"


def test_a_part_of_a_shipped_file_stands_in_it_as_the_page_shows_it() -> None:
    parts = [part for page in PAGES for part in shown(page)]
    assert len({name for name, _ in parts}) >= len(("systemd", "cron", "github", "gitlab", "kubernetes"))
    for name, part in parts:
        lines = [line.strip() for line in (DOCS.parent / name).read_text(encoding="utf-8").splitlines()]
        wanted = [line.strip() for line in part.splitlines()]
        assert any(lines[at : at + len(wanted)] == wanted for at in range(len(lines))), f"{name}: {part}"


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda page: page.name)
def test_every_shipped_file_that_a_page_names_exists(page: Path) -> None:
    for name in re.findall(r"contrib/[\w./-]*\w", page.read_text(encoding="utf-8")):
        assert (DOCS.parent / name).exists(), name


def spellings() -> set[str]:
    """Every spelling of an option of any command."""
    return {
        one
        for command in every_word().values()
        for option in command.params
        for one in (*option.opts, *option.secondary_opts)
    }


@pytest.mark.parametrize("file", [README, *PAGES], ids=lambda file: f"{file.parent.name}/{file.name}")
def test_every_option_that_a_page_names_exists(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    commands = [line for block in blocks(file) for line in block.text.splitlines() if "dzbgp " in line]
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    named = {
        option
        for words in (*commands, *inline)
        if words.startswith("--") or "dzbgp " in words
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", words.partition("dzbgp ")[2] or words)
    }
    assert named <= spellings() | OTHERS_OPTIONS, file.name


def pieces(node: ast.AST) -> Iterator[str]:
    """The literal pieces of a message."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        for part in node.values:
            yield from pieces(part)


def messages() -> Iterator[tuple[str, str]]:
    """The file and the longest literal piece of every error that ends a command."""
    for file in sorted(PACKAGE.rglob("*.py")):
        if "solana" in file.parent.parts:
            continue  # the simulated ledger's own answers
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            kind = node.func
            if isinstance(kind, ast.Name) and kind.id in ERRORS and node.args:
                found = [piece.strip(" :;,.") for piece in pieces(node.args[0])]
                longest = max(found, key=len, default="")
                if len(longest) > 3:
                    yield str(file.relative_to(PACKAGE)), longest


def test_every_error_message_is_in_the_page_for_trouble() -> None:
    told = read("troubleshooting.md").replace("`", "")
    found = list(messages())
    assert len(found) > 80
    missing = [(file, text) for file, text in found if " ".join(text.split()).replace("`", "") not in told]
    assert not missing, "\n".join(map(str, missing))


def test_every_cause_of_a_device_that_can_not_be_read_is_in_the_page_for_trouble() -> None:
    told = read("troubleshooting.md").replace("`", "")
    tree = ast.parse((PACKAGE / "eos" / "errors.py").read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    texts = {
        " ".join(piece.split()).strip(" :(").replace("`", "")
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.Constant | ast.JoinedStr)
        and node is not getattr(function.body[0], "value", None)
        for piece in pieces(node)
    }
    causes = {text for text in texts if len(text.split()) > 2 and text != "unexpected keyword argument"}
    assert len(causes) > 15
    missing = sorted(cause for cause in causes if cause not in told)
    assert not missing, "\n".join(missing)


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]


@pytest.mark.parametrize("file", [README, *PAGES], ids=lambda file: f"{file.parent.name}/{file.name}")
def test_every_row_of_a_table_has_the_cells_of_its_head(file: Path) -> None:
    text = re.sub(r"```.*?```", "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        head, *rows = table.splitlines()
        assert not [row for row in rows if len(cells(row)) != len(cells(head))]


def test_messages_with_the_same_cause_and_remedy_share_a_row() -> None:
    lines = (DOCS / "troubleshooting.md").read_text(encoding="utf-8").splitlines()
    rows = [cells(line) for line in lines]
    assert not [row for row, after in pairwise(rows) if row and row[1:] == after[1:]]


def test_every_reason_that_the_code_gives_is_explained_and_no_other() -> None:
    text = (DOCS / "decisions.md").read_text(encoding="utf-8").partition("## Reasons")[2]
    explained = set(re.findall(r"^\| `([a-z-]+)` \|", text, re.MULTILINE))
    given = set()
    for name in (
        *DECIDING,
        "models/session",
        "models/decision",
        "run/watch",
        "run/submit_queue",
        "ledger/submit/submitter",
        "state/memory",
    ):
        for node in ast.walk(ast.parse((PACKAGE / f"{name}.py").read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                given.add(node.value)
    assert explained <= given, explained - given
    words = set()
    for name in DECIDING:
        for node in ast.walk(ast.parse((PACKAGE / f"{name}.py").read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                words |= {node.value} if re.fullmatch(r"[a-z]+(-[a-z]+)*", node.value) else set()
    assert words - NO_REASONS - explained == set()


def test_the_page_on_the_guard_says_how_long_a_mass_is_held() -> None:
    rules, interval_s = Rules(), WatchRequest().interval_s
    passes_s = max(rules.guard_spacing_s, interval_s) * (rules.guard_passes - 1)
    every = [
        re.search(pattern, (DOCS.parent / name).read_text(encoding="utf-8"), re.MULTILINE)
        for name, pattern in (
            ("contrib/cron/dzbgp", r"^\*/(\d+) \* \* \* \* "),
            ("contrib/systemd/dzbgp-run.timer", r"^OnCalendar=\*:0/(\d+)$"),
        )
    ]
    ((minutes,),) = {found.groups() for found in every if found}
    # The second pass is that far from the first, or a moment less: then it is the third.
    assert int(minutes) * 60 == LONG_HELD_S
    text = read("guard.md")
    assert f"| watch: systemd, Kubernetes | about {passes_s / 60:.0f} minutes after" in text
    assert f"| cron, the systemd timer | {minutes} or {2 * int(minutes)} minutes after" in text
    assert f"A larger `--guard-passes` gives a watch up to {LONG_HELD_S / 60:.0f} minutes." in text


def test_the_pages_say_that_nothing_is_dampened_by_default() -> None:
    assert Rules().flap_limit == 0
    for file in (README, DOCS / "should-i-run-this.md", DOCS / "decisions.md"):
        text = " ".join(file.read_text(encoding="utf-8").split())
        assert re.search(r"`--flap-limit N` \(off by default\)", text), file.name


def test_the_page_on_the_inventory_names_every_transport() -> None:
    table = (
        (DOCS / "inventory.md")
        .read_text(encoding="utf-8")
        .partition("| `transport` |")[2]
        .partition("\n\n")[0]
    )
    assert set(re.findall(r"`(https?\w*|ssh)`(?=[^|]*\|[^|]*\|$)", table, re.MULTILINE)) == {*PORTS, "ssh"}


def test_no_page_is_wider_than_it_reads_well() -> None:
    for file in DOCS.glob("*.md"):
        in_block = False
        for line in file.read_text(encoding="utf-8").splitlines():
            in_block ^= line.startswith("```")
            assert in_block or line.startswith("|") or len(line) <= 140, f"{file.name}: {line}"


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name != "README.md"], ids=lambda page: page.name
)
def test_a_page_says_first_for_whom_it_is_and_what_they_have_at_its_end(page: Path) -> None:
    first = " ".join(page.read_text(encoding="utf-8").split("\n\n")[1].split())
    assert re.match(r"For [^.]+\. At the end of (this page|its row) ", first), first


def test_the_page_on_performance_says_what_each_benchmark_measures() -> None:
    told = re.findall(
        r"^\| `(\w+)` \| [^|]+ \|$", (DOCS / "performance.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert told == sorted(file.stem[6:] for file in (DOCS.parent / "tests/bench").glob("bench_*.py"))


def test_the_readme_leads_to_the_pages() -> None:
    assert "(docs/README.md)" in (Path(DOCS.parent) / "README.md").read_text(encoding="utf-8")


def test_the_page_on_the_architecture_names_files_that_exist_and_the_layers_that_are_checked() -> None:
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:dzbgp|tasks|tests)/[\w./]*)`", text))
    assert len(named) > 30
    assert not [name for name in named if not (DOCS.parent / name).exists()]
    contracts = tomllib.loads((DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
        "importlinter"
    ]
    (layers,) = [one["layers"] for one in contracts["contracts"] if one["type"] == "layers"]
    assert "```text\n" + "\n".join(layers) + "\n```" in text


def test_the_page_on_the_architecture_says_what_a_reader_of_devices_returns() -> None:
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?:`(\w+)` )?\| (`\w+`(?:, `\w+`)*) \| .* \|$", text, re.MULTILINE)
    told: dict[str, list[str]] = {}
    record = ""
    for name, fields in rows:
        record = name or record
        told.setdefault(record, []).extend(re.findall(r"\w+", fields))
    assert told == {kind.__name__: [*kind.__match_args__] for kind in (Seen, Vrf, Neighbor)}
