"""Inventories end to end: dzbgp as a process of its own reads devices that the ledger, or Ansible's files, name."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import ruamel.yaml
from e2e_lab import AILING, E2eLab, began, dzbgp, edited, ended, started_lab
from waiting import until

from dzbgp.errors import ExitCode
from dzbgp.lab.world.world import LAB_PASSWORD, LAB_USERNAME


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[E2eLab]:
    with started_lab(tmp_path_factory.mktemp("lab")) as lab:
        lab.heal()
        yield lab


LOGIN = {"DZBGP_EOS_USERNAME": LAB_USERNAME, "DZBGP_EOS_PASSWORD": LAB_PASSWORD}


def settings(lab: E2eLab, file: Path) -> Path:
    """What only the operator knows: where each device's management listens."""
    hosts = {spec.code: {"hostname": spec.address, "port": spec.port} for spec in lab.world.devices}
    with file.open("w", encoding="utf-8") as stream:
        ruamel.yaml.YAML(typ="safe").dump(hosts, stream)
    return file


def ledger_of(lab: E2eLab) -> list[str]:
    return ["--rpc-url", lab.ledger.url]


def test_a_run_reads_the_devices_that_the_ledger_names(lab: E2eLab, tmp_path: Path) -> None:
    settings(lab, tmp_path / "extra.yaml")
    url = "dz://localnet?contributor=northlight&extra=extra.yaml"
    done = dzbgp(
        tmp_path, "run", "--inventory", url, *ledger_of(lab), "--dry-run", "--output", "json", **LOGIN
    )
    assert done.code == ExitCode.OK, done.err
    assert done.report["env"] == "localnet"
    assert {(device["host"], device["result"]) for device in done.report["devices"]} == {
        ("ams-dz-001", "ok"),
        ("fra-dz-001", "ok"),
        ("lon-dz-001", "ok"),
    }
    assert done.report["summary"]["to_submit"] > 0


def test_groups_and_filters_choose_among_them(lab: E2eLab, tmp_path: Path) -> None:
    settings(lab, tmp_path / "extra.yaml")
    done = dzbgp(
        tmp_path,
        "run",
        "--inventory=dz://localnet?all=true&extra=extra.yaml",
        *ledger_of(lab),
        "--group=contributor-northlight,contributor-tidewater",
        "--filter=status!=drained",
        "--filter=country=NL",
        "--workers=2",
        "--dry-run",
        "--output=json",
        **LOGIN,
    )
    assert done.code == ExitCode.OK, done.err
    assert [device["host"] for device in done.report["devices"]] == ["ams-dz-001"]


def test_a_run_on_another_network_than_that_of_its_inventory_is_refused(lab: E2eLab, tmp_path: Path) -> None:
    args = ["run", "--inventory=dz://testnet?all=true", *ledger_of(lab), "--env=localnet", "--dry-run"]
    done = dzbgp(tmp_path, *args)
    assert done.code == ExitCode.USAGE
    assert "'localnet'" in done.error
    assert "'testnet'" in done.error


def test_a_ledger_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    url = "http://127.0.0.1:1/s3cret-token"
    done = dzbgp(
        tmp_path, "run", "--inventory=dz://localnet?all=true", "--rpc-url", url, "--dry-run", "--verbose"
    )
    assert done.code == ExitCode.COULD_NOT_RUN
    assert "127.0.0.1:1" in done.error
    assert "s3cret" not in done.out + done.err


def test_a_written_inventory_with_a_person_s_additions_runs(lab: E2eLab, tmp_path: Path) -> None:
    write = ["inventory", "--env=localnet", *ledger_of(lab), "--output=fleet"]
    assert dzbgp(tmp_path, *write).code == ExitCode.OK
    with edited(tmp_path / "fleet/hosts.yaml") as hosts:
        for spec in lab.world.devices:
            hosts[spec.code] |= {"hostname": spec.address, "port": spec.port}
    again = dzbgp(tmp_path, *write, "--dry-run", "--exit-code")
    assert again.code == ExitCode.OK, again.out
    assert "8 with a hostname of your own" in again.out
    for inventory in ("fleet", "fleet/config.yaml"):
        done = dzbgp(
            tmp_path,
            "run",
            f"--inventory={inventory}",
            *ledger_of(lab),
            "--env=localnet",
            "--dry-run",
            "--output=json",
            **LOGIN,
        )
        assert done.code == ExitCode.OK, done.err
        assert {device["result"] for device in done.report["devices"]} == {"ok"}
        assert len(done.report["devices"]) == 8


def test_the_inventory_of_an_ansible_project_runs_as_it_is(lab: E2eLab, tmp_path: Path) -> None:
    ansible = {
        "all": {
            "vars": {"platform": "eos", "ansible_user": LAB_USERNAME},
            "children": {
                name: {
                    "vars": {"owner": name},
                    "hosts": {
                        spec.code: {"ansible_host": spec.address, "ansible_port": spec.port}
                        for spec in lab.world.devices
                        if spec.contributor == name and spec.code not in AILING
                    },
                }
                for name in ("northlight", "tidewater")
            },
        }
    }
    with (tmp_path / "ansible.yaml").open("w", encoding="utf-8") as stream:
        ruamel.yaml.YAML(typ="safe").dump(ansible, stream)
    (tmp_path / "nornir.yaml").write_text(
        "inventory: {plugin: AnsibleInventory, options: {hostsfile: ansible.yaml}}\n"
    )
    done = dzbgp(
        tmp_path,
        "run",
        "--inventory=nornir.yaml",
        *ledger_of(lab),
        "--env=localnet",
        "--filter=owner=tidewater",
        "--dry-run",
        "--output=json",
        DZBGP_EOS_PASSWORD=LAB_PASSWORD,
    )
    assert done.code == ExitCode.OK, done.err
    assert {(device["host"], device["result"]) for device in done.report["devices"]} == {
        ("nyc-dz-001", "ok"),
        ("chi-dz-001", "ok"),
        ("lax-dz-001", "ok"),
    }


def test_a_watch_follows_the_devices_that_the_ledger_names(lab: E2eLab, tmp_path: Path) -> None:
    settings(lab, tmp_path / "extra.yaml")
    before = lab.sent()
    process = began(
        tmp_path,
        "watch",
        "--inventory=dz://localnet?extra=extra.yaml&contributor=tidewater",
        *ledger_of(lab),
        f"--keypair={lab.keypairs}",
        "--interval=1s",
        "--refresh-interval=6h",
        **LOGIN,
    )
    try:
        until(lambda: lab.sent() > before)
    finally:
        process.terminate()
        done = ended(process)
    assert "Traceback" not in done.err
