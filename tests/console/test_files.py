import errno
import os
import secrets
from pathlib import Path
from typing import Any

import pytest

from dzbgp.console.files import replace_file


def test_a_file_is_made_and_then_replaced(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    replace_file(file, b"one")
    replace_file(file, b"two")
    assert file.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [file]


def test_a_link_in_the_place_of_the_file_is_replaced_and_what_it_leads_to_is_not(tmp_path: Path) -> None:
    victim, file = tmp_path / "victim", tmp_path / "report.json"
    victim.write_bytes(b"mine")
    file.symlink_to(victim)
    replace_file(file, b"new")
    assert (victim.read_bytes(), file.read_bytes(), file.is_symlink()) == (b"mine", b"new", False)


def test_a_planted_temporary_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    victim, file = tmp_path / "victim", tmp_path / "report.json"
    victim.write_bytes(b"mine")
    monkeypatch.setattr(secrets, "token_hex", lambda _: "guessed")
    (tmp_path / ".report.json.guessed").symlink_to(victim)
    with pytest.raises(FileExistsError):
        replace_file(file, b"new")
    assert victim.read_bytes() == b"mine"
    assert not file.exists()


def test_a_file_has_the_permissions_that_are_asked_for_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    replace = Path.replace

    def watched(fresh: Path, file: Path) -> Path:
        seen.append(fresh.stat().st_mode & 0o777)
        return replace(fresh, file)

    monkeypatch.setattr(Path, "replace", watched)
    for mode in (0o600, 0o664):
        replace_file(tmp_path / "hosts.yaml", b"one", mode)
    assert seen == [0o600, 0o664]


def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "report.json"
    file.write_bytes(b"old")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        replace_file(file, b"new")
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("report.json", b"old")]
