import subprocess
import sys
from typing import Any

import pytest
from command_tree import every_word
from typer.testing import CliRunner

from dzbgp import __version__
from dzbgp.cli import app as cli
from dzbgp.cli.commands import ENTRIES
from dzbgp.cli.options import every_command
from dzbgp.console.option import PANELS, names, pair
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


def test_run_help_names_every_option_of_the_contract() -> None:
    shown = CliRunner().invoke(cli.app, ["run", "--help"], env={"COLUMNS": "250", "TERM": "dumb"})
    assert shown.exit_code == 0
    for option in CONTRACT:
        assert f"{option} " in shown.output
    for code in ("0 done", "1 could not run", "2 usage", "3 done in part", "4 the guard", "5 a dry run"):
        assert code in shown.output


COMMANDS = {words: command for words, command in every_word().items() if words[-1] in every_command()}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_option_of_every_command_has_a_variable_and_help_says_which(words: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(cli.app, [*words, "-h"], env={"COLUMNS": "250", "TERM": "dumb"})
    assert shown.exit_code == 0
    options = [
        one for one in COMMANDS[words].params if one.param_type_name == "option" and one.name != "help"
    ]
    assert options
    assert "Each option is also a variable (--dry-run: DZBGP_DRY_RUN)" in shown.output
    for option in options:
        name = option.opts[0]
        named = "DZBGP_" + name.removeprefix("--").upper().replace("-", "_")
        assert option.envvar == named or f"{name}: {option.envvar}" in " ".join(shown.output.split())
        assert name.removeprefix("--") in shown.output


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


def test_daily_use_comes_first_and_tuning_last() -> None:
    lines = CliRunner().invoke(cli.app, ["run", "--help"], env={"COLUMNS": "80"}).output.splitlines()
    titles = [
        line for line in lines if line and not line.startswith((" ", "Usage", "Runs", "written", "Exit"))
    ]
    first, last = lines.index("Daily use"), lines.index("Tuning")
    daily = lines[first + 1 : lines.index("", first)]
    shown = [line for line in titles if line in PANELS]
    assert (shown[0], shown[-1]) == ("Daily use", "Tuning")
    assert sum(line.startswith("  -") for line in daily) == 8
    assert any("--dry-run" in line for line in daily)
    assert not any(line.startswith("  --dry-run") for line in lines[last:])


def test_help_spends_little_on_an_option_and_says_nothing_of_types() -> None:
    shown = CliRunner().invoke(cli.app, ["run", "--help"], env={"COLUMNS": "80"}).output
    options = sum(line.startswith("  -") for line in shown.splitlines())
    assert options > 40
    assert len(shown.splitlines()) < 2.3 * options
    assert "<" not in shown
    assert "env var" not in shown


def test_the_overview_says_of_every_command_what_it_writes() -> None:
    lines = CliRunner().invoke(cli.app, ["--help"], env={"COLUMNS": "80"}).output.splitlines()
    looking = False
    told = {}
    for line in lines:
        looking = (looking and bool(line)) or line == "Look: nothing is written"
        if line[2:].split(" ")[0] in ENTRIES:
            told[line.split()[0]] = "Write" in line or looking
    assert told == dict.fromkeys(ENTRIES, True)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["users", "--nonsense"], "see `dzbgp users --help`"),
        (["config", "show", "--nonsense"], "see `dzbgp config show --help`"),
        (["run", "--max-down", "2"], "see `dzbgp run --help`"),
        (["run", "--dry-run"], "see `dzbgp run --help`"),
        (["inventory", "trust", "x"], "see `dzbgp inventory trust --help`"),
        (["wach"], "did you mean watch?"),
    ],
)
def test_a_usage_error_says_where_the_options_are_told(words: list[str], told: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dzbgp", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 2


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["status", "--config=--no/config.toml"], id="while options are read"),
        pytest.param(["run", "--lab", "--output", "json=/no/report"], id="while the command runs"),
    ],
)
def test_no_help_is_named_for_what_is_wrong_with_a_file(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dzbgp", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: --")
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_without_arguments_the_help_is_shown() -> None:
    shown = CliRunner().invoke(cli.app, [])
    assert "Usage" in shown.output
    assert "run" in shown.output


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version_is_told(option: str) -> None:
    shown = CliRunner().invoke(cli.app, [option])
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
