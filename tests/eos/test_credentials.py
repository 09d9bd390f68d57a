"""The devices' password: where it is looked for, and that nothing of it is ever shown."""

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dzbgp.eos import credentials as device_login
from dzbgp.errors import UsageError

SECRET = "canary-9f31"
NAMES = (device_login.PASSWORD, device_login.PASSWORD_FILE, device_login.PASSWORD_COMMAND)


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    device_login._of_command.cache_clear()
    yield
    device_login._of_command.cache_clear()


def command(code: str) -> str:
    return shlex.join([sys.executable, "-c", code])


def test_without_any_there_is_no_password() -> None:
    assert device_login.password() is None


def test_the_variable_beats_the_file_and_the_file_beats_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(device_login.PASSWORD_COMMAND, command("print('of-command')"))
    assert device_login.password() == "of-command"
    (tmp_path / "password").write_text("of-file\n", encoding="ascii")
    monkeypatch.setenv(device_login.PASSWORD_FILE, str(tmp_path / "password"))
    assert device_login.password() == "of-file"
    monkeypatch.setenv(device_login.PASSWORD, "of-variable")
    assert device_login.password() == "of-variable"


def test_the_command_is_run_once_however_many_hosts_ask(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    code = f"open({str(runs)!r}, 'a').write('x'); print({SECRET!r})"
    monkeypatch.setenv(device_login.PASSWORD_COMMAND, command(code))
    assert [device_login.password() for _ in range(3)] == [SECRET] * 3
    assert runs.read_text(encoding="ascii") == "x"


def test_no_shell_reads_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(device_login.PASSWORD_COMMAND, "echo $HOME; echo two")
    assert device_login.password() == "$HOME; echo two"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("   ", "it is blank"),
        (f"get '{SECRET}", "its quotes do not match"),
        (f"/nowhere/get-it {SECRET}", "No such file or directory"),
        (command(f"print({SECRET!r}); raise SystemExit(4)"), "it ended with 4"),
        (command("pass"), "expected one line"),
        (command(f"print({SECRET!r}); print('second')"), "expected one line"),
        (command(r"import sys; sys.stdout.buffer.write(b'\xff')"), "not UTF-8"),
    ],
)
def test_a_command_that_gives_no_password_is_told_without_its_words_or_its_output(
    monkeypatch: pytest.MonkeyPatch, given: str, why: str
) -> None:
    monkeypatch.setenv(device_login.PASSWORD_COMMAND, given)
    with pytest.raises(UsageError, match=why) as caught:
        device_login.password()
    assert SECRET not in str(caught.value)


def test_a_command_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_login, "_PATIENCE_S", 0.2)
    monkeypatch.setenv(device_login.PASSWORD_COMMAND, command("import time; time.sleep(60)"))
    with pytest.raises(UsageError, match="it did not end in"):
        device_login.password()
