"""The files under contrib/ that run dzbgp: what they name exists, and what checks them finds no fault."""

import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import debian
import pytest
import ruamel.yaml
from command_tree import every_word
from metrics_lab import CONTRIB
from pages import DOCS, PAGES, README, blocks, releases

from dzbgp import __version__
from dzbgp.cli import config_file, init_files
from dzbgp.cli.options import every_command
from dzbgp.console.formats import Output
from dzbgp.errors import ExitCode
from dzbgp.run.watch import WatchOptions
from dzbgp.state.place import SYSTEM

SYSTEMD = CONTRIB / "systemd"
UNITS = sorted(SYSTEMD.iterdir())
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]
CRON = CONTRIB / "cron" / "dzbgp"
WORKFLOW = CONTRIB / "github-actions" / "dzbgp.yaml"
GITLAB = CONTRIB / "gitlab" / "dzbgp.gitlab-ci.yml"
KUBERNETES = CONTRIB / "kubernetes" / "dzbgp.yaml"
CONFIG = CONTRIB / "config.toml"
INSTALLED = "/opt/dzbgp/bin/dzbgp"


def test_the_example_of_a_configuration_is_one_and_names_only_absolute_paths() -> None:
    found = config_file.read(CONFIG, every_command())
    assert str(CONFIG.parent) not in repr((found.shared, found.tables, found.login))
    assert set(found.shared) == {"env", "rpc-url", "inventory", "keypair"}
    assert set(found.tables) == {"watch"}
    assert found.login["eos-username"].value


def test_no_shell_reads_a_file_of_settings() -> None:
    # A password with a blank or a dollar sign would be cut, or run.
    for file in [*UNITS, CRON, WORKFLOW, GITLAB]:
        assert not re.search(
            r"set -a|\.env\b|(^|[;&] *)(\.|source) /", file.read_text(encoding="utf-8"), re.MULTILINE
        )
    assert "--config /etc/dzbgp/config.toml" in CRON.read_text(encoding="utf-8")
    assert (
        ruamel.yaml.YAML(typ="safe").load(WORKFLOW.read_text(encoding="utf-8"))["env"]["DZBGP_CONFIG"]
        == "dzbgp.toml"
    )


def parameters() -> dict[str, dict[str, Any]]:
    """The options of each command, by every spelling."""
    return {
        words[0]: {spelling: one for one in command.params for spelling in (*one.opts, *one.secondary_opts)}
        for words, command in every_word().items()
        if len(words) == 1
    }


def environment_variables() -> set[str]:
    return {
        str(one.envvar) for options in parameters().values() for one in options.values() if one.envvar
    } | {
        "DZBGP_CONFIG",
        "DZBGP_EOS_USERNAME",
        "DZBGP_EOS_PASSWORD",
        "DZBGP_EOS_PASSWORD_FILE",
        "DZBGP_EOS_PASSWORD_COMMAND",
    }


def entries(unit: Path) -> dict[str, list[str]]:
    """What a unit file says: the values of each key. A key may come more than once."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith(("#", "[")):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def command_lines(file: Path) -> list[list[str]]:
    """Every call of dzbgp in a file, in words, as far as the shell's next operator."""
    text = "\n".join(line for line in file.read_text(encoding="utf-8").splitlines() if line[:1] != "#")
    calls = re.findall(r"(?:/opt/dzbgp/bin/|exec )dzbgp ([a-z].*)", text)
    return [shlex.split(re.split(r" (?:>>?|\|\||&&|;) ?", call)[0]) for call in calls]


@pytest.mark.parametrize("file", [*SERVICES, CRON, WORKFLOW, GITLAB], ids=lambda file: file.name)
def test_every_command_and_option_exists_and_every_value_is_taken(file: Path) -> None:
    known = parameters()
    calls = command_lines(file)
    assert calls
    for command, *words in calls:
        options = known[command]
        while words:
            option = words.pop(0)
            assert option in options, f"dzbgp {command} {option}"
            if not options[option].is_flag:
                value = words.pop(0)
                assert option != "--output" or value.partition("=")[0] in set(Output)


OTHERS = {"DZBGP_KEYPAIR_JSON", "DZBGP_SOAK_SECONDS", "DZBGP_FAULT_SEEDS"}
"""A secret of the workflow's repository, and what lengthens tests."""


@pytest.mark.parametrize(
    "file",
    [*UNITS, CRON, WORKFLOW, GITLAB, KUBERNETES, README, *PAGES],
    ids=lambda file: f"{file.parent.name}/{file.name}",
)
def test_every_environment_variable_is_one_that_dzbgp_reads(file: Path) -> None:
    named = set(re.findall(r"\bDZBGP_[A-Z_]*[A-Z]\b", file.read_text(encoding="utf-8")))
    assert named - OTHERS <= environment_variables()


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_finds_no_fault_in_a_unit(unit: Path, tmp_path: Path) -> None:
    debian.require("systemd")
    # It also looks for the program, which is not installed here.
    for other in UNITS:
        text = other.read_text(encoding="utf-8").replace(INSTALLED, sys.executable)
        (tmp_path / other.name).write_text(text, encoding="utf-8")
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / unit.name)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def test_systemd_itself_calls_the_sandbox_ok() -> None:
    debian.require("systemd")
    for unit in SERVICES:
        command = ["systemd-analyze", "security", "--offline=yes", "--threshold=20", str(unit)]
        checked = subprocess.run(command, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout[-300:]


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_a_service_runs_without_rights_and_gets_its_secrets_as_credentials(unit: Path) -> None:
    said = entries(unit)
    for key, value in {
        "DynamicUser": "yes",
        "ProtectSystem": "strict",
        "ProtectHome": "yes",
        "NoNewPrivileges": "yes",
        "CapabilityBoundingSet": "",
        "StateDirectory": "dzbgp",
    }.items():
        assert said[key] == [value]
    credentials = dict(credential.split(":") for credential in said["LoadCredential"])
    configured = config_file.read(CONFIG, every_command())
    assert credentials == {
        "config.toml": "/etc/dzbgp/config.toml",
        "publisher.json": configured.shared["keypair"].value[0],
        "eos-password": configured.login["eos-password-file"].value,
    }
    (started,) = said["ExecStart"]
    assert started.endswith(" --config ${CREDENTIALS_DIRECTORY}/config.toml")
    assert said["Environment"] == ["DZBGP_KEYPAIR=%d/publisher.json DZBGP_EOS_PASSWORD_FILE=%d/eos-password"]
    assert "EnvironmentFile" not in said
    # Every unit and every run of this machine has the same one, which systemd's $STATE_DIRECTORY says.
    assert "--state" not in started
    assert "AF_UNIX" in said["RestrictAddressFamilies"][0]


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_a_second_key_beside_the_first_gets_to_the_service_as_the_page_on_keys_says(unit: Path) -> None:
    page = (DOCS / "publisher-keys.md").read_text(encoding="utf-8")
    (added,) = re.findall(
        r"```ini\n\[Service\]\nLoadCredential=(\S+)\nEnvironment=DZBGP_KEYPAIR=(\S+)\n```", page
    )
    loaded = [credential.partition(":")[0] for credential in (*entries(unit)["LoadCredential"], added[0])]
    keys = [name for name in loaded if name.endswith(".json")]
    assert added[1] == ":".join(f"%d/{name}" for name in keys)


def test_the_watch_is_a_service_that_notifies_is_watched_and_is_given_time_to_end() -> None:
    said = entries(SYSTEMD / "dzbgp-watch.service")
    assert said["Type"] == ["notify"]
    assert said["WatchdogSec"] == ["3min"]
    assert said["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    (stop,) = said["TimeoutStopSec"]
    assert int(stop.removesuffix("s")) > WatchOptions().stop_wait_s + 10
    assert said["RestartPreventExitStatus"] == [str(int(ExitCode.USAGE))]


def test_a_pass_of_the_timer_that_is_done_in_part_or_held_is_no_failed_service() -> None:
    said = entries(SYSTEMD / "dzbgp-run.service")
    assert said["SuccessExitStatus"] == [f"{int(ExitCode.PARTIAL)} {int(ExitCode.HELD)}"]


def test_both_services_have_the_same_sandbox() -> None:
    marked = "# An account of its own"
    one, other = (
        re.sub(r"# An account.*\n", "", text[text.index(marked) :].partition("[Install]")[0].strip())
        for text in (unit.read_text(encoding="utf-8") for unit in SERVICES)
    )
    assert one == other


def test_the_cron_file_is_one_that_cron_takes() -> None:
    lines = CRON.read_text(encoding="utf-8")
    assert lines.endswith("\n")
    jobs = [line for line in lines.splitlines() if line and not re.match(r"#|[A-Z]+=", line)]
    (job,) = jobs
    *when, user, command = job.split(maxsplit=6)
    assert when == ["*/5", "*", "*", "*", "*"]
    assert user == "dzbgp"
    # To cron an unescaped percent sign is a line break.
    assert "%" not in command
    assert subprocess.run(["/bin/sh", "-n", "-c", command], check=False).returncode == 0


def test_the_account_of_the_cron_job_is_made_as_init_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(init_files, "_program", lambda: INSTALLED)
    configured = config_file.read(CONFIG, every_command())
    job = init_files.Deployment(
        directory=Path("/etc/dzbgp"),
        env="testnet",
        keypairs=[Path(file) for file in configured.shared["keypair"].value],
        eos_password_file=Path(configured.login["eos-password-file"].value),
        schedule=init_files.Schedule.CRON,
    )
    *account, copy = job.steps
    head = re.findall(r"^#   (.*)$", CRON.read_text(encoding="utf-8"), re.MULTILINE)
    assert head == account
    (block,) = [block.text for block in blocks(DOCS / "deploy.md") if "useradd" in block.text]
    assert block.splitlines() == [*account, copy.replace("/etc/dzbgp/dzbgp.cron", "contrib/cron/dzbgp")]


def test_the_workflow_dries_by_the_clock_and_writes_only_when_somebody_asks() -> None:
    loaded = ruamel.yaml.YAML(typ="safe").load(WORKFLOW.read_text(encoding="utf-8"))
    # YAML 1.2: `on` is a string here.
    assert loaded["on"]["schedule"] == [{"cron": "17 * * * *"}]
    assert loaded["permissions"] == {"contents": "read"}
    assert loaded["concurrency"]["cancel-in-progress"] is False
    dry, write = loaded["jobs"]["dry-run"], loaded["jobs"]["write"]
    assert dry["if"] == "${{ !inputs.write }}"
    assert write["if"] == "${{ inputs.write }}"
    assert write["environment"]
    assert all("--dry-run" in script for script in scripts(dry))
    assert not any("--dry-run" in script for script in scripts(write))


def scripts(job: Mapping[str, Any]) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


@pytest.mark.parametrize(
    ("name", "code", "wanted"),
    [
        *(("dry-run", code, 0) for code in (0, 3, 4, 5)),
        *(("write", code, 0) for code in (0, 3, 4)),
        *((name, code, code) for name in ("dry-run", "write") for code in (1, 2)),
    ],
)
def test_a_step_of_the_workflow_makes_of_each_exit_code_what_it_should(
    tmp_path: Path, name: str, code: int, wanted: int
) -> None:
    loaded = ruamel.yaml.YAML(typ="safe").load(WORKFLOW.read_text(encoding="utf-8"))
    (script,) = scripts(loaded["jobs"][name])
    program = tmp_path / "dzbgp"
    program.write_text(f'#!/bin/sh\necho "$@"\nexit {code}\n')
    program.chmod(0o755)
    summary = tmp_path / "summary"
    done = subprocess.run(
        ["/bin/bash", "-e", "-c", script.replace(INSTALLED, str(program))],
        env={
            "GITHUB_STEP_SUMMARY": str(summary),
            "RUNNER_TEMP": str(tmp_path),
            "HOME": str(tmp_path),
            "DZBGP_KEYPAIR_JSON": "[1]",
            "PATH": "/usr/bin:/bin",
        },
        check=False,
    )
    assert done.returncode == wanted
    assert "--output markdown" in summary.read_text()
    assert not (tmp_path / "publisher.json").exists()


def test_gitlab_dries_by_the_clock_and_writes_only_when_somebody_asks() -> None:
    loaded = ruamel.yaml.YAML(typ="safe").load(GITLAB.read_text(encoding="utf-8"))
    dry, write = loaded["dry-run"], loaded["write"]
    assert {"if": '$CI_PIPELINE_SOURCE == "schedule"'} in dry["rules"]
    assert write["rules"] == [{"if": '$CI_PIPELINE_SOURCE == "web" && $WRITE == "true"'}]
    assert write["environment"]
    assert write["resource_group"]
    assert all("--dry-run" in line for line in dry["script"])
    assert not any("--dry-run" in line for line in write["script"])
    done_in_part = {int(ExitCode.PARTIAL), int(ExitCode.HELD)}
    assert set(write["allow_failure"]["exit_codes"]) == done_in_part
    assert set(dry["allow_failure"]["exit_codes"]) == done_in_part | {int(ExitCode.CHANGES_PENDING)}


def test_kubernetes_has_one_writer_and_the_files_where_the_configuration_names_them() -> None:
    documents = ruamel.yaml.YAML(typ="safe").load_all(KUBERNETES.read_text(encoding="utf-8"))
    claim, deployment = documents
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["args"] == ["watch"]
    assert container["image"] == f"dzbgp:{__version__}"
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["terminationGracePeriodSeconds"] > WatchOptions().stop_wait_s + 10
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes.keys() == mounts.keys()
    assert volumes["state"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    said = (CONTRIB.parent / "Containerfile").read_text(encoding="utf-8")
    assert f"ENV STATE_DIRECTORY={mounts['state']}\n" in said
    files = {
        kind: {f"{mounts['settings']}/{item['path']}": item["key"] for item in source["items"]}
        for one in volumes["settings"]["projected"]["sources"]
        for kind, source in one.items()
    }
    configured = config_file.read(CONFIG, every_command())
    inventory = configured.shared["inventory"].value
    assert files["configMap"].keys() == {
        f"{inventory}/{name}.yaml" for name in ("hosts", "groups", "defaults")
    }
    # The configuration too: the path of the RPC's URL is one.
    secrets = [
        "/etc/dzbgp/config.toml",
        *configured.shared["keypair"].value,
        configured.login["eos-password-file"].value,
    ]
    assert list(files["secret"]) == secrets
    for text in (KUBERNETES, DOCS / "deploy.md"):
        (made,) = re.findall(r"kubectl create secret generic dzbgp (.*)", text.read_text(encoding="utf-8"))
        assert made.split() == [f"--from-file={key}" for key in files["secret"].values()]
    port = container["ports"][0]["containerPort"]
    assert {"name": "DZBGP_METRICS_ADDR", "value": f"0.0.0.0:{port}"} in container["env"]
    assert configured.tables["watch"]["metrics-addr"].value.endswith(f":{port}")


def test_the_guard_is_released_as_the_account_and_in_the_state_file_of_each_deployment() -> None:
    commands = releases()
    assert list(commands) == [
        "systemd, watch or timer",
        "cron",
        "GitHub Actions",
        "GitLab",
        "Kubernetes",
        "a shell",
    ]
    systemd, cron, github, gitlab, kubernetes, shell = (words.split() for words in commands.values())
    (configuration,) = {
        credential.partition(":")[2]
        for unit in SERVICES
        for credential in entries(unit)["LoadCredential"]
        if credential.startswith("config.toml:")
    }
    assert systemd == ["sudo", INSTALLED, "release", "--config", configuration]
    for unit in SERVICES:
        said = entries(unit)
        assert said["ExecStart"][0].split()[0] == INSTALLED
        # Where a command finds the file without systemd's variable.
        assert SYSTEM.parent / said["StateDirectory"][0] == SYSTEM

    job = CRON.read_text(encoding="utf-8").splitlines()[-1].split()
    user, program, _, option, file = job[5:10]
    assert cron == ["sudo", "-H", "-u", user, program, "release", option, file]
    assert "--state" not in job

    for words, pipeline in ((github, WORKFLOW), (gitlab, GITLAB)):
        text = pipeline.read_text(encoding="utf-8")
        (network,) = re.findall(r'^#   env = "(.*)"$', text, re.MULTILINE)
        assert words == ["sudo", "-H", "-u", "RUNNER", INSTALLED, "release", "--env", network]
        assert INSTALLED in text
        assert not re.search(r"--state|DZBGP_STATE", text)

    _, deployment = ruamel.yaml.YAML(typ="safe").load_all(KUBERNETES.read_text(encoding="utf-8"))
    name = f"{deployment['kind'].lower()}/{deployment['metadata']['name']}"
    assert kubernetes == ["kubectl", "exec", name, "--", *shell]
    image = (CONTRIB.parent / "Containerfile").read_text(encoding="utf-8")
    # The command finds the program, and the state file and the configuration of the container's own watch.
    assert re.search(rf"^ENV PATH={Path(INSTALLED).parent}:", image, re.MULTILINE)
    assert f"ENV STATE_DIRECTORY={SYSTEM}\n" in image
    assert shell == [Path(INSTALLED).name, "release"]
