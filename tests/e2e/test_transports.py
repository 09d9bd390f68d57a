"""NAPALM's transports are equals: whole runs over https, http and ssh see and decide the same."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ruamel.yaml
from e2e_lab import Done, E2eLab, dzbgp, started_lab
from ssh_eos import GARBLED, READ_ONLY, SshEos, ssh_servers

from dzbgp.lab.eos.fleet import DeviceFault, EosFleet

GETTER = [
    "show ip bgp summary vrf all",
    "show ipv6 bgp summary vrf all",
    "show ip bgp neighbors vrf all",
    "show ipv6 bgp peers vrf all",
]
CODES = ["ams-dz-001", "fra-dz-001"]
PASSWORD = "canary-of-the-devices-41c7"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[E2eLab]:
    with started_lab(tmp_path_factory.mktemp("lab"), password=PASSWORD, timeout_s=10) as made:
        yield made


@pytest.fixture(scope="module")
def plain(lab: E2eLab) -> Iterator[EosFleet]:
    """The same devices over http."""
    devices = [replace(lab.fleet.device(code), port=0) for code in CODES]
    with EosFleet.start(devices, plain=True) as fleet:
        yield fleet


@pytest.fixture
def ssh(lab: E2eLab) -> Iterator[dict[str, SshEos]]:
    with ssh_servers(lab.fleet, CODES) as servers:
        yield servers


def inventory(
    lab: E2eLab,
    directory: Path,
    transport: str,
    ports: dict[str, int],
    password: str = PASSWORD,
    **optional: Any,
) -> Path:
    directory.mkdir(exist_ok=True)
    optional_args = {"transport": transport, **optional}
    hosts = {
        code: {"hostname": lab.fleet.device(code).address, "port": port, "data": {"dz_device": code}}
        for code, port in ports.items()
    }
    defaults = {
        "platform": "eos",
        "username": lab.fleet.device(CODES[0]).username,
        "password": password,
        "connection_options": {"napalm": {"extras": {"timeout": 10, "optional_args": optional_args}}},
    }
    for name, content in (("hosts", hosts), ("defaults", defaults)):
        with (directory / f"{name}.yaml").open("w", encoding="utf-8") as file:
            ruamel.yaml.YAML(typ="safe").dump(content, file)
    return directory


def run(lab: E2eLab, home: Path, where: Path, *more: str) -> Done:
    args = [*lab.ledger_args, "--keypair", str(lab.keypairs), "--inventory", str(where)]
    done = dzbgp(home, "run", *args, "--dry-run", "--output", "json", *more)
    assert PASSWORD not in done.out + done.err
    return done


def timeless(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The users of a report, without the sentences, which say how long ago things were."""
    return [{key: value for key, value in user.items() if key != "detail"} for user in report["users"]]


def ports_of(servers: dict[str, SshEos]) -> dict[str, int]:
    return {code: server.port for code, server in servers.items()}


def test_over_https_http_and_ssh_a_run_sees_and_decides_the_same(
    lab: E2eLab, plain: EosFleet, ssh: dict[str, SshEos], tmp_path: Path
) -> None:
    ports = {
        "https": {code: lab.fleet.addresses[code][1] for code in CODES},
        "http": {code: plain.addresses[code][1] for code in CODES},
        "ssh": ports_of(ssh),
    }
    reports = {}
    for transport, where in ports.items():
        done = run(lab, tmp_path, inventory(lab, tmp_path / transport, transport, where))
        assert done.code == 0, done.err
        # Over the others the device must show what it showed first.
        told = [note for note in done.report["notes"] if "anyone on the network path can read" in note]
        assert len(told) == (transport == "http"), done.report["notes"]
        reports[transport] = done.report
    wanted = reports["https"]
    assert [device["result"] for device in wanted["devices"]] == ["ok", "ok"]
    assert any(user["status"] == "up" and user["rtt_ns"] for user in wanted["users"])
    for transport in ("http", "ssh"):
        assert reports[transport]["devices"] == wanted["devices"]
        assert timeless(reports[transport]) == timeless(wanted)
    # NAPALM's getter is what asks.
    assert all(f"{command} | json" in server.commands for server in ssh.values() for command in GETTER)


@pytest.mark.parametrize("command", ["show ip bgp neighbors vrf all", "show ip bgp summary vrf all"])
def test_over_ssh_an_answer_that_is_no_json_fails_the_device_and_decides_nothing(
    lab: E2eLab, ssh: dict[str, SshEos], tmp_path: Path, command: str
) -> None:
    ssh[CODES[0]].garble = command
    done = run(lab, tmp_path, inventory(lab, tmp_path / "ssh", "ssh", ports_of(ssh)))
    assert done.code == 3, done.err
    bad, good = done.report["devices"]
    assert (bad["result"], good["result"]) == ("failed", "ok")
    assert f"the answer to `{command}` is not JSON" in bad["error"]
    assert GARBLED not in done.out + done.err
    of_bad = [user for user in done.report["users"] if user["host"] == CODES[0]]
    assert of_bad
    assert {(user["observed"], user["action"], user["status"]) for user in of_bad} == {
        ("unknown", "skip", None)
    }


def test_over_ssh_a_wrong_password_is_told_in_plain_words(
    lab: E2eLab, ssh: dict[str, SshEos], tmp_path: Path
) -> None:
    where = inventory(lab, tmp_path / "ssh", "ssh", ports_of(ssh), password="canary-wrong-77")
    done = run(lab, tmp_path, where)
    assert done.code == 3
    assert {device["result"] for device in done.report["devices"]} == {"failed"}
    assert all("was not accepted over SSH" in device["error"] for device in done.report["devices"])
    assert "canary-wrong-77" not in done.out + done.err


def test_with_tls_verify_ssh_wants_the_host_keys_that_are_known(
    lab: E2eLab, ssh: dict[str, SshEos], tmp_path: Path
) -> None:
    known = tmp_path / "known_hosts"
    known.write_text("".join(server.known_host for server in ssh.values()), encoding="ascii")
    keys: dict[str, Any] = {"alt_host_keys": True, "alt_key_file": str(known)}
    where = inventory(lab, tmp_path / "ssh", "ssh", ports_of(ssh), **keys)
    assert run(lab, tmp_path, where, "--tls-verify").code == 0
    known.write_text("", encoding="ascii")
    refused = run(lab, tmp_path, where, "--tls-verify")
    assert refused.code == 3
    assert {device["result"] for device in refused.report["devices"]} == {"failed"}


def test_with_tls_verify_a_host_over_http_is_refused_before_anything_is_asked(
    lab: E2eLab, plain: EosFleet, tmp_path: Path
) -> None:
    ports = {code: plain.addresses[code][1] for code in CODES}
    before = [plain.requests(code) for code in CODES]
    done = run(lab, tmp_path, inventory(lab, tmp_path / "http", "http", ports), "--tls-verify")
    assert done.code == 2
    assert "has transport 'http', which cannot be verified; expected https or ssh" in done.error
    assert [plain.requests(code) for code in CODES] == before


def test_over_ssh_the_read_only_role_of_the_docs_is_enough_and_enable_is_never_sent(
    lab: E2eLab, ssh: dict[str, SshEos], tmp_path: Path
) -> None:
    page = (Path(__file__).parents[2] / "docs/eos.md").read_text(encoding="utf-8")
    assert f"permit mode exec command {READ_ONLY}\n" in page
    for server in ssh.values():
        server.role = READ_ONLY
    where = inventory(lab, tmp_path / "ssh", "ssh", ports_of(ssh), force_no_enable=True)
    done = run(lab, tmp_path, where)
    assert done.code == 0, done.err
    assert {device["result"] for device in done.report["devices"]} == {"ok"}
    assert all("enable" not in server.commands for server in ssh.values())
    # What the role lacks is NAPALM's question about IPv6, and it is put once.
    assert all(server.commands.count(f"{GETTER[1]} | json") == 1 for server in ssh.values())


def test_over_ssh_a_command_that_the_role_lacks_fails_the_device_by_name(
    lab: E2eLab, ssh: dict[str, SshEos], tmp_path: Path
) -> None:
    for server in ssh.values():
        server.role = READ_ONLY.replace("show ip bgp .*", "show ip route")
    where = inventory(lab, tmp_path / "ssh", "ssh", ports_of(ssh), force_no_enable=True)
    done = run(lab, tmp_path, where)
    assert done.code == 3
    assert all(
        "`show ip bgp summary vrf all` is not JSON: it was refused" in device["error"]
        for device in done.report["devices"]
    )


def test_sessions_of_eapi_are_read_and_verified_as_https_is(
    lab: E2eLab, plain: EosFleet, tmp_path: Path
) -> None:
    plain_ports = {code: plain.addresses[code][1] for code in CODES}
    done = run(lab, tmp_path, inventory(lab, tmp_path / "s", "http_session", plain_ports))
    assert done.code == 0, done.err
    assert any("Nothing is encrypted (http_session, 2 of 2)" in note for note in done.report["notes"])
    ports = {code: lab.fleet.addresses[code][1] for code in CODES}
    (tmp_path / "ca.pem").write_text(lab.fleet.ca_pem, encoding="ascii")
    where = inventory(lab, tmp_path / "t", "https_session", ports)
    done = run(lab, tmp_path, where, "--tls-ca-file", str(tmp_path / "ca.pem"))
    assert done.code == 0, done.err
    assert not any("network path" in note for note in done.report["notes"])


def test_client_certificates_without_files_are_a_slip_in_the_inventory(lab: E2eLab, tmp_path: Path) -> None:
    ports = {code: lab.fleet.addresses[code][1] for code in CODES}
    done = run(lab, tmp_path, inventory(lab, tmp_path / "c", "https_certs", ports))
    assert done.code == 2
    assert "has transport 'https_certs' and key_file None; expected a file" in done.error


def test_a_neighbor_that_cannot_be_understood_is_a_note_of_the_report_and_no_failure(
    lab: E2eLab, tmp_path: Path
) -> None:
    ports = {code: lab.fleet.addresses[code][1] for code in CODES}
    lab.fleet.set_fault(CODES[0], DeviceFault.ODD_NEIGHBOR)
    try:
        done = run(lab, tmp_path, inventory(lab, tmp_path / "odd", "https", ports))
    finally:
        lab.fleet.set_fault(CODES[0], None)
    assert done.code == 0, done.err
    assert f"{CODES[0]}: default: 169.254.255.255: it has no state." in done.report["notes"]
