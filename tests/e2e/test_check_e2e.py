"""`dzbgp check` as a process: its output, its exit code, and that it leaves no trace and shows no secret."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from e2e_lab import AILING, REAL_SLOT_MS, E2eLab, dzbgp, edited, started_lab

from dzbgp.lab.eos.fleet import DeviceFault
from dzbgp.lab.solana.faults import Fault
from dzbgp.lab.solana.faults import FaultKind as LedgerFault

PASSWORD, TOKEN = "canary-password-4711", "canary-token-7f3a"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[E2eLab]:
    with started_lab(tmp_path, slot_ms=REAL_SLOT_MS, password=PASSWORD) as running:
        yield running


def pointed(lab: E2eLab) -> list[str]:
    url = f"http://{urlsplit(lab.ledger.url).netloc}/{TOKEN}"
    args = ["check", "--env", "localnet", "--rpc-url", url, "--inventory", str(lab.inventory)]
    return [*args, "--keypair", str(lab.keypairs)]


def traces(directory: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in sorted(directory.rglob("*"))}


def test_a_check_writes_nothing_and_sends_nothing(lab: E2eLab, tmp_path: Path) -> None:
    before, accounts = traces(tmp_path), lab.ledger.accounts()
    for output in ("table", "json"):
        assert dzbgp(tmp_path, *pointed(lab), "--output", output).code == 3
    assert traces(tmp_path) == before
    assert lab.ledger.accounts() == accounts
    assert lab.sent() == 0


def test_the_table_says_what_fails_and_what_to_do_about_it(lab: E2eLab, tmp_path: Path) -> None:
    done = dzbgp(tmp_path, *pointed(lab), "--output", "table")
    assert (done.code, done.err) == (3, "")
    assert done.out.startswith("dzbgp check · localnet · ")
    lines = done.out.splitlines()
    (at,) = [n for n, line in enumerate(lines) if line.split() == ["api", "fail", AILING[0]]]
    assert lines[lines.index("Devices") + 1].split()[1] == "fail", "the worst comes first"
    assert lines[at + 2].strip().startswith("→ on the device check ")
    assert lines[-1].startswith("Not ready (exit code 3) · 2 fail · 0 warning · ")
    assert "\x1b" not in done.out


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_no_line_of_the_table_is_wider_than_the_terminal(lab: E2eLab, tmp_path: Path, columns: str) -> None:
    done = dzbgp(tmp_path, *pointed(lab), "--all", "--output", "table", COLUMNS=columns)
    assert max(map(len, done.out.splitlines())) <= int(columns)


def test_when_all_devices_answer_the_exit_code_is_0(lab: E2eLab, tmp_path: Path) -> None:
    lab.heal()
    done = dzbgp(tmp_path, *pointed(lab), "--output", "json")
    assert done.code == 0
    assert (done.report["schema_version"], done.report["verdict"]) == (1, "ok")
    assert done.report["summary"]["fail"] == 0


def test_the_lowest_exit_code_wins(lab: E2eLab, tmp_path: Path) -> None:
    # Devices that fail alone: 3. With a wrong state file 2, and with a ledger that is down 1.
    assert dzbgp(tmp_path, *pointed(lab), "--state", str(tmp_path)).code == 2
    lab.ledger.inject(Fault(kind=LedgerFault.HTTP_STATUS, times=None, status=403))
    assert dzbgp(tmp_path, *pointed(lab), "--state", str(tmp_path)).code == 1


@pytest.mark.parametrize("more", [[], ["--verbose"], ["--output", "json"]])
def test_devices_and_ledgers_that_fail_show_no_secret(lab: E2eLab, tmp_path: Path, more: list[str]) -> None:
    kinds = [kind for kind in DeviceFault if kind is not DeviceFault.SLOW]
    for spec, kind in zip(lab.world.devices, kinds, strict=False):
        lab.fleet.set_fault(spec.code, kind)
    lab.ledger.inject(Fault(kind=LedgerFault.GARBAGE, times=None, method="getProgramAccounts"))
    done = dzbgp(tmp_path, *pointed(lab), *more)
    assert done.code == 1
    secret = json.loads(next(lab.keypairs.glob("*.json")).read_text(encoding="ascii"))
    for canary in (PASSWORD, TOKEN, ", ".join(map(str, secret[:32]))):
        assert canary not in done.out + done.err


def test_a_device_that_proves_itself_by_its_ca_is_verified(lab: E2eLab, tmp_path: Path) -> None:
    lab.heal()
    ca = tmp_path / "ca.pem"
    ca.write_text(lab.fleet.ca_pem, encoding="ascii")
    for name in ("defaults", "groups"):
        with edited(lab.inventory / f"{name}.yaml") as content:
            for entry in [content] if name == "defaults" else content.values():
                if "connection_options" in entry:
                    options = entry["connection_options"]["napalm"]["extras"]["optional_args"]
                    options["enforce_verification"] = True
    trusted = dzbgp(tmp_path, *pointed(lab), "--output", "json", SSL_CERT_FILE=str(ca))
    assert (trusted.code, trusted.report["verdict"]) == (0, "ok"), trusted.out
    tls = [item for item in trusted.report["findings"] if item["check"] == "tls"]
    assert {item["detail"] for item in tls} == {"verified"}
    unknown = dzbgp(tmp_path, *pointed(lab), "--output", "json")
    failed = [item for item in unknown.report["findings"] if item["verdict"] == "fail"]
    assert {item["check"] for item in failed} == {"tls"}
    assert unknown.code == 3


def test_the_password_can_come_from_a_file(lab: E2eLab, tmp_path: Path) -> None:
    lab.heal()
    with edited(lab.inventory / "defaults.yaml") as defaults:
        del defaults["password"]
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n", encoding="ascii")
    assert dzbgp(tmp_path, *pointed(lab), DZBGP_EOS_PASSWORD_FILE=str(file)).code == 0
    run = ["run", *pointed(lab)[1:], "--dry-run"]
    assert dzbgp(tmp_path, *run, DZBGP_EOS_PASSWORD_FILE=str(file)).code == 0


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file or directory"),
        (b"", "one line"),
        (f"{PASSWORD}\nsecond".encode(), "one line"),
        (b"\xff" + PASSWORD.encode(), "not UTF-8"),
    ],
)
def test_a_password_file_that_holds_no_password_is_told_without_its_content(
    lab: E2eLab, tmp_path: Path, content: bytes | None, why: str
) -> None:
    with edited(lab.inventory / "defaults.yaml") as defaults:
        del defaults["password"]
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    for command in (pointed(lab), ["run", *pointed(lab)[1:], "--dry-run"]):
        done = dzbgp(tmp_path, *command, DZBGP_EOS_PASSWORD_FILE=str(file), COLUMNS="1000")
        assert done.code == 2
        assert f"DZBGP_EOS_PASSWORD_FILE {file}: " in done.out + done.err
        assert why in done.out + done.err
        assert PASSWORD not in done.out + done.err


def test_help_names_the_options(tmp_path: Path) -> None:
    done = dzbgp(tmp_path, "check", "--help")
    assert done.code == 0
    assert "--genesis-hash" in done.out
