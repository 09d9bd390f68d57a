import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from dzbgp import __version__
from dzbgp.cli import app as cli
from dzbgp.cli.options import COMMANDS as DECLARED
from dzbgp.console.option import names, pair
from dzbgp.console.words import parse_duration
from dzbgp.errors import InventoryError, KeypairError, LabError, UsageError
from dzbgp.ledger.errors import ClusterMismatchError, EmptyProgramError, RpcError, WriteInterruptedError

CONTRACT = (
    "--inventory",
    "--env",
    "--rpc-url",
    "--program-id",
    "--keypair",
    "--dry-run",
    "--limit",
    "--filter",
    "--workers",
    "--refresh-interval",
    "--output",
    "--report-file",
    "--commitment",
    "--lab",
    "--verbose",
    "--quiet",
    "--all",
    "--exit-code",
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError, 2),
        (InventoryError, 2),
        (KeypairError, 2),
        (LabError, 1),
        (EmptyProgramError, 1),
        (ClusterMismatchError, 1),
        (RpcError, 1),
        (WriteInterruptedError, 3),
    ],
)
def test_what_ends_a_run_has_its_exit_code(error: Any, code: int) -> None:
    assert error.exit_code == code


def test_run_help_names_every_option_of_the_contract_with_its_variable() -> None:
    shown = CliRunner().invoke(cli.app, ["run", "--help"], env={"COLUMNS": "250", "TERM": "dumb"})
    assert shown.exit_code == 0
    for option in CONTRACT:
        assert f"{option} " in shown.output
        variable = "DZBGP_" + option.removeprefix("--").upper().replace("-", "_")
        assert f"[env var: {variable}]" in shown.output
    for code in ("0 done", "1 could not run", "2 usage", "3 done in part", "4 the guard", "5 a dry run"):
        assert code in shown.output


def leaves(commands: Any, *before: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with its words, those in groups too."""
    for name, command in commands.items():
        if inner := getattr(command, "commands", None):
            yield from leaves(inner, *before, name)
        else:
            yield (*before, name), command


COMMANDS = dict(leaves(getattr(typer.main.get_command(cli.app), "commands")))  # noqa: B009 - a group's own


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_option_of_every_command_has_a_variable_and_help_shows_it(words: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(cli.app, [*words, "-h"], env={"COLUMNS": "250", "TERM": "dumb"})
    assert shown.exit_code == 0
    options = [
        one for one in COMMANDS[words].params if one.param_type_name == "option" and one.name != "help"
    ]
    assert options
    keys = {one.name: one.variable for one in DECLARED[words[-1]]}
    for option in options:
        named = "DZBGP_" + option.opts[0].removeprefix("--").upper().replace("-", "_")
        assert option.envvar == keys.get(option.opts[0].removeprefix("--"), named)
        assert f"[env var: {option.envvar}]" in shown.output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_can_complete_commands_and_options(shell: str) -> None:
    env = {"_DZBGP_COMPLETE": f"complete_{shell}", "COMP_WORDS": "dzbgp run --tls-v", "COMP_CWORD": "2"}
    env |= {"_TYPER_COMPLETE_ARGS": "dzbgp run --tls-v", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    shown = CliRunner().invoke(cli.app, [], prog_name="dzbgp", env=env)
    assert "--tls-verify" in shown.output


@pytest.mark.parametrize("command", [["-h"], ["run", "-h"], ["lab", "-h"]])
@pytest.mark.parametrize("columns", ["60", "80", "200"])
def test_help_fits_the_terminal(command: list[str], columns: str) -> None:
    shown = CliRunner().invoke(cli.app, command, env={"COLUMNS": columns, "TERM": "dumb"})
    assert shown.exit_code == 0
    assert max(map(len, shown.output.splitlines())) <= int(columns)


def test_without_arguments_the_help_is_shown() -> None:
    shown = CliRunner().invoke(cli.app, [])
    assert "Usage" in shown.output
    assert "run" in shown.output


def test_the_version_is_told_before_anything_else_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "app", None)
    monkeypatch.setattr("sys.argv", ["dzbgp", "--version"])
    monkeypatch.setattr(cli, "_leave", sys.exit)
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert (left.value.code, capsys.readouterr().out) == (0, f"dzbgp {__version__}\n")


def test_the_version_is_told() -> None:
    shown = CliRunner().invoke(cli.app, ["--version"])
    assert (shown.exit_code, shown.output) == (0, f"dzbgp {__version__}\n")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("0s", 0),
        ("90s", 90),
        ("5m", 300),
        ("6h", 21_600),
        ("1h30m", 5_400),
        ("2d", 172_800),
        ("250ms", 0.25),
    ],
)
def test_a_duration_is_read_as_people_write_it(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "6", "6 hours", "-5m", "5m ago", "h", "1e3s", "inf", "٣s"])
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="invalid duration"):
        parse_duration(text)


def test_names_are_separated_by_commas_and_blanks_around_them_do_not_count() -> None:
    assert names("a") == ("a",)
    assert names(" a, b ,,c ") == ("a", "b", "c")


@pytest.mark.parametrize("option", ["--limit", "--group"])
@pytest.mark.parametrize("value", ["", ",", " , "])
def test_an_empty_choice_is_a_usage_error_and_never_the_whole_fleet(option: str, value: str) -> None:
    result = CliRunner().invoke(cli.app, ["run", "--dry-run", option, value])
    assert result.exit_code == 2


def test_a_filter_is_cut_at_its_first_equals_sign() -> None:
    assert [pair(text) for text in ("metro=ams", "note=a=b", "empty=")] == [
        ("metro", "ams"),
        ("note", "a=b"),
        ("empty", ""),
    ]


@pytest.mark.parametrize("text", ["metro", "=ams", ""])
def test_a_filter_without_key_or_equals_sign_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match=r"--filter: invalid filter .*: expected KEY=VALUE"):
        pair(text)
