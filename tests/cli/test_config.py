"""The configuration file through the real command line: what it says, what it must not say, and who may say it."""

import json
from pathlib import Path
from typing import Any

import pytest
from standing_ledger import invoke
from typer.testing import Result

from dzbgp.cli import config_file
from dzbgp.cli.options import every_command
from dzbgp.eos import credentials
from dzbgp.errors import UsageError

RPC = "https://rpc.example.net/TOKEN"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No file of this machine counts, and none of these tests outlives its own."""
    monkeypatch.setattr(config_file, "PLACES", ("~/.config/dzbgp/config.toml", str(tmp_path / "etc.toml")))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(credentials, "_configured", {})
    return tmp_path / "home"


def written(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)
    return file


def show(*args: str, **env: str) -> Result:
    return invoke(None, "config", "show", *args, columns=200, **env)


def values(*args: str, **env: str) -> dict[tuple[str | None, str], tuple[Any, str]]:
    """Value and source of each setting that differs from its default, by command and key."""
    done = show("--json", *args, **env)
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)["settings"]
    return {
        (row["command"], row["key"]): (row["value"], row["source"])
        for row in rows
        if row["source"] != "default"
    }


def test_the_order_is_command_line_environment_file_default(tmp_path: Path) -> None:
    # Each source is read by `users`, which names the key that it was given.
    file = written(tmp_path / "c.toml", 'program-id = "of-the-file"\n[users]\nprogram-id = "of-the-table"\n')
    config = ("--config", str(file))

    def key(*args: str, **env: str) -> str:
        done = invoke(None, *args, columns=200, **env)
        assert done.exit_code == 2
        return done.output.split("invalid key '")[1].split("'")[0]

    assert (
        key("users", *config, "--program-id", "of-the-line", DZBGP_PROGRAM_ID="of-the-variable")
        == "of-the-line"
    )
    assert key("users", *config, DZBGP_PROGRAM_ID="of-the-variable") == "of-the-variable"
    assert key("users", *config) == "of-the-table"
    assert key("devices", *config) == "of-the-file"
    assert key("devices", DZBGP_CONFIG=str(file)) == "of-the-file"


def test_show_says_where_each_value_comes_from_and_masks_secrets(tmp_path: Path) -> None:
    file = written(
        tmp_path / "c.toml",
        f'rpc-url = ["{RPC}"]\neos-password-command = "vault read secret/eos"\nkeypair = ["keys"]\n'
        '[watch]\ninterval = "30s"\n[run]\nmax-age = "50s"\n',
    )
    found = values("--config", str(file), DZBGP_INTERVAL="45s", DZBGP_EOS_PASSWORD="hunter2")
    assert found == {
        (None, "rpc-url"): (["https://rpc.example.net/..."], f"{file}:1"),
        (None, "eos-password-command"): ("vault ...", f"{file}:2"),
        (None, "eos-password"): ("set, not shown", "DZBGP_EOS_PASSWORD"),
        (None, "keypair"): ([str(tmp_path / "keys")], f"{file}:3"),
        (None, "interval"): ("45s", "DZBGP_INTERVAL"),
        ("run", "max-age"): ("50s", f"{file}:7"),
    }
    for done in (show("--config", str(file), DZBGP_RPC_URL=f"{RPC}?key=TOKEN"), show("--config", str(file))):
        assert done.exit_code == 0
        assert not {"TOKEN", "secret/eos", "hunter2"} & set(done.output.replace("/", " ").split())
        assert '# interval = "1m"' in done.stdout


def test_show_masks_each_url_of_a_variable() -> None:
    shown = values(DZBGP_RPC_URL=f"{RPC},http://127.0.0.1:1/TOKEN")
    assert shown[None, "rpc-url"] == (
        "https://rpc.example.net/... http://127.0.0.1:1/...",
        "DZBGP_RPC_URL",
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("eos-password-command", "TOKEN=SECRET vault read"),
        ("rpc-url", "SECRET:8899"),
        ("rpc-url", "x/SECRET"),
        ("rpc-url", "https://x\\\\SECRET"),
        ("rpc-url", "https://u:SECRET@x:99999/"),
        ("rpc-url", "https://x/#SECRET"),
    ],
)
def test_what_is_malformed_is_masked_too(tmp_path: Path, key: str, value: str) -> None:
    file = written(tmp_path / "c.toml", f'{key} = "{value}"')
    assert (None, key) in values("--config", str(file))
    assert "SECRET" not in show("--config", str(file)).output


def test_the_first_of_the_two_places_is_read_and_never_the_working_directory(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    written(tmp_path / "here" / "config.toml", 'env = "here"\n')
    written(tmp_path / "here" / ".config/dzbgp/config.toml", 'env = "here"\n')
    assert values() == {}
    etc = written(tmp_path / "etc.toml", 'env = "m"\n')
    assert values() == {(None, "env"): ("m", f"{etc}:1")}
    own = written(home / ".config/dzbgp/config.toml", 'env = "t"\n')
    assert values() == {(None, "env"): ("t", f"{own}:1")}
    assert values("--config", "/dev/null") == {}
    monkeypatch.setenv("HOME", "")
    assert (None, "env") in values()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('\nenvv = "t"', "2: envv: unknown key; did you mean env?"),
        (
            '[watch]\n\nintervall = "1s"',
            "3: watch.intervall: unknown key for dzbgp watch; did you mean interval?",
        ),
        (
            '[users]\noutput = "json"',
            "2: users.output: unknown key for dzbgp users; did you mean listing-output?",
        ),
        ('[users]\ninterval = "1s"', "2: users.interval: unknown key for dzbgp users"),
        ("[wtach]", "1: wtach: unknown command; did you mean watch?"),
        ("interval = 60", "1: interval: invalid duration '60': expected for example 90s, 5m or 6h"),
        ("env = 1", "1: env: expected a text, found a number"),
        ("workers = 0", "1: workers: invalid number '0': expected a whole number, 1 or more"),
        ("workers = true", "1: workers: expected a text, found true or false"),
        ('dry-run = "yes"', "1: dry-run: expected true or false, found a text"),
        ("limit = []", "1: limit: an empty list; expected at least one, or no such key"),
        ("rpc-url = []", "1: rpc-url: an empty list; expected at least one, or no such key"),
        ("env = 2026-01-01", "1: env: expected a text, found a date or a time"),
        ('rpc-url = {a = "https://x/TOKEN"}', "1: rpc-url: expected a list of texts, found a table"),
        (
            'rpc-url = ["https://x/TOKEN", 5]',
            "1: rpc-url: expected a list of texts, found a list with a number",
        ),
        ('state = "a\\u0000b"', "1: state: a null character; expected a text without it"),
        ('eos-password-file = "a\\u0000b"', "1: eos-password-file: expected a text"),
        ('rpc-url = [""]', "1: rpc-url: it is empty; expected a URL"),
        ('keypair = [""]', "1: keypair: it is empty; expected a path"),
        ('genesis-hash = ""', "1: genesis-hash: it is empty; expected a HASH"),
        ('commitment = ""', "1: commitment: unknown value '': expected one of confirmed, finalized"),
        ('verbose = "x"', "1: verbose: invalid number 'x': expected a whole number"),
        ("keypair = [1]", "1: keypair: expected a list of texts, found a list with a number"),
        ('commitment = "sure"', "1: commitment: unknown value 'sure': expected one of confirmed, finalized"),
        ('filter = ["x"]', "1: filter: invalid filter 'x': expected KEY=VALUE"),
        ("max-down = 30", "1: max-down: invalid share '30': expected for example 30% or 0.3"),
        ('env = "a"\nenv = ', "2: not valid TOML; expected KEY = VALUE or [COMMAND]"),
        (
            'eos-password = "x"',
            "1: eos-password: a password does not belong here; expected eos-password-file or eos-password-command",
        ),
        ("eos-username = 1", "1: eos-username: expected a text"),
    ],
)
@pytest.mark.parametrize("command", [("devices",), ("config", "show")])
def test_what_is_wrong_in_the_file_is_a_usage_error_with_line_and_key_in_every_command(
    tmp_path: Path, command: tuple[str, ...], text: str, told: str
) -> None:
    file = written(tmp_path / "c.toml", text)
    done = invoke(None, *command, "--config", str(file))
    assert isinstance(done.exception, UsageError)
    assert str(done.exception) == f"{file}:{told}"


@pytest.mark.parametrize("key", ["inventory", "state", "eos-password-file"])
def test_the_home_of_a_user_that_nobody_knows_is_a_path_like_any_other(tmp_path: Path, key: str) -> None:
    file = written(tmp_path / "c.toml", f'{key} = "~nobody-knows/x"')
    assert values("--config", str(file))[None, key] == (str(tmp_path / "~nobody-knows/x"), f"{file}:1")


def test_every_type_of_value_arrives(tmp_path: Path) -> None:
    file = written(
        tmp_path / "c.toml",
        'workers = 3\nmax-down = 0.5\nlow-balance = 1.5\nlimit = ["a", "b"]\ngroup = "c,d"\nverify = false\nport = 0\n'
        'filter = ["a=b"]\nseed = 7\nverbose = "2"\n',
    )
    found = {key: value for (_, key), (value, _) in values("--config", str(file)).items()}
    assert found == {
        "workers": "3",
        "max-down": "0.5",
        "low-balance": "1.5",
        "limit": ["a", "b"],
        "group": ["c,d"],
        "verify": False,
        "port": "0",
        "filter": ["a=b"],
        "seed": "7",
        "verbose": "2",
    }
    # And all of it is taken by the command: what ends it is the inventory that is missing.
    done = invoke(None, "run", "--config", str(file), "--dry-run")
    assert "inventory" in done.output


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_command_of_a_file_that_others_can_write_is_never_run(tmp_path: Path, mode: int) -> None:
    file = written(tmp_path / "c.toml", f'eos-password-command = "touch {tmp_path}/ran"\n')
    file.chmod(mode)
    done = show("--config", str(file))
    assert "a command runs only from a file of this user or root that nobody else can write" in str(
        done.exception
    )
    assert not (tmp_path / "ran").exists()


def test_the_login_of_the_file_is_used_where_the_environment_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        credentials.USERNAME,
        credentials.PASSWORD,
        credentials.PASSWORD_FILE,
        credentials.PASSWORD_COMMAND,
    ):
        monkeypatch.delenv(name, raising=False)
    written(tmp_path / "password", "of the file\n")
    file = written(tmp_path / "c.toml", 'eos-username = "monitor"\neos-password-file = "password"\n')
    show("--config", str(file))
    assert (credentials.username(), credentials.password()) == ("monitor", "of the file")
    monkeypatch.setenv(credentials.PASSWORD, "of the environment")
    assert credentials.password() == "of the environment"
    monkeypatch.delenv(credentials.PASSWORD)
    (tmp_path / "password").unlink()
    with pytest.raises(UsageError, match=r"^eos-password-file .*password: No such file"):
        credentials.password()
    show("--config", "/dev/null")
    assert credentials.here() == credentials.Login()


def test_an_unknown_variable_is_a_warning_that_names_the_nearest() -> None:
    done = show(DZBGP_INTERVALL="3s", DZBGP_ENV="t", DZBGP_EOS_PASSWORD="x", DZBGP_CONFIG="/dev/null")
    assert done.exit_code == 0
    told = "DZBGP_INTERVALL: unknown environment variable; it is ignored; did you mean DZBGP_INTERVAL?"
    assert [line.partition("WARNING ")[2] for line in done.stderr.splitlines()] == [told]


def test_a_lab_is_a_world_of_its_own_unless_a_file_is_named(tmp_path: Path) -> None:
    file = written(tmp_path / "etc.toml", "wrong = 1\n")
    taken = ("run", "--lab", "--program-id", "x", "--dry-run")
    done = invoke(None, *taken)
    assert "--program-id cannot be combined with --lab" in done.output
    assert "wrong: unknown key" in str(invoke(None, *taken, "--config", str(file)).exception)


def test_help_needs_no_file_that_can_be_read(tmp_path: Path) -> None:
    written(tmp_path / "etc.toml", "wrong = 1\n")
    for command in ("run", "config"):
        assert invoke(None, command, "--help").exit_code == 0


def test_a_key_and_a_variable_mean_the_same_in_every_command() -> None:
    meanings: dict[str, set[Any]] = {}
    for every in every_command().values():
        for one in every:
            meanings.setdefault(one.key, set()).add(
                (one.kind, one.option.metavar, str(one.option.is_repeatable))
            )
    assert {key: found for key, found in meanings.items() if len(found) > 1} == {}
