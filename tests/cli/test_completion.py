"""What the shell is told completes a line."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from dzbgp.cli.app import app
from dzbgp.cli.commands import ENTRIES
from dzbgp.cli.help import Completable

INVENTORY = """---
# hosts
ams-dz-001:
  hostname: 192.0.2.1
"ams-dz-002": {hostname: 192.0.2.2}
fra-dz-001: &fra
    data: {a: b}
"""


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    (tmp_path / "hosts.yaml").write_text(INVENTORY, encoding="utf-8")
    return tmp_path


def completed(line: str, shell: str = "bash", **environ: str) -> list[str]:
    """Return the words for the end of this line."""
    told = {"_DZBGP_COMPLETE": f"complete_{shell}", "COMP_WORDS": line, "_TYPER_COMPLETE_ARGS": line}
    told |= {"COMP_CWORD": str(line.count(" ")), "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    code = "import sys; sys.argv = ['dzbgp']; from dzbgp.cli.app import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | told | environ,
    )
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1] if done.stdout.strip() else []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("dzbgp wa", ["watch"]),
        ("dzbgp inventory tr", ["trust"]),
        ("dzbgp run --env m", ["mainnet-beta"]),
        ("dzbgp check --env lo", ["localnet"]),
        ("dzbgp users --status susp", ["suspended"]),
        ("dzbgp users --status activated,susp", ["activated,suspended"]),
        ("dzbgp devices --status drai", ["drained"]),
        ("dzbgp inventory --status drai", ["drained"]),
        ("dzbgp users --bgp-status ", ["unknown", "up", "down"]),
        ("dzbgp users --columns tunnel_", ["tunnel_id", "tunnel_net", "tunnel_endpoint"]),
        ("dzbgp devices --sort publisher_", ["publisher_key_held"]),
        ("dzbgp users --output ", ["table", "tsv", "json", "csv"]),
        ("dzbgp run --output js", ["json"]),
        ("dzbgp run --commitment f", ["finalized"]),
    ],
)
def test_words_that_are_known_are_completed(line: str, words: list[str]) -> None:
    assert completed(line) == words


def test_hosts_come_from_the_inventory_of_the_line(inventory: Path) -> None:
    line = f"dzbgp run --inventory {inventory} --limit "
    assert completed(line) == ["ams-dz-001", "ams-dz-002", "fra-dz-001"]
    assert completed(f"{line}fra-dz-001,a") == ["fra-dz-001,ams-dz-001", "fra-dz-001,ams-dz-002"]


def test_hosts_come_from_the_inventory_of_the_environment_or_the_configuration(inventory: Path) -> None:
    assert completed("dzbgp run --limit f", DZBGP_INVENTORY=str(inventory)) == ["fra-dz-001"]
    (inventory / "c.toml").write_text('inventory = "nornir.yaml"', encoding="utf-8")
    (inventory / "nornir.yaml").write_text(
        "inventory:\n  options:\n    host_file: hosts.yaml\n", encoding="utf-8"
    )
    assert completed(f"dzbgp watch --config {inventory / 'c.toml'} --limit f") == ["fra-dz-001"]


def test_an_inventory_that_cannot_be_read_completes_nothing(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('inventory = "~nobody-knows/x"', encoding="utf-8")
    assert completed(f"dzbgp run --config {tmp_path / 'c.toml'} --limit a") == []
    assert completed(f"dzbgp run --inventory {tmp_path} --limit a") == []
    (tmp_path / "hosts.yaml").write_bytes(b"\xff: a")
    assert completed(f"dzbgp run --inventory {tmp_path} --limit a") == []


def keep_users(file: Path, *users: str) -> None:
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE users (user TEXT)")
        database.executemany("INSERT INTO users VALUES (?)", [(user,) for user in users])


def test_users_come_from_the_state_file(tmp_path: Path) -> None:
    keep_users(tmp_path / "x.sqlite", "Aaa", "Abb", "Bcc")
    (tmp_path / "y.sqlite").write_bytes(b"not a database")
    os.mkfifo(tmp_path / "z.sqlite")
    for line in ("users --user A", "history --user A", "explain A"):
        assert completed(f"dzbgp {line}", STATE_DIRECTORY=str(tmp_path)) == ["Aaa", "Abb"]
    assert completed(f"dzbgp history --state {tmp_path / 'x.sqlite'} --user B") == ["Bcc"]


def test_users_come_from_the_files_of_later_ledgers_too(tmp_path: Path) -> None:
    keep_users(tmp_path / "x.sqlite", "Aaa", "Abb")
    keep_users(tmp_path / "x.sqlite.mknLaWRQ", "Abb", "Acc")
    for line in ("users --user A", "explain A", f"history --state {tmp_path / 'x.sqlite'} --user A"):
        assert completed(f"dzbgp {line}", STATE_DIRECTORY=str(tmp_path)) == ["Aaa", "Abb", "Acc"]


@pytest.mark.parametrize("shell", ["zsh", "fish", "bash"])
def test_every_shell_completes_without_what_is_slow(shell: str, inventory: Path) -> None:
    code = (
        "import sys, contextlib; sys.argv = ['dzbgp']; from dzbgp.cli.app import main\n"
        "with contextlib.suppress(SystemExit): main()\n"
        "slow = {'numpy', 'pydantic', 'rich', 'solders', 'solana', 'nornir', 'napalm', 'ruamel', 'asyncio'}\n"
        "found = {name.split('.')[0] for name, module in sys.modules.items() if module}\n"
        "print(*sorted(slow & found), file=sys.stderr)"
    )
    line = f"dzbgp run --inventory {inventory} --limit "
    told = {"_DZBGP_COMPLETE": f"complete_{shell}", "COMP_WORDS": line, "COMP_CWORD": "5"}
    told |= {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ | told
    )
    assert "ams-dz-001" in done.stdout
    assert done.stderr == "\n"


SHELLS = ("bash", "zsh", "fish")


def lines(words: str, command: Any) -> Iterator[str]:
    """Yield lines that end in each place where this command, or one below it, can be completed."""
    yield from (
        f"{words} ",
        f"{words} -",
        f"{words} --",
        f"{words} --max-age soon --workers 0 --state a,b --",
    )
    for one in command.params:
        for name in [*one.opts, *one.secondary_opts]:
            # Typer alone prints the version among the words.
            if name.startswith("-") and one.name != "version":
                yield from (f"{words} {name}", f"{words} {name} ", f"{words} {name} a", f"{words} {name}=a")
    for name in getattr(command, "commands", {}):
        yield f"{words} {name[:1]}"
        yield from lines(f"{words} {name}", command.commands[name])


@pytest.mark.parametrize("name", ["", *ENTRIES])
def test_every_line_is_completed_as_typer_alone_does(
    name: str, inventory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with sqlite3.connect(inventory / "x.sqlite") as database:
        database.execute("CREATE TABLE users (user TEXT)")
        database.executemany("INSERT INTO users VALUES (?)", [("aaa",), ("bbb",)])
    monkeypatch.setenv("STATE_DIRECTORY", str(inventory))
    monkeypatch.setenv("DZBGP_INVENTORY", str(inventory))
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    # It would load rich to strip markup from help that has none.
    monkeypatch.setitem(sys.modules, "rich", None)

    def answers() -> dict[tuple[str, str], str]:
        program: Any = typer.main.get_command(app)
        command = program.get_command(None, name) if name else program
        found = {}
        for line in lines(f"dzbgp {name}".strip(), command):
            monkeypatch.setenv("COMP_WORDS", line)
            monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
            monkeypatch.setenv("_TYPER_COMPLETE_ARGS", line)
            for shell in SHELLS:
                monkeypatch.setenv("_DZBGP_COMPLETE", f"complete_{shell}")
                with pytest.raises(SystemExit) as ended:
                    program.main(prog_name="dzbgp")
                found[line, shell] = f"{ended.value.code} {capsys.readouterr().out}"
        return found

    ours = answers()
    monkeypatch.delattr(Completable, "get_params")
    assert ours == answers()
    for shell in SHELLS:
        assert "--he" in "".join(said for (_, of), said in ours.items() if of == shell)
