"""Environments in which other programs give up: each works, or is a usage error that names the variable."""

import io
import os
import subprocess
import sys

import pytest
from rich.console import Console

from dzbgp.console.progress import progress_bar


def ran(code: str, *, stdout: int = subprocess.PIPE, **environ: str) -> "subprocess.CompletedProcess[str]":
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), **environ}
    return subprocess.run(
        [sys.executable, "-c", code], check=False, env=env, stdout=stdout, stderr=subprocess.PIPE, text=True
    )


def test_a_container_of_any_uid_has_no_home_and_needs_none() -> None:
    done = ran(
        "import os, pwd\n"
        "os.environ.pop('HOME', None)\n"
        "pwd.getpwuid = {}.__getitem__\n"
        "from dzbgp.cli import app\n"
        "app._settle_environment()\n"
        "import nornir.core.configuration\n"
        "print(nornir.core.configuration.DEFAULT_SSH_CONFIG)\n"
    )
    assert (done.stdout, done.stderr) == ("/.ssh/config\n", "")


def test_no_columns_at_all_print_a_whole_line() -> None:
    done = ran(
        "import sys; sys.argv[1:] = ['run', '--help']; import dzbgp.__main__ as m; m.main()", COLUMNS="0"
    )
    assert "--inventory" in done.stdout


@pytest.mark.parametrize("args", [["--version"], ["run", "--help"]])
def test_a_full_disk_is_one_line_and_no_traceback(args: list[str]) -> None:
    code = f"import sys; sys.argv[1:] = {args!r}; import dzbgp.__main__ as m; m.main()"
    with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123 - a device
        done = ran(code, stdout=full.fileno())
    assert (done.returncode, done.stderr) == (3, "error: stdout: No space left on device\n")


@pytest.mark.parametrize("args", [["config", "show"], ["config", "show", "--json"]])
def test_the_configuration_is_shown_to_a_full_disk_and_to_a_reader_that_has_gone(args: list[str]) -> None:
    code = f"import sys; sys.argv[1:] = {[*args, '--config', '/dev/null']!r}; import dzbgp.__main__ as m; m.main()"
    with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123 - a device
        done = ran(code, stdout=full.fileno())
    assert done.returncode == 3
    assert done.stderr.endswith("stdout: the result could not be printed: No space left on device\n")
    reader, writer = os.pipe()
    os.close(reader)
    done = ran(code, stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("args", [["--help"], ["run", "--help"], ["--version"], ["config", "show"]])
@pytest.mark.parametrize("closed", [1, 2])
def test_a_stream_that_is_closed_before_the_start_is_not_missed(args: list[str], closed: int) -> None:
    code = f"import sys; sys.argv[1:] = {args!r}; import dzbgp.__main__ as m; m.main()"
    done = ran(f"import os; os.close({closed}); os.execv({sys.executable!r}, ['python', '-c', {code!r}])")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("args", "is_told"), [([], False), (["-v"], True)])
def test_what_goes_wrong_outside_a_command_shows_its_traceback_only_if_that_is_asked_for(
    args: list[str], is_told: bool
) -> None:
    code = (
        f"import sys; sys.argv[1:] = ['users', *{args!r}]\n"
        "from dzbgp.cli import app, config_file\n"
        "config_file.find = lambda given: 1 / 0\n"
        "app.main()"
    )
    done = ran(code)
    last = "error: internal error (ZeroDivisionError); please report it. --verbose shows the traceback\n"
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith(last)
    assert (done.stderr != last) is is_told


def test_a_shell_that_asks_for_completion_is_told_of_no_fault() -> None:
    done = ran(
        "import sys; sys.argv = ['dzbgp']; from dzbgp.cli.app import main; main()",
        _DZBGP_COMPLETE="complete_bash",
        COMP_WORDS="dzbgp ",
        COMP_CWORD="no number",
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


@pytest.mark.parametrize(
    ("args", "environ", "told"),
    [
        (["users"], {"DZBGP_QUIET": "maybe"}, "DZBGP_QUIET: invalid value: expected true or false"),
        (["users"], {"DZBGP_VERBOSE": "x"}, "DZBGP_VERBOSE: invalid value: expected a whole number"),
        (
            ["users"],
            {"DZBGP_LOG_LEVEL": "loud"},
            "DZBGP_LOG_LEVEL: unknown value 'loud': expected one of error, warning, info, debug",
        ),
        (["users", "--config", ""], {}, "--config: it is empty; expected a path"),
    ],
)
def test_a_value_that_cannot_be_read_is_told_in_one_form(
    args: list[str], environ: dict[str, str], told: str
) -> None:
    done = ran(
        f"import sys; sys.argv[1:] = {args!r}; import dzbgp.__main__ as m; m.main()",
        stdout=subprocess.PIPE,
        **environ,
    )
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, f"error: {told}")


def test_colours_that_are_forced_draw_no_bar_in_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    console = Console(file=(text := io.StringIO()))
    assert console.is_terminal
    with progress_bar(console, enabled=True) as bar:
        bar.stage("asking devices", 2)
        bar.step()
    assert text.getvalue().strip() == ""


def test_a_directory_of_the_prometheus_library_that_is_missing_is_named() -> None:
    done = ran(
        "from dzbgp.metrics.registry import Metrics\n"
        "from dzbgp.errors import UsageError\n"
        "try:\n"
        "    Metrics()\n"
        "except UsageError as error:\n"
        "    print(error)\n",
        PROMETHEUS_MULTIPROC_DIR="/nonexistent",
    )
    assert done.stdout.startswith("PROMETHEUS_MULTIPROC_DIR: No such file or directory; expected")
