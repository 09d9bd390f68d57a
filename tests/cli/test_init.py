"""`dzbgp init`: the files that it writes are those that the schedule needs, and nobody else's devices are in them."""

import grp
import os
import pwd
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import ruamel.yaml
from inventory_lab import KESTREL, WORLD
from nobody import as_nobody, open_directory
from standing_ledger import invoke, standing_ledger
from typer.testing import CliRunner

from dzbgp.cli import app as cli
from dzbgp.cli import config_file, init
from dzbgp.cli.init_files import Deployment, Schedule
from dzbgp.cli.options import every_command
from dzbgp.errors import ExitCode
from dzbgp.lab.solana.ledger import Ledger


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with standing_ledger(WORLD) as ledger:
        yield ledger


@pytest.fixture(autouse=True)
def checked(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The configurations that were checked; no device of this ledger answers."""
    found: list[Path] = []

    def check(job: Deployment) -> ExitCode:
        found.append(job.config)
        return ExitCode.OK

    monkeypatch.setattr(init, "_check", check)
    return found


def hosts(directory: Path) -> list[str]:
    return sorted(ruamel.yaml.YAML(typ="safe").load((directory / "inventory/hosts.yaml").read_text()))


GIVEN = ("--contributor", "kestrel", "--eos-username", "monitor", "--yes")


def test_it_writes_inventory_configuration_and_unit_and_says_what_comes_next(
    ledger: Ledger, tmp_path: Path, checked: list[Path]
) -> None:
    done = invoke(
        ledger,
        "init",
        *GIVEN,
        *("--output", str(tmp_path), "--keypair", "/keys/a.json", "--keypair", "/keys/b.json"),
        *("--eos-password-file", "/keys/password", "--schedule", "watch"),
    )
    assert done.exit_code == 0, done.output
    assert hosts(tmp_path) == KESTREL
    config = tmp_path / "config.toml"
    assert checked == [config]
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    found = config_file.read(config, every_command())
    assert {key: setting.value for key, setting in found.shared.items()} == {
        "env": "localnet",
        "rpc-url": [ledger.url],
        "inventory": str(tmp_path / "inventory"),
        "keypair": ["/keys/a.json", "/keys/b.json"],
    }
    assert {key: setting.value for key, setting in found.login.items()} == {
        "eos-username": "monitor",
        "eos-password-file": "/keys/password",
    }
    assert set(found.tables) == {"watch"}
    unit = (tmp_path / "dzbgp-watch.service").read_text().splitlines()
    assert [line for line in unit if line.startswith(("LoadCredential=", "Environment="))] == [
        f"LoadCredential=config.toml:{config}",
        "LoadCredential=publisher.json:/keys/a.json",
        "LoadCredential=publisher1.json:/keys/b.json",
        "LoadCredential=eos-password:/keys/password",
        "Environment=DZBGP_KEYPAIR=%d/publisher.json:%d/publisher1.json DZBGP_EOS_PASSWORD_FILE=%d/eos-password",
    ]
    assert f"Next: dzbgp run --config {config} --dry-run" in done.stdout
    # The directory of the test is its own.
    assert steps(done.stdout) == [
        f"chmod o+rX {tmp_path} && chmod -R o+rX {tmp_path}/inventory",
        f"cp {tmp_path}/dzbgp-watch.service /etc/systemd/system/",
        "systemctl daemon-reload && systemctl enable --now dzbgp-watch",
    ]


@pytest.mark.parametrize(
    ("schedule", "files"),
    [
        (Schedule.TIMER, {"dzbgp-run.service", "dzbgp-run.timer"}),
        (Schedule.CRON, {"dzbgp.cron"}),
        (Schedule.NONE, set()),
    ],
)
def test_each_schedule_has_its_files(
    ledger: Ledger, tmp_path: Path, schedule: Schedule, files: set[str]
) -> None:
    done = invoke(ledger, "init", *GIVEN, "--output", str(tmp_path), "--schedule", schedule)
    assert done.exit_code == 0, done.output
    assert {file.name for file in tmp_path.iterdir()} == files | {"inventory", "config.toml"}
    for name in files - {"dzbgp-run.timer"}:
        text = (tmp_path / name).read_text()
        assert "/etc/dzbgp" not in text
        assert "eos-password:" not in text
        assert "PASSWORD" not in text


def steps(stdout: str) -> list[str]:
    """The commands that are printed at the end."""
    return [line.strip() for line in stdout.partition("Then, as root:\n")[2].splitlines()]


def test_after_the_steps_for_cron_its_account_can_read_and_write_what_the_job_needs(ledger: Ledger) -> None:
    # Nobody's, or without root's rights the tester's own.
    user = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    with open_directory(0o755) as place:
        job, state = place / "job", place / "state"
        secrets = [job / "secrets/publisher.json", job / "secrets/eos-password", place / "other.json"]
        for file in (*secrets, state / "root.sqlite"):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.parent.chmod(0o700 if file.parent != place else 0o755)
            file.touch(mode=0o600)
        done = invoke(
            ledger,
            *("init", *GIVEN, "--schedule", "cron", "--output", str(job)),
            *(
                "--keypair",
                str(secrets[0]),
                "--keypair",
                str(secrets[2]),
                "--eos-password-file",
                str(secrets[1]),
            ),
        )
        assert done.exit_code == 0, done.output
        make, *give, check, copy = steps(done.stdout)
        account = make.split()[-1]
        assert make == f"useradd --system --user-group {account}"
        config = job / "config.toml"
        assert check.startswith(f"sudo -H -u {account} ")
        assert check.endswith(f" check --config {config}")
        assert copy == f"cp {job}/dzbgp.cron /etc/cron.d/dzbgp"
        assert f" {account} " in (job / "dzbgp.cron").read_text().splitlines()[-1]
        root = pwd.getpwuid(os.geteuid()).pw_name
        for step in give:
            here = step.replace("/var/lib/dzbgp", str(state)).replace(
                f"chown -R {account}:", f"chown -R {user.pw_name}:"
            )
            here = here.replace(f"root:{account}", f"{root}:{grp.getgrgid(user.pw_gid).gr_name}")
            subprocess.run(["/bin/sh", "-c", here], check=True)

        def use() -> str:
            for file in (config, *secrets):
                file.read_bytes()
            (state / "fresh").touch()
            (state / "root.sqlite").write_bytes(b"")
            return "done"

        assert as_nobody(use) == "done"
        assert stat.S_IMODE(config.stat().st_mode) == 0o640


@pytest.mark.parametrize("schedule", ["watch", "cron"])
def test_whatever_the_umask_the_account_of_the_job_can_read_the_inventory_after_the_steps(
    ledger: Ledger, schedule: str
) -> None:
    with open_directory(0o755) as place:
        usual = os.umask(0o077)
        try:
            done = invoke(ledger, "init", *GIVEN, "--schedule", schedule, "--output", str(place / "job"))
        finally:
            os.umask(usual)
        assert done.exit_code == 0, done.output
        (step,) = [step for step in steps(done.stdout) if step.startswith("chmod ")]
        subprocess.run(["/bin/sh", "-c", step], check=True)
        assert as_nobody((place / "job/inventory/hosts.yaml").read_text)
        assert stat.S_IMODE((place / "job/config.toml").stat().st_mode) == 0o600


def test_a_command_for_the_password_stands_in_the_configuration_only(ledger: Ledger, tmp_path: Path) -> None:
    done = invoke(
        ledger, "init", *GIVEN, "--output", str(tmp_path), "--eos-password-command", "pass show 'eos \"x\"'"
    )
    assert done.exit_code == 0, done.output
    found = config_file.read(tmp_path / "config.toml", every_command())
    assert found.login["eos-password-command"].value == "pass show 'eos \"x\"'"
    assert "pass show" not in (tmp_path / "dzbgp-watch.service").read_text()


def test_it_asks_for_what_was_not_given(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(init, "_can_ask", lambda: True)
    answers = f"localnet\n{ledger.url}\nkestrel\n/keys/a.json\nmonitor\n/keys/password\nnever\ncron\n"
    done = CliRunner().invoke(cli.app, ["init", "--output", str(tmp_path)], input=answers)
    assert done.exit_code == 0, done.output
    assert hosts(tmp_path) == KESTREL
    found = config_file.read(tmp_path / "config.toml", every_command())
    assert found.shared["keypair"].value == ["/keys/a.json"]
    assert found.login["eos-password-file"].value == "/keys/password"
    assert (tmp_path / "dzbgp.cron").exists()


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--yes",), "--contributor: it is missing"),
        ((*GIVEN, "--eos-password-file", "a", "--eos-password-command", "b"), "expected one of the two"),
        ((*GIVEN, "--keypair", "."), "--keypair .: it is a directory"),
        (("--yes", "--contributor", "nobody"), "nobody"),
        ((*GIVEN, "--keypair", "/k%h.json"), "--keypair /k%h.json: it has '%', which systemd and cron read"),
        ((*GIVEN, "--eos-password-file", "/a b"), "--eos-password-file /a b: it has ' ', which systemd"),
        ((*GIVEN, "--output", "/tmp/a b", "--schedule", "cron"), "--output /tmp/a b: it has ' ', which"),
        ((*GIVEN, "--output", "/tmp/a\n* * * * * root x"), "--output: '/tmp/a\\n* * * * * root x' cannot be"),
        ((*GIVEN, "--output", "/tmp/\udcff", "--schedule", "none"), "--output: '/tmp/\\udcff' cannot be"),
    ],
)
def test_what_is_wrong_is_a_usage_error_and_nothing_is_written(
    ledger: Ledger, tmp_path: Path, args: tuple[str, ...], told: str
) -> None:
    done = invoke(ledger, "init", "--output", str(tmp_path / "new"), *args)
    assert done.exit_code == 2
    assert told in done.stderr
    assert not (tmp_path / "new").exists()


def test_paths_that_no_unit_or_cron_line_names_may_have_blanks(ledger: Ledger, tmp_path: Path) -> None:
    place = tmp_path / "a b%"
    done = invoke(
        ledger, "init", *GIVEN, "--output", str(place), "--keypair", "/k 1.json", "--schedule", "none"
    )
    assert done.exit_code == 0, done.output
    assert config_file.read(place / "config.toml", every_command()).shared["keypair"].value == ["/k 1.json"]


def test_a_link_to_nowhere_is_there_already_too(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "config.toml").symlink_to(tmp_path / "nowhere")
    done = invoke(ledger, "init", *GIVEN, "--output", str(tmp_path))
    assert (done.exit_code, [one.name for one in tmp_path.iterdir()]) == (2, ["config.toml"])
    assert "it exists already" in done.stderr


def test_what_is_there_already_is_kept(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("# mine\n")
    done = invoke(ledger, "init", *GIVEN, "--output", str(tmp_path))
    assert done.exit_code == 2
    assert "config.toml: it exists already" in done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["config.toml"]
