"""Whole runs of dzbgp on a Dask cluster: they see, decide and write what they would with threads."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dask_cluster import Cluster, cluster, tls_files
from e2e_lab import (
    REAL_SLOT_MS,
    Done,
    E2eLab,
    began,
    dzbgp,
    edited,
    ended,
    environment,
    interrupted,
    silence,
    started_lab,
)
from waiting import until

from dzbgp.lab.eos.fleet import DeviceFault

CANARY = "canary-of-the-devices-41c7"
SECRET_PATH = "canary-of-the-rpc-77d1"
TIMELESS = {"detail"}
PLURALS = {"host": "hosts", "group": "groups", "defaults": "defaults"}
QUICK_S = 10
SLOW_IMPORT = """
import sys, time
class Slow:
    def find_spec(self, name, *_):
        if name == "dzbgp.fleet.dask.worker":
            time.sleep(2)
sys.meta_path.insert(0, Slow())
"""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[E2eLab]:
    with started_lab(tmp_path, timeout_s=5, slot_ms=REAL_SLOT_MS, password=CANARY) as made:
        yield made


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("cluster"), workers=2) as running:
        yield running
        assert CANARY not in running.said()


@pytest.fixture(scope="module")
def over_tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("tls")
    with cluster(directory, workers=2, security=tls_files(directory)) as running:
        assert running.address.startswith("tls://")
        yield running
        assert CANARY not in running.said()
        assert SECRET_PATH not in running.said()


def on(running: Cluster) -> list[str]:
    return ["--runner", "dask", "--scheduler", running.address]


def without_times(report: dict[str, Any]) -> tuple[Any, ...]:
    """A report but for its times, and for the sentences, which say how long ago things were."""
    users = [{key: value for key, value in user.items() if key not in TIMELESS} for user in report["users"]]
    summary = {key: value for key, value in report["summary"].items() if key != "rpc_requests"}
    return report["devices"], users, summary


def findings(audit: Done) -> list[dict[str, Any]]:
    """What an audit has found, but for how long ago things were."""
    return [
        item | {"detail": re.sub(r"[\d.]+ \w+ ago", "a while ago", item["detail"])}
        for item in audit.report["findings"]
    ]


def clean(done: Done) -> Done:
    assert CANARY not in done.out + done.err
    assert SECRET_PATH not in done.out + done.err
    return done


def test_a_dry_run_sees_and_decides_as_with_threads(lab: E2eLab, two: Cluster, tmp_path: Path) -> None:
    args = ["run", *lab.args, "--dry-run", "--output", "json", "--confirm-down", "0.1s"]
    threads, workers = (clean(dzbgp(tmp_path, *args, *more)) for more in ([], on(two)))
    assert (threads.code, workers.code) == (3, 3), workers.err
    assert without_times(workers.report) == without_times(threads.report)
    assert {device["result"] for device in workers.report["devices"]} >= {"ok", "failed"}
    assert any(user["rtt_ns"] for user in workers.report["users"])
    assert "Traceback" not in workers.err
    assert "distributed" not in workers.err


def test_a_run_writes_what_is_due_in_one_place(lab: E2eLab, two: Cluster, tmp_path: Path) -> None:
    done = clean(dzbgp(tmp_path, "run", *lab.args, *on(two), "--output", "json"))
    assert done.code == 3, done.err
    assert done.report["summary"]["submitted"] == done.report["summary"]["to_submit"] > 0
    assert lab.ledger.stats().instructions_executed == len(lab.world.expected())


def test_check_and_audit_ask_the_cluster_too(lab: E2eLab, two: Cluster, tmp_path: Path) -> None:
    lab.heal()
    args = [word for word in lab.args if word not in {"--refresh-interval", "6h"}]
    check = clean(dzbgp(tmp_path, "check", *args, *on(two), "--output", "json"))
    assert check.code == 0, check.out + check.err
    ledger = ["--env", "localnet", "--rpc-url", lab.ledger.url]
    audits = [
        clean(dzbgp(tmp_path, "audit", *ledger, "--inventory", str(lab.inventory), *more, "--output", "json"))
        for more in ([], on(two))
    ]
    assert findings(audits[0]) == findings(audits[1])
    silence(lab)
    with edited(lab.inventory / "defaults.yaml") as content:
        content["connection_options"]["napalm"]["extras"]["timeout"] = 1
    silent = clean(dzbgp(tmp_path, "check", *args, *on(two)))
    assert silent.code == 3
    assert "no answer in 1 s" in silent.out


def without_password(lab: E2eLab) -> None:
    with edited(lab.inventory / "defaults.yaml") as content:
        del content["password"]


def test_the_login_of_the_environment_is_sent_over_tls(
    lab: E2eLab, over_tls: Cluster, tmp_path: Path
) -> None:
    lab.heal()
    without_password(lab)
    args = ["run", *lab.args, *on(over_tls), "--dry-run", "--output", "json", "-vv"]
    done = clean(dzbgp(tmp_path, *args, **over_tls.security, DZBGP_EOS_PASSWORD=CANARY))
    assert done.code == 0, done.err
    assert {device["result"] for device in done.report["devices"]} == {"ok"}


def test_without_tls_the_login_stays_here_and_workers_need_their_own(
    lab: E2eLab, two: Cluster, tmp_path: Path
) -> None:
    lab.heal()
    without_password(lab)
    args = ["run", *lab.args, "--dry-run", "--output", "json"]
    done = clean(dzbgp(tmp_path, *args, *on(two), DZBGP_EOS_PASSWORD=CANARY))
    assert (done.code, done.out) == (1, "")
    assert "error: worker tcp://" in done.error
    assert "no host has a username and a password" in done.error
    assert not any(lab.fleet.requests(spec.code) for spec in lab.world.devices)
    with cluster(tmp_path / "own", workers=0) as running:
        running.add_worker(DZBGP_EOS_PASSWORD=CANARY)
        done = clean(dzbgp(tmp_path, *args, *on(running)))
        assert CANARY not in running.said()
    assert done.code == 0, done.err
    assert {device["result"] for device in done.report["devices"]} == {"ok"}


def test_a_worker_that_can_not_build_the_inventory_leaves_the_hosts_to_the_others(
    lab: E2eLab, tmp_path: Path
) -> None:
    lab.heal()
    without_password(lab)
    args = ["run", *lab.args, "--dry-run", "--output", "json"]
    with cluster(tmp_path / "cluster", workers=0) as running:
        running.add_worker(DZBGP_EOS_PASSWORD_FILE="/nowhere")
        running.wait_for(1)
        done = clean(dzbgp(tmp_path, *args, *on(running)))
        assert (done.code, done.out) == (1, "")
        assert "DZBGP_EOS_PASSWORD_FILE /nowhere: No such file or directory" in done.error
        assert running.address.replace("tcp://", "") not in done.error
        running.add_worker(DZBGP_EOS_PASSWORD=CANARY)
        running.wait_for(2)
        done = clean(dzbgp(tmp_path, *args, *on(running)))
    assert done.code == 0, done.err
    assert {device["result"] for device in done.report["devices"]} == {"ok"}


def test_a_worker_of_another_make_leaves_the_hosts_to_the_others(lab: E2eLab, tmp_path: Path) -> None:
    lab.heal()
    broken = tmp_path / "other"
    (broken / "dzbgp").mkdir(parents=True)
    (broken / "dzbgp" / "__init__.py").write_text("raise ImportError('another version')", encoding="utf-8")
    args = ["run", *lab.args, "--dry-run", "--output", "json"]
    with cluster(tmp_path / "cluster", workers=0) as running:
        running.add_worker(PYTHONPATH=str(broken))
        running.wait_for(1)
        done = clean(dzbgp(tmp_path, *args, *on(running)))
        assert (done.code, done.out) == (1, "")
        assert "ImportError: another version" in done.error
        assert running.workers[0].poll() is None
        # The good one takes its time, in which the other could take over what is meant for it.
        slow = tmp_path / "slow"
        slow.mkdir()
        (slow / "sitecustomize.py").write_text(SLOW_IMPORT, encoding="utf-8")
        running.add_worker(PYTHONPATH=str(slow))
        running.wait_for(2)
        done = clean(dzbgp(tmp_path, *args, *on(running)))
    assert done.code == 0, done.err
    assert {device["result"] for device in done.report["devices"]} == {"ok"}


def test_workers_see_a_password_that_was_changed(lab: E2eLab, tmp_path: Path) -> None:
    lab.heal()
    without_password(lab)
    secret = tmp_path / "secret"
    args = ["run", *lab.args, "--dry-run", "--output", "json"]
    with cluster(tmp_path / "cluster", workers=0) as running:
        running.add_worker(DZBGP_EOS_PASSWORD_COMMAND=f"cat {secret}")
        for password, code in (("the old one", 3), (CANARY, 0)):
            secret.write_text(password, encoding="ascii")
            assert clean(dzbgp(tmp_path, *args, *on(running))).code == code


@pytest.mark.parametrize("lost", ["scheduler", "workers"])
def test_when_the_cluster_is_lost_in_the_middle_the_report_says_which_devices_have_not_answered(
    tmp_path: Path, lost: str
) -> None:
    with started_lab(tmp_path, timeout_s=30, password=CANARY) as lab:
        lose_in_the_middle(lab, tmp_path, lost)


def lose_in_the_middle(lab: E2eLab, tmp_path: Path, lost: str) -> None:
    lab.heal()
    slow, *others = [spec.code for spec in lab.world.devices]
    host_of = {spec.code: spec.host for spec in lab.world.devices}
    with cluster(tmp_path / "cluster", workers=1) as running:
        lab.fleet.set_fault(slow, DeviceFault.NO_ANSWER)
        settings = tmp_path / "config.yaml"
        files = {f"{name}_file": str(lab.inventory / f"{plural}.yaml") for name, plural in PLURALS.items()}
        options = {"scheduler": running.address, "patience_s": 2, "num_workers": 20}
        runner = {"plugin": "dask", "options": options}
        settings.write_text(
            json.dumps({"inventory": {"plugin": "SimpleInventory", "options": files}, "runner": runner}),
            encoding="utf-8",
        )
        args = [*lab.ledger_args, "--keypair", str(lab.keypairs), "--inventory", str(settings)]
        process = began(tmp_path, "run", *args, "--dry-run", "--output", "json")
        # The client does not show what it has taken in: a generous while after the last answer it has them all.
        until(lambda: all(lab.fleet.requests(code) >= 2 for code in others))
        time.sleep(3.0)
        if lost == "scheduler":
            running.scheduler.kill()
        else:
            running.kill_worker(0)
        done = clean(ended(process))
    assert done.code == 3, done.err
    results = {device["host"]: device for device in done.report["devices"]}
    assert {results[host_of[code]]["result"] for code in others} == {"ok"}
    assert results[host_of[slow]]["result"] == "failed"
    words = "the connection is lost" if lost == "scheduler" else "no worker for 2 s"
    assert words in results[host_of[slow]]["error"]
    undecided = [user for user in done.report["users"] if user["host"] == host_of[slow]]
    assert undecided
    assert {(user["observed"], user["action"]) for user in undecided} == {("unknown", "skip")}


def test_workers_read_an_inventory_made_of_the_ledger_themselves(
    lab: E2eLab, over_tls: Cluster, tmp_path: Path
) -> None:
    lab.heal()
    words, login = of_the_ledger(lab, tmp_path, f"{lab.ledger.url}/{SECRET_PATH}")
    args = ["run", *words, *on(over_tls), "--dry-run", "--output", "json"]
    done = clean(dzbgp(tmp_path, *args, **over_tls.security, **login))
    assert done.code == 0, done.err
    assert [device["result"] for device in done.report["devices"]] == ["ok"] * len(lab.world.devices)


def test_without_tls_workers_need_a_login_of_their_own_for_such_an_inventory(
    lab: E2eLab, tmp_path: Path
) -> None:
    lab.heal()
    words, login = of_the_ledger(lab, tmp_path, lab.ledger.url)
    with cluster(tmp_path / "cluster", workers=0) as running:
        running.add_worker(**login)
        args = ["run", *words, *on(running), "--dry-run", "--output", "json"]
        done = clean(dzbgp(tmp_path, *args))
        assert CANARY not in running.said()
    assert done.code == 0, done.err
    assert [device["result"] for device in done.report["devices"]] == ["ok"] * len(lab.world.devices)


def of_the_ledger(lab: E2eLab, tmp_path: Path, url: str) -> tuple[list[str], dict[str, str]]:
    """The options of an inventory made of the lab's ledger, and the login of its devices."""
    directory = tmp_path / "made"
    directory.mkdir()
    codes = [spec.code for spec in lab.world.devices]
    found = {code: lab.fleet.addresses[code] for code in codes}
    lines = [f"{code}: {{hostname: {address}, port: {port}}}\n" for code, (address, port) in found.items()]
    (directory / "extra.yaml").write_text("".join(lines), encoding="utf-8")
    config = directory / "config.yaml"
    config.write_text(
        "inventory:\n  plugin: DoubleZeroInventory\n  options:\n    extra: extra.yaml\n", encoding="utf-8"
    )
    words = [
        "--env",
        "localnet",
        "--rpc-url",
        url,
        "--keypair",
        str(lab.keypairs),
        "--inventory",
        str(config),
    ]
    login = {"DZBGP_EOS_USERNAME": lab.fleet.device(codes[0]).username, "DZBGP_EOS_PASSWORD": CANARY}
    return words, login


def test_an_interrupt_while_workers_ask_ends_at_once_and_writes_nothing(
    lab: E2eLab, two: Cluster, tmp_path: Path
) -> None:
    silence(lab)
    process = began(tmp_path, "run", *lab.args, *on(two))
    until(lambda: all(lab.fleet.requests(spec.code) for spec in lab.world.devices))
    done = interrupted(process, signal.SIGINT, QUICK_S)
    assert (done.code, done.out) == (1, "")
    assert done.err == "error: interrupted; nothing was written\n"
    assert lab.sent() == 0


def test_nobody_at_the_scheduler_is_one_line_and_exit_code_1(lab: E2eLab, tmp_path: Path) -> None:
    settings = tmp_path / "config.yaml"
    settings.write_text(
        f"inventory: {{options: {{host_file: {lab.inventory}/hosts.yaml, group_file: {lab.inventory}/groups.yaml, "
        f"defaults_file: {lab.inventory}/defaults.yaml}}}}\n"
        "runner: {plugin: dask, options: {scheduler: 'tcp://127.0.0.1:9', patience_s: 1}}\n",
        encoding="utf-8",
    )
    args = [*lab.ledger_args, "--keypair", str(lab.keypairs), "--inventory", str(settings)]
    done = dzbgp(tmp_path, "run", *args)
    assert (done.code, done.out) == (1, "")
    assert "scheduler tcp://127.0.0.1:9: cannot be reached" in done.error
    assert "distributed" not in done.err


def test_a_scheduler_without_its_runner_is_a_usage_error(lab: E2eLab, tmp_path: Path) -> None:
    done = dzbgp(tmp_path, "run", *lab.args, "--scheduler", "tcp://127.0.0.1:9")
    assert (done.code, done.out) == (2, "")
    assert done.error == "error: --scheduler: needs --runner dask, but the runner is 'threaded'"


def test_without_the_extra_one_line_says_how_to_get_it(lab: E2eLab, tmp_path: Path) -> None:
    without = "import sys; sys.modules['distributed'] = None; from dzbgp.cli.app import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", without, "run", *lab.args, "--runner", "dask"],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: the Dask runner needs the extra dask: pip install distributed\n"
