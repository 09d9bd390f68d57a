"""One run at a time on one state file: with real processes."""

import fcntl
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dzbgp.errors import StateLockedError
from dzbgp.state.lock import state_lock

HOLDER = """
import sys, time
from pathlib import Path
from dzbgp.state.lock import state_lock
with state_lock(Path(sys.argv[1]), wait_s=10):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


@contextmanager
def held(state: Path, seconds: float = 60) -> Iterator["subprocess.Popen[str]"]:
    """Another process that has the lock."""
    command = [sys.executable, "-c", HOLDER, str(state), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_the_second_waits_briefly_then_names_who_holds_the_lock_and_since_when(tmp_path: Path) -> None:
    with held(tmp_path / "state") as process:
        began = time.monotonic()
        with pytest.raises(StateLockedError) as caught, state_lock(tmp_path / "state", wait_s=0.3):
            pytest.fail("both have it")
    assert 0.3 <= time.monotonic() - began < 2
    since = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00"
    assert re.search(
        rf"another run has it: pid {process.pid}, since {since}; nothing was written", str(caught.value)
    )
    assert caught.value.exit_code == 1


def test_the_second_goes_on_when_the_first_ends_meanwhile(tmp_path: Path) -> None:
    with held(tmp_path / "state", 0.3), state_lock(tmp_path / "state", wait_s=10):
        holder = json.loads((tmp_path / "state.lock").read_text(encoding="utf-8"))
    assert holder["pid"] == os.getpid()


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    with held(tmp_path / "state") as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        with state_lock(tmp_path / "state", wait_s=0):
            pass


def test_the_lock_is_free_after_an_error_inside(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), state_lock(tmp_path / "state"):
        _ = 1 / 0
    with state_lock(tmp_path / "state", wait_s=0):
        pass


def test_locks_of_two_state_files_do_not_meet(tmp_path: Path) -> None:
    with state_lock(tmp_path / "one", wait_s=0), state_lock(tmp_path / "two", wait_s=0):
        pass


def test_a_missing_directory_is_made(tmp_path: Path) -> None:
    with state_lock(tmp_path / "a" / "b" / "state"):
        assert (tmp_path / "a" / "b" / "state.lock").stat().st_mode & 0o777 == 0o600


def test_where_no_lock_file_can_be_the_run_goes_on_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with state_lock(Path("/proc/dzbgp/state")):
        pass
    assert "can not be locked" in caplog.text


def test_on_a_file_system_without_locks_the_run_goes_on_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with state_lock(tmp_path / "state"):
        pass
    assert "can not be locked (No locks available)" in caplog.text


def test_on_a_full_disk_the_lock_holds_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "state.lock").touch()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with (
            state_lock(tmp_path / "state"),
            pytest.raises(StateLockedError, match="another run has it; nothing"),
            state_lock(tmp_path / "state", wait_s=0),
        ):
            pytest.fail("both have it")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"pid": 1}', "null"])
def test_a_lock_file_that_says_nothing_is_no_fault(tmp_path: Path, content: str) -> None:
    with held(tmp_path / "state"):
        (tmp_path / "state.lock").write_text(content, encoding="utf-8")
        with (
            pytest.raises(StateLockedError, match="another run has it; nothing was written"),
            state_lock(tmp_path / "state", wait_s=0),
        ):
            pytest.fail("both have it")
