import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e_lab import DEADLINE_S, SCRIPT, Done, E2eLab, dzbgp, environment, started_lab

ERASED = "\x1b[2K"
_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[E2eLab]:
    with started_lab(tmp_path_factory.mktemp("lab")) as running:
        running.heal()
        yield running


def on_a_terminal(home: Path, *args: str, out: bool, **env: str) -> Done:
    """Runs dzbgp with stderr, and with `out` stdout too, on a pseudo terminal; `err` is what that shows."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [SCRIPT, *args],
        cwd=home,
        env=environment(home, **env),
        stdin=subprocess.DEVNULL,
        stdout=theirs if out else subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    ends = time.monotonic() + DEADLINE_S
    try:
        while time.monotonic() < ends:
            if not select.select([ours], [], [], 1)[0]:
                continue
            try:
                some = os.read(ours, 65536)
            except OSError:
                break  # EIO: the other side is closed
            if not some:
                break
            shown += some
        printed = process.stdout.read().decode() if process.stdout else ""
        return Done(process.wait(DEADLINE_S), printed, shown.decode())
    finally:
        process.kill()
        os.close(ours)
        if process.stdout:
            process.stdout.close()


def pipeline(home: Path, redirection: str, *args: str) -> Done:
    """Runs dzbgp in a shell that does something to its outputs; the first line on stdout is its exit code."""
    script = f'"$@" {redirection}; echo ${{PIPESTATUS[0]}}'
    done = subprocess.run(
        ["bash", "-c", script, "bash", SCRIPT, *args],
        cwd=home,
        env=environment(home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    return Done(int(done.stdout.splitlines()[-1]), done.stdout, done.stderr)


def dry(lab: E2eLab, *more: str) -> list[str]:
    return ["run", *lab.args, "--dry-run", "--exit-code", *more]


def test_stdout_has_the_report_only_and_no_colour_when_it_is_no_terminal(lab: E2eLab, tmp_path: Path) -> None:
    done = dzbgp(tmp_path, *dry(lab, "--output", "table"))
    assert done.code == 5, done.err
    assert done.err == ""
    assert "\x1b" not in done.out
    assert done.out.startswith("dzbgp dry run, nothing is written")


def test_on_a_terminal_a_progress_bar_comes_on_stderr_and_vanishes(lab: E2eLab, tmp_path: Path) -> None:
    done = on_a_terminal(tmp_path, *dry(lab, "--output", "table"), out=False)
    assert done.code == 5
    assert "\x1b" not in done.out
    assert done.out.startswith("dzbgp dry run, nothing is written")
    assert "asking devices" in done.err
    assert ERASED in done.err
    assert _CODES.sub("", done.err.rpartition(ERASED)[2]) == ""


def test_the_report_on_a_terminal_comes_after_the_bar_has_gone(lab: E2eLab, tmp_path: Path) -> None:
    done = on_a_terminal(tmp_path, *dry(lab), out=True)
    assert done.code == 5
    report = done.err.rpartition(ERASED)[2]
    assert _CODES.sub("", report).startswith("dzbgp dry run, nothing is written")
    assert "asking devices" not in report


def test_no_color_takes_the_colour_out_of_a_terminal(lab: E2eLab, tmp_path: Path) -> None:
    coloured = re.compile(r"\x1b\[[0-9;]*3[0-7]m")
    plain = on_a_terminal(tmp_path, *dry(lab, "--quiet"), out=True, NO_COLOR="1")
    assert plain.code == 5
    assert not coloured.search(plain.err)
    assert coloured.search(on_a_terminal(tmp_path, *dry(lab, "--quiet"), out=True).err)


def test_quiet_shows_no_bar_even_on_a_terminal(lab: E2eLab, tmp_path: Path) -> None:
    done = on_a_terminal(tmp_path, *dry(lab, "--quiet"), out=False)
    assert (done.code, done.err) == (5, "")


@pytest.mark.parametrize(
    ("redirection", "code"), [("| true", 5), ("> /dev/full", 3), (">&-", 5), ("2>&-", 5), ("2> /dev/full", 5)]
)
def test_outputs_that_nobody_takes_do_not_change_what_happened(
    lab: E2eLab, tmp_path: Path, redirection: str, code: int
) -> None:
    file = tmp_path / "report.json"
    done = pipeline(tmp_path, redirection, *dry(lab, "--report-file", str(file)))
    assert done.code == code, done.err
    assert "Traceback" not in done.err
    assert "Exception ignored" not in done.err
    assert file.exists()


def test_a_report_prints_in_any_encoding(lab: E2eLab, tmp_path: Path) -> None:
    done = dzbgp(tmp_path, *dry(lab, "--output", "table"), PYTHONIOENCODING="ascii", COLUMNS="80")
    assert done.code == 5, done.err
    assert "up -> down" in done.out
    assert done.out.isascii()


def test_a_run_whose_stderr_has_no_reader_writes_everything(tmp_path: Path) -> None:
    with started_lab(tmp_path) as lab:
        done = pipeline(tmp_path, "2> >(true)", "run", *lab.args, "--limit", lab.healthy)
        assert done.code == 0
        assert lab.ledger.stats().instructions_executed == len(lab.world.expected())
