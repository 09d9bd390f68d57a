"""`--contributor`: a run asks only devices that belong to the contributor on the ledger."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e_lab import E2eLab, dzbgp, edited, started_lab
from standing_ledger import change_device
from test_cluster_runs import without_times
from test_watch_e2e import Watching

from dzbgp.lab.solana.faults import Fault, FaultKind

HEALTHY = "northlight,tidewater"
"""Those whose devices all answer; the others' are the AILING ones."""
CODES = "(kestrel, northlight, tidewater)"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[E2eLab]:
    with started_lab(tmp_path) as running:
        yield running


def hosts_of(lab: E2eLab, *contributors: str) -> set[str]:
    return {spec.host for spec in lab.world.devices if spec.contributor in contributors}


def asked(lab: E2eLab) -> set[str]:
    """The contributors whose devices were asked anything."""
    return {spec.contributor for spec in lab.world.devices if lab.fleet.requests(spec.code)}


def hosts(report: dict[str, Any]) -> set[str]:
    return {device["host"] for device in report["devices"]}


def key_of(lab: E2eLab, contributor: str) -> str:
    return str(
        next(spec.device.contributor_pk for spec in lab.world.devices if spec.contributor == contributor)
    )


def check_args(lab: E2eLab) -> list[str]:
    return ["check", *(word for word in lab.args if word not in {"--refresh-interval", "6h"})]


def test_a_run_for_contributors_is_the_run_that_a_filter_of_their_hosts_makes(
    lab: E2eLab, tmp_path: Path
) -> None:
    args = ["run", *lab.args, "--output", "json"]
    chosen = dzbgp(tmp_path, *args, "--dry-run", "--contributor", HEALTHY)
    assert chosen.code == 0, chosen.err
    assert asked(lab) == {"northlight", "tidewater"}
    limited = ",".join(hosts_of(lab, "northlight", "tidewater"))
    by_name = dzbgp(tmp_path, *args, "--dry-run", "--limit", limited)
    assert without_times(chosen.report) == without_times(by_name.report)
    assert chosen.report["notes"] == by_name.report["notes"]
    assert dzbgp(tmp_path, *args, "--dry-run").code == 3
    written = dzbgp(tmp_path, *args, "--contributor", "tidewater")
    assert written.code == 0, written.err
    ours = {spec.code for spec in lab.world.devices if spec.contributor == "tidewater"}
    device_of = {spec.user.pubkey: spec.device for spec in lab.world.users}
    assert lab.ledger.stats().per_user == {
        user: 1 for user in lab.world.expected() if device_of[user] in ours
    }


def test_contributors_come_by_code_or_key_from_line_variable_and_file(lab: E2eLab, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[run]\ncontributor = ["tidewater"]\n', encoding="utf-8")
    args = ["run", *lab.args, "--dry-run", "--output", "json"]
    both = {"northlight", "tidewater"}
    for more, env, wanted in (
        (["--contributor", "Tidewater", "--contributor", key_of(lab, "northlight")], {}, both),
        ([], {"DZBGP_CONTRIBUTOR": f"northlight, {key_of(lab, 'tidewater')}"}, both),
        (["--config", str(file)], {}, {"tidewater"}),
    ):
        done = dzbgp(tmp_path, *args, *more, **env)
        assert done.code == 0, done.err
        assert hosts(done.report) == hosts_of(lab, *wanted)


@pytest.mark.parametrize("command", ["run", "watch"])
def test_an_unknown_contributor_is_told_with_all_codes_before_a_device_is_asked(
    lab: E2eLab, tmp_path: Path, command: str
) -> None:
    done = dzbgp(tmp_path, command, *lab.args, "--contributor", "tidewater,kestral")
    assert (done.code, done.out) == (2, "")
    told = "error: --contributor: unknown name 'kestral': expected the code or the key of a contributor "
    assert done.error == told + CODES
    assert asked(lab) == set()


def test_a_host_without_a_device_is_left_out_and_one_that_may_be_the_contributors_is_not(
    lab: E2eLab, tmp_path: Path
) -> None:
    with edited(lab.inventory / "hosts.yaml") as content:
        content["stranger"] = {"hostname": "192.0.2.1"}
    nyc = lab.world.device("nyc-dz-001").device
    # Kestrel's device takes the code of one of tidewater's: which of the two the host is nobody knows.
    change_device(lab.ledger, lab.world, "tyo-dz-001", code=nyc.code)
    done = dzbgp(tmp_path, "run", *lab.args, "--dry-run", "--output", "json", "--contributor", "tidewater")
    assert done.code == 3, done.err
    results = {device["host"]: device["result"] for device in done.report["devices"]}
    assert results == {"nyc-dz-001": "unmatched", "chicago-1": "ok", "los-angeles-1": "ok"}


def test_no_host_of_the_contributor_is_a_usage_error(lab: E2eLab, tmp_path: Path) -> None:
    done = dzbgp(tmp_path, "run", *lab.args, "--limit", "ams-dz-001", "--contributor", "tidewater")
    assert (done.code, done.error) == (2, "error: --contributor tidewater: no host matches")
    assert asked(lab) == set()


def test_processes_and_shards_ask_the_same_devices(lab: E2eLab, tmp_path: Path) -> None:
    args = ["run", *lab.args, "--dry-run", "--output", "json", "--contributor", HEALTHY]
    whole = dzbgp(tmp_path, *args).report
    processes = dzbgp(tmp_path, *args, "--processes", "2", "--device-timeout", "30s")
    assert processes.code == 0, processes.err
    assert without_times(processes.report) == without_times(whole)
    parts = [dzbgp(tmp_path, *args, "--shard", f"{number}/2").report for number in (1, 2)]
    assert hosts(parts[0]) | hosts(parts[1]) == hosts(whole)
    assert not hosts(parts[0]) & hosts(parts[1])
    assert asked(lab) == {"northlight", "tidewater"}


def test_run_lab_takes_a_contributor(tmp_path: Path) -> None:
    with started_lab(tmp_path) as other:
        inventory, ours = str(other.inventory), hosts_of(other, "northlight")
    args = ["run", "--lab", "--inventory", inventory, "--output", "json", "--contributor", "northlight"]
    done = dzbgp(tmp_path, *args)
    assert done.code == 0, done.err
    assert hosts(done.report) == ours


def test_a_check_tests_the_contributors_devices_only(lab: E2eLab, tmp_path: Path) -> None:
    done = dzbgp(tmp_path, *check_args(lab), "--json", "--contributor", HEALTHY)
    assert done.code == 0, done.out + done.err
    tested = {item["subject"] for item in done.report["findings"] if item["section"] == "devices"}
    every = {spec.host for spec in lab.world.devices}
    assert tested & every == hosts_of(lab, "northlight", "tidewater")
    assert asked(lab) == {"northlight", "tidewater"}


def test_a_check_for_an_unknown_contributor_asks_no_device(lab: E2eLab, tmp_path: Path) -> None:
    done = dzbgp(tmp_path, *check_args(lab), "--json", "--contributor", "nobody")
    assert done.code == 2
    (failed,) = [item for item in done.report["findings"] if item["verdict"] == "fail"]
    assert (failed["subject"], failed["check"]) == ("hosts", "contributor")
    assert failed["detail"].endswith(
        f"unknown name 'nobody': expected the code or the key of a contributor {CODES}"
    )
    assert asked(lab) == set()


def test_a_check_that_cannot_read_whose_devices_they_are_asks_none(lab: E2eLab, tmp_path: Path) -> None:
    lab.ledger.inject(Fault(kind=FaultKind.HTTP_STATUS, times=None, status=403, method="getProgramAccounts"))
    done = dzbgp(tmp_path, *check_args(lab), "--json", "--contributor", "tidewater")
    assert done.code == 1
    details = [item["detail"] for item in done.report["findings"] if item["subject"] == "hosts"]
    assert details == [
        "unknown, because the ledger could not be read; no host is asked, because of --contributor"
    ]
    assert asked(lab) == set()


def test_explain_takes_no_device_that_a_run_leaves_out(lab: E2eLab, tmp_path: Path) -> None:
    user = next(spec.user.pubkey for spec in lab.world.users if spec.device == "ams-dz-001")
    args = ["explain", str(user), *lab.args]
    assert "no host of the inventory is the user's device" not in dzbgp(tmp_path, *args).out
    done = dzbgp(tmp_path, *args, "--contributor", "tidewater")
    assert "no host of the inventory is the user's device" in done.out


def test_a_watch_follows_a_device_to_another_contributor(lab: E2eLab, tmp_path: Path) -> None:
    with Watching(lab, tmp_path, "--contributor", "tidewater", "--ledger-interval", "1s") as watching:
        watching.says(" devices=3 ")
        tidewater = lab.world.device("nyc-dz-001").device.contributor_pk
        change_device(lab.ledger, lab.world, "ams-dz-001", contributor_pk=tidewater)
        watching.says(" devices=4 ")
        change_device(lab.ledger, lab.world, "ams-dz-001")
        watching.says(" devices=3 ", watching.log.count(" devices=3 ") + 1)
        watching.process.send_signal(signal.SIGHUP)
        watching.says("reloaded: ")
        watching.says(" devices=3 ", watching.log.count(" devices=3 ") + 1)
        watching.ends(signal.SIGTERM)
    assert asked(lab) == {"tidewater", "northlight"}
    assert not lab.fleet.requests("fra-dz-001")


def test_a_watch_waits_for_a_ledger_that_does_not_say_who_the_contributors_are(
    lab: E2eLab, tmp_path: Path
) -> None:
    fault = Fault(kind=FaultKind.HTTP_STATUS, status=403, method="getProgramAccounts", times=None)
    lab.ledger.inject(fault)
    with Watching(lab, tmp_path, "--contributor", "tidewater") as watching:
        watching.says("pass failed: RPC http://127.0.0.1:", times=2)
        lab.ledger.clear_faults()
        watching.says(" devices=3 ")
        watching.ends(signal.SIGTERM)
    assert asked(lab) == {"tidewater"}
