"""Which devices a run writes for: with real processes."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from dzbgp.state.lock import DeviceLocks, is_locked, lock_file

A, B, C = b"a" * 32, b"b" * 32, b"c" * 32
HOLDER = """
import sys, time
from pathlib import Path
from dzbgp.state.lock import DeviceLocks
locks = DeviceLocks(Path(sys.argv[1]), wait_s=10)
assert locks.hold([sys.argv[3].encode() * 32]) is None
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""


@contextmanager
def held(state: Path, seconds: float = 60, name: str = "a") -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds a device."""
    command = [sys.executable, "-c", HOLDER, str(state), str(seconds), name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def locks(state: Path) -> Iterator[DeviceLocks]:
    with closing(DeviceLocks(state, wait_s=0)) as made:
        yield made


def test_an_overlapping_run_waits_briefly_and_is_told_what_is_held(state: Path) -> None:
    locks = DeviceLocks(state, wait_s=0.3)
    with held(state):
        began = time.monotonic()
        assert locks.hold([B, A]) == A
    assert 0.3 <= time.monotonic() - began < 2


def test_runs_over_disjoint_devices_go_on_side_by_side(state: Path, locks: DeviceLocks) -> None:
    with held(state, name="a"), held(state, name="b"):
        assert locks.hold([C]) is None
        assert locks.hold([C, B]) == B


def test_what_could_not_be_held_as_a_whole_is_not_held_in_part(state: Path, locks: DeviceLocks) -> None:
    with held(state, name="b"):
        assert locks.hold([A, B, C]) == B
        with closing(DeviceLocks(state, wait_s=0)) as third:
            assert third.hold([A, C]) is None


def test_what_is_held_no_longer_is_free_for_others(state: Path, locks: DeviceLocks) -> None:
    with closing(DeviceLocks(state, wait_s=0)) as other:
        assert locks.hold([A, B]) is None
        assert other.hold([A]) == A
        assert locks.hold([B]) is None
        assert other.hold([A]) is None
        locks.close()
        assert other.hold([A, B]) is None


def test_the_second_goes_on_when_the_first_ends_meanwhile(state: Path) -> None:
    with held(state, 0.3):
        assert DeviceLocks(state, wait_s=10).hold([A]) is None


def test_a_killed_process_leaves_no_lock(state: Path, locks: DeviceLocks) -> None:
    with held(state) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert locks.hold([A]) is None


def test_locks_of_two_state_files_do_not_meet(tmp_path: Path, locks: DeviceLocks) -> None:
    assert locks.hold([A]) is None
    assert DeviceLocks(tmp_path / "other", wait_s=0).hold([A]) is None


def test_a_lock_file_that_was_removed_while_held_is_noticed_and_held_anew(
    state: Path, locks: DeviceLocks, caplog: pytest.LogCaptureFixture
) -> None:
    assert locks.hold([A]) is None
    assert locks.is_intact()
    lock_file(state).unlink()
    assert not locks.is_intact()
    assert locks.mend() is None
    assert "was removed or replaced while it was held" in caplog.text
    with closing(DeviceLocks(state, wait_s=0)) as other:
        assert other.hold([A]) == A


def test_what_a_watch_gives_back_while_its_signer_mends_is_given_back(
    state: Path, locks: DeviceLocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert locks.hold([A, B]) is None
    lock_file(state).unlink()
    watch, lock = threading.Thread(target=lambda: locks.hold([A])), locks._set

    def in_the_middle(kind: int, offset: int) -> bool:
        if watch.ident is None:
            watch.start()
            # Long enough for one that does not wait.
            watch.join(0.5)
        return lock(kind, offset)

    monkeypatch.setattr(locks, "_set", in_the_middle)
    assert locks.mend() is None
    watch.join()
    with closing(DeviceLocks(state, wait_s=0)) as other:
        assert other.hold([A]) == A
        assert other.hold([B]) is None


def test_what_another_run_took_after_the_lock_file_was_removed_is_told(
    state: Path, locks: DeviceLocks
) -> None:
    assert locks.hold([A]) is None
    lock_file(state).unlink()
    with held(state):
        assert locks.mend() == A
        assert locks.mend() == A, "asked again, it is still not ours"
    assert locks.mend() is None
    with closing(DeviceLocks(state, wait_s=0)) as other:
        assert other.hold([A]) == A


def test_a_planted_link_is_not_followed(
    tmp_path: Path, state: Path, locks: DeviceLocks, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "victim").write_text("mine", encoding="ascii")
    lock_file(state).symlink_to(tmp_path / "victim")
    assert locks.hold([A]) is None
    assert "cannot be locked" in caplog.text
    assert (tmp_path / "victim").read_text(encoding="ascii") == "mine"


def test_a_missing_directory_is_made(tmp_path: Path) -> None:
    state = tmp_path / "a" / "b" / "state"
    assert DeviceLocks(state).hold([A]) is None
    assert lock_file(state).stat().st_mode & 0o777 == 0o600


def test_where_no_lock_file_can_be_the_run_goes_on_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    locks = DeviceLocks(Path("/proc/dzbgp/state"))
    for _ in range(2):
        assert locks.hold([A]) is None
    assert caplog.text.count("cannot be locked") == 1


def test_on_a_file_system_without_locks_the_run_goes_on_and_says_so(
    locks: DeviceLocks, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    assert locks.hold([A]) is None
    assert "cannot be locked (No locks available)" in caplog.text


def test_one_at_a_time_opens_the_file(state: Path, locks: DeviceLocks) -> None:
    other = DeviceLocks(state, wait_s=0)
    with locks.opening():
        assert not other._opened() or not other._set(fcntl.F_WRLCK, (1 << 63) - 2)
    assert other._set(fcntl.F_WRLCK, (1 << 63) - 2)


def test_whether_anything_is_held_is_told_without_holding_it(state: Path, locks: DeviceLocks) -> None:
    assert locks.hold([A]) is None
    assert is_locked(lock_file(state))
    locks.close()
    assert not is_locked(lock_file(state))
    with pytest.raises(FileNotFoundError):
        is_locked(state.with_name("none.lock"))
