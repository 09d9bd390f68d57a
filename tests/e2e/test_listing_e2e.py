import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e_lab import AILING, DEADLINE_S, REAL_SLOT_MS, E2eLab, dzbgp, environment, started_lab

from dzbgp.lab.solana.faults import Fault, FaultKind

LOADED = """
import sys
from dzbgp.cli import app as cli
try:
    cli.app(sys.argv[1:], standalone_mode=False)
finally:
    heavy = ("napalm", "nornir", "nornir_napalm", "netmiko", "paramiko", "pyeapi", "tasks", "dzbgp.lab")
    print(*sorted({name for name in sys.modules if name.startswith(heavy)}), file=sys.stderr)
"""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[E2eLab]:
    with started_lab(tmp_path, slot_ms=REAL_SLOT_MS) as running:
        yield running


def on(lab: E2eLab) -> list[str]:
    return ["--env", "localnet", "--rpc-url", lab.ledger.url]


@pytest.mark.parametrize("command", ["users", "devices", "audit"])
def test_reading_the_ledger_loads_nothing_that_talks_to_devices(
    lab: E2eLab, tmp_path: Path, command: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED, command, *on(lab), "--output", "json"],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    )
    assert json.loads(done.stdout)["env"] == "localnet"
    assert done.stderr == "\n"


@pytest.mark.parametrize("command", ["users", "devices", "audit"])
def test_stdout_carries_the_result_only_and_nothing_is_sent(
    lab: E2eLab, tmp_path: Path, command: str
) -> None:
    table = dzbgp(tmp_path, command, *on(lab), "--output", "table")
    assert (table.code, table.err) == (0, "")
    assert table.out.startswith(f"dzbgp {command} · localnet · slot ")
    assert "\x1b" not in table.out
    assert lab.sent() == 0


def test_the_users_that_a_run_has_written_are_seen(lab: E2eLab, tmp_path: Path) -> None:
    assert dzbgp(tmp_path, "run", *lab.args, "--limit", lab.healthy).code == 0
    users = {
        user["account"]: user for user in dzbgp(tmp_path, "users", *on(lab), "-o", "json").report["users"]
    }
    for pubkey, (status, rtt_ns) in lab.world.expected().items():
        assert users[str(pubkey)]["bgp_status"] == status.label
        assert users[str(pubkey)]["rtt_ns"] == rtt_ns
        assert users[str(pubkey)]["last_reported_age_s"] < 60


def test_an_audit_of_the_fleet_finds_what_the_labs_story_has(lab: E2eLab, tmp_path: Path) -> None:
    done = dzbgp(
        tmp_path, "audit", *on(lab), "--inventory", str(lab.inventory), "-o", "json", "--exit-code", "--quiet"
    )
    assert done.code == 5
    found = {(item["kind"], item["subject"]) for item in done.report["findings"]}
    for code in AILING:
        assert ("device-not-read", str(lab.world.device(code).device.pubkey)) in found
    for code, tunnel_id in (("fra-dz-001", 510), ("nyc-dz-001", 508)):
        assert ("leftover-neighbor", lab.world.user(code, tunnel_id).peer_address) in found
    overlapping = lab.world.user("fra-dz-001", 506).user
    assert ("tunnel-overlap", str(overlapping.pubkey)) in found
    assert done.report["devices_read"] == len(lab.world.devices) - len(AILING)
    kinds = {kind for kind, _ in found}
    assert "unknown-neighbor" not in kinds
    assert "publisher-not-held" not in kinds


def test_an_audit_of_some_devices_asks_no_other(lab: E2eLab, tmp_path: Path) -> None:
    done = dzbgp(
        tmp_path,
        *("audit", *on(lab), "--inventory", str(lab.inventory), "--device", "nyc-dz-001"),
        *("--contributor", "tidewater", "-o", "json", "-q"),
    )
    assert done.report["devices"] == done.report["devices_read"] == 1
    assert {item["device"] for item in done.report["findings"]} == {"nyc-dz-001"}


def test_an_inventory_made_of_another_ledger_is_a_usage_error(lab: E2eLab, tmp_path: Path) -> None:
    done = dzbgp(tmp_path, "audit", *on(lab), "--inventory", "dz://testnet?all=true")
    assert (done.code, done.out) == (2, "")
    assert done.error == "error: --env: 'localnet' was given, but the inventory is for 'testnet'"


def test_an_inventory_made_of_the_ledger_serves_an_audit(lab: E2eLab, tmp_path: Path) -> None:
    done = dzbgp(
        tmp_path,
        *(
            "audit",
            "--rpc-url",
            lab.ledger.url,
            "--inventory",
            "dz://localnet?code=nyc-*&hostname={code}.invalid",
            "-o",
            "json",
            "-q",
        ),
        DZBGP_EOS_USERNAME="dzbgp",
        DZBGP_EOS_PASSWORD="x",
    )
    assert done.code == 0, done.err
    assert done.report["env"] == "localnet"


def test_an_audit_without_exit_code_succeeds_whatever_it_finds(lab: E2eLab, tmp_path: Path) -> None:
    done = dzbgp(tmp_path, "audit", *on(lab), "--keypair", str(lab.keypairs / "kestrel.json"), "-o", "json")
    assert done.code == 0
    kinds = done.report["summary"]["kinds"]
    assert kinds["publisher-not-held"] == sum(spec.contributor != "kestrel" for spec in lab.world.devices)
    assert done.report["devices_read"] is None


def test_an_audit_that_finds_nothing_exits_with_0_even_with_exit_code(lab: E2eLab, tmp_path: Path) -> None:
    dzbgp(tmp_path, "run", *lab.args, "--limit", lab.healthy)
    done = dzbgp(
        tmp_path,
        *("audit", *on(lab), "--device", "nyc-dz-001", "--down-for", "36500d", "--stale-after", "36500d"),
        *("--exit-code", "-o", "json"),
    )
    assert (done.code, done.report["findings"]) == (0, [])


def test_no_part_of_the_rpc_url_but_scheme_and_host_is_shown_when_it_fails(
    lab: E2eLab, tmp_path: Path
) -> None:
    lab.ledger.inject(Fault(kind=FaultKind.HTTP_STATUS, times=None, status=403))
    host = lab.ledger.url.removeprefix("http://")
    for command in ("users", "devices", "audit"):
        done = dzbgp(
            tmp_path,
            command,
            "--env",
            "localnet",
            "--rpc-url",
            f"http://canary:canary@{host}/canary?k=canary",
            "-v",
        )
        assert done.code == 1
        assert done.out == ""
        assert done.error.startswith(f"error: RPC http://{host}")
        assert "canary" not in done.err


def test_who_stops_reading_early_is_no_failure(lab: E2eLab, tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("dzbgp")
    command = (
        f"{script} users --env localnet --rpc-url {lab.ledger.url} -o csv | head -1; echo ${{PIPESTATUS[0]}}"
    )
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    )
    assert done.stdout.splitlines()[0].startswith("account,tenant,")
    assert done.stdout.splitlines()[-1] == "0"
    assert done.stderr == ""


def test_a_result_that_can_not_be_printed_is_told(lab: E2eLab, tmp_path: Path) -> None:
    with Path("/dev/full").open("w", encoding="ascii") as full:
        done = subprocess.run(
            [Path(sys.executable).with_name("dzbgp"), "users", *on(lab), "-o", "json"],
            cwd=tmp_path,
            env=environment(tmp_path),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
    assert done.returncode == 3
    assert "stdout: the result could not be printed: No space left on device" in done.stderr


@pytest.mark.parametrize("command", ["users", "devices", "audit"])
@pytest.mark.parametrize("columns", ["60", "80", "200"])
def test_the_help_fits_the_terminal(tmp_path: Path, command: str, columns: str) -> None:
    done = dzbgp(tmp_path, command, "-h", COLUMNS=columns)
    assert done.code == 0
    assert max(map(len, done.out.splitlines())) <= int(columns)
