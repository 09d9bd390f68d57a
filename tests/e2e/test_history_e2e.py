"""The state file of real processes: its lock, its faults, and what a second run knows of the first."""

import base64
import json
import re
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e_lab import E2eLab, began, dzbgp, ended, started_lab
from msgspec.structs import replace
from solders.pubkey import Pubkey
from waiting import until

from dzbgp.lab.solana.faults import Fault, FaultKind
from dzbgp.lab.world.encode import encode_user
from dzbgp.lab.world.world import LAB_PASSWORD
from dzbgp.ledger.program.accounts import decode_user
from dzbgp.models.ledger import BgpStatus
from dzbgp.state.lock import is_locked
from dzbgp.state.store import Store


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[E2eLab]:
    with started_lab(tmp_path, slot_ms=10) as running:
        running.heal()
        yield running


def reasons(report: dict[str, Any]) -> dict[str, str]:
    return {user["user"]: user["reason"] for user in report["users"]}


def first_run(lab: E2eLab, home: Path, *args: str, **env: str) -> dict[str, Any]:
    done = dzbgp(home, "run", *lab.args, "--output", "json", *args, **env)
    assert done.code == 0, done.err
    return done.report


def test_the_state_file_is_in_the_users_state_directory(lab: E2eLab, tmp_path: Path) -> None:
    first_run(lab, tmp_path)
    first_run(lab, tmp_path, XDG_STATE_HOME=str(tmp_path / "xdg"))
    name = f"{lab.world.program_id}.sqlite"
    for home in (tmp_path / ".local" / "state", tmp_path / "xdg"):
        assert (home / "dzbgp" / name).stat().st_mode & 0o777 == 0o600


def test_a_second_run_with_nothing_changed_writes_nothing(lab: E2eLab, tmp_path: Path) -> None:
    first_run(lab, tmp_path)
    writes = lab.ledger.stats().instructions_executed
    report = first_run(lab, tmp_path)
    assert lab.ledger.stats().instructions_executed == writes
    assert report["summary"]["to_submit"] == 0


def test_an_rpc_that_is_behind_what_an_earlier_run_saw_is_not_believed(lab: E2eLab, tmp_path: Path) -> None:
    lab.ledger.advance(4_000)
    first_run(lab, tmp_path)
    lab.heal()
    lab.ledger.inject(Fault(kind=FaultKind.STALE_SLOT, slots=3_000, times=None))
    again = dzbgp(tmp_path, "run", *lab.args, "--output", "json")
    assert again.code == 3
    assert "ledger-not-believed" in again.report["exit"]["reasons"]
    assert "was seen before" in again.err


def test_check_and_audit_name_the_devices_that_another_writer_reports_on(lab: E2eLab, tmp_path: Path) -> None:
    first_run(lab, tmp_path)
    where = ("--env", "localnet", "--rpc-url", lab.ledger.url)
    asked = (*where, "--inventory", str(lab.inventory), "--keypair", str(lab.keypairs))

    def named() -> tuple[list[str], list[str]]:
        check = dzbgp(tmp_path, "check", *asked, "--output", "json").report
        audit = dzbgp(tmp_path, "audit", *where, "--output", "json").report
        return (
            [item["subject"] for item in check["findings"] if item["check"] == "writer"],
            [item["device"] for item in audit["findings"] if item["kind"] == "other-writer"],
        )

    assert named() == ([], [])
    spec = lab.world.user("ams-dz-001", 500)
    data = lab.ledger.account(spec.user.pubkey)
    assert data is not None
    user = replace(decode_user(spec.user.pubkey, data), last_bgp_reported_at=lab.ledger.slot)
    lab.ledger.set_account(user.pubkey, encode_user(user))
    assert named() == (["ams-dz-001"], ["ams-dz-001"])


def test_audit_uses_the_state_file_that_a_run_uses(lab: E2eLab, tmp_path: Path) -> None:
    file = tmp_path / "elsewhere.sqlite"
    first_run(lab, tmp_path, "--state", str(file))
    spec = lab.world.user("ams-dz-001", 500)
    data = lab.ledger.account(spec.user.pubkey)
    assert data is not None
    user = replace(decode_user(spec.user.pubkey, data), last_bgp_reported_at=lab.ledger.slot)
    lab.ledger.set_account(user.pubkey, encode_user(user))
    with sqlite3.connect(file) as database:
        database.execute("UPDATE known_keys SET key = ? WHERE host = 'ams-dz-001'", (":".join(["AB"] * 32),))
    database.close()
    where = ("--env", "localnet", "--rpc-url", lab.ledger.url, "--inventory", str(lab.inventory))
    found = dzbgp(tmp_path, "audit", *where, "--output", "json", DZBGP_STATE=str(file)).report["findings"]
    assert [item["device"] for item in found if item["kind"] == "other-writer"] == ["ams-dz-001"]
    (unread,) = [
        item for item in found if item["kind"] == "device-not-read" and item["device"] == "ams-dz-001"
    ]
    assert "its certificate has changed" in unread["detail"]


def test_a_session_that_goes_down_within_the_grace_period_stays_up_from_run_to_run(
    lab: E2eLab, tmp_path: Path
) -> None:
    first_run(lab, tmp_path)
    spec = lab.world.user("ams-dz-001", 500)
    lab.fleet.set_state(spec.device, spec.peer_address, "Idle")
    graced = first_run(lab, tmp_path, "--down-grace-period", "1h")
    assert reasons(graced)[str(spec.user.pubkey)] == "grace"
    over = first_run(lab, tmp_path, "--down-grace-period", "1s")
    assert reasons(over)[str(spec.user.pubkey)] == "changed"


def test_of_two_runs_at_once_the_second_waits_then_names_the_first(lab: E2eLab, tmp_path: Path) -> None:
    first = began(tmp_path, "run", *lab.args, "--confirm-down", "12s", "--output", "json")
    lock = tmp_path / ".local" / "state" / "dzbgp" / f"{lab.world.program_id}.sqlite.lock"
    until(lambda: lock.exists() and is_locked(lock))
    second = dzbgp(tmp_path, "run", *lab.args)
    dry = dzbgp(tmp_path, "run", *lab.args, "--dry-run")
    assert second.code == 1
    since = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00"
    assert re.search(
        rf"another run writes for [a-z0-9-]+: pid {first.pid}, since {since}; nothing was written$",
        second.error,
    )
    # A dry run changes nothing, and needs no lock.
    assert dry.code == 0, dry.err
    done = ended(first)
    assert done.code == 0, done.err
    assert lab.ledger.stats().per_user == dict.fromkeys(
        (Pubkey.from_string(user["user"]) for user in done.report["users"] if user["action"] == "submit"), 1
    )


def test_a_second_run_that_comes_shortly_before_the_first_ends_goes_on_after_it(
    lab: E2eLab, tmp_path: Path
) -> None:
    runs: list[subprocess.Popen[str]] = []
    for _ in range(2):
        runs.append(began(tmp_path, "run", *lab.args, "--output", "json"))
        time.sleep(0.2)
    done = [ended(run) for run in runs]
    assert [one.code for one in done] == [0, 0], [one.err for one in done]
    assert set(lab.ledger.stats().per_user.values()) == {1}


def test_a_corrupt_state_file_is_moved_aside_with_a_warning_and_the_run_goes_on(
    lab: E2eLab, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    corrupt = b"SQLite format 3\0" + b"not a database" * 500
    state.write_bytes(corrupt)
    done = dzbgp(tmp_path, "run", *lab.args, "--state", str(state))
    assert done.code == 0, done.err
    assert "is corrupt" in done.err
    assert "The state file was corrupt: it was moved to" in done.err
    (aside,) = (file for file in tmp_path.iterdir() if file.name.startswith("state.corrupt-"))
    assert aside.read_bytes() == corrupt
    assert lab.ledger.stats().instructions_executed > 0
    with Store.open(state, lab.world.program_id, read_only=True) as history:
        assert history.users()


@pytest.mark.parametrize("state", ["/proc/dzbgp/state", "/dev/null/state"])
def test_without_a_state_file_nothing_is_sent_unless_none_is_wanted(
    lab: E2eLab, tmp_path: Path, state: str
) -> None:
    done = dzbgp(tmp_path, "run", *lab.args, "--state", state)
    assert done.code == 3, done.err
    assert "could not be opened" in done.err
    assert lab.ledger.stats().instructions_executed == 0
    done = dzbgp(tmp_path, "run", *lab.args, "--state", "none")
    assert done.code == 0, done.err
    assert list(tmp_path.rglob("none*")) == []
    assert lab.ledger.stats().instructions_executed > 0


def test_a_state_file_of_another_program_is_refused(lab: E2eLab, tmp_path: Path) -> None:
    state = tmp_path / "state"
    Store.open(state, Pubkey.default()).close()
    before = state.read_bytes()
    for extra in ((), ("--dry-run",)):
        done = dzbgp(tmp_path, "run", *lab.args, "--state", str(state), *extra)
        assert done.code == 2
        assert (
            f"it belongs to program {Pubkey.default()}; expected that of {lab.world.program_id}" in done.error
        )
    assert state.read_bytes() == before
    assert lab.sent() == 0


def test_another_applications_database_is_refused(lab: E2eLab, tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "places.sqlite")
    database.execute("CREATE TABLE bookmarks (url TEXT)")
    database.close()
    done = dzbgp(tmp_path, "run", *lab.args, "--state", str(tmp_path / "places.sqlite"))
    assert done.code == 2
    assert "another application's database" in done.error
    assert lab.sent() == 0


def test_a_dry_run_changes_no_byte_of_the_state_file_and_makes_none(lab: E2eLab, tmp_path: Path) -> None:
    state = tmp_path / "state"
    args = ("run", *lab.args, "--state", str(state))
    assert dzbgp(tmp_path, *args, "--dry-run").code == 0
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith("state")] == []
    assert dzbgp(tmp_path, *args).code == 0
    before = state.read_bytes()
    spec = lab.world.user("ams-dz-001", 500)
    lab.fleet.set_state(spec.device, spec.peer_address, "Idle")
    assert dzbgp(tmp_path, *args, "--dry-run").code == 0
    assert state.read_bytes() == before


def test_a_write_whose_fate_was_not_known_is_skipped_by_the_next_run_until_it_has_expired(
    lab: E2eLab, tmp_path: Path
) -> None:
    lab.ledger.inject(Fault(kind=FaultKind.LOST_SEND))
    lost = dzbgp(tmp_path, "run", *lab.args, "--output", "json", "--submit-timeout", "1s")
    assert lost.code == 3
    pending = {user["user"] for user in lost.report["users"] if user["result"] == "pending"}
    assert pending
    lab.ledger.clear_faults()

    def settled() -> bool:
        done = dzbgp(tmp_path, "run", *lab.args, "--output", "json")
        found = reasons(done.report)
        assert all(user in pending for user, reason in found.items() if reason == "in-flight")
        return "in-flight" not in found.values()

    until(settled)
    assert lab.ledger.stats().per_user == dict.fromkeys(lab.ledger.stats().per_user, 1)
    for spec in lab.world.users:
        if str(spec.user.pubkey) in pending and spec.expect is not None:
            data = lab.ledger.account(spec.user.pubkey)
            assert data is not None
            assert spec.expect in {BgpStatus.UP, BgpStatus.DOWN}
            assert spec.user.pubkey in lab.ledger.stats().per_user


def test_no_secret_is_in_the_state_file(lab: E2eLab, tmp_path: Path) -> None:
    token = "canary-0123456789abcdef"
    args = [arg.replace(lab.ledger.url, f"{lab.ledger.url}/{token}") for arg in lab.args]
    done = dzbgp(tmp_path, "run", *args, "--state", str(tmp_path / "state"))
    assert done.code == 0, done.err
    content = b"".join(file.read_bytes() for file in tmp_path.iterdir() if file.name.startswith("state"))
    secrets = [token.encode(), LAB_PASSWORD.encode()]
    for keypair in lab.publishers.values():
        raw = bytes(keypair)
        secrets += [
            raw,
            raw[:32],
            str(keypair).encode(),
            base64.b64encode(raw[:30]),
            json.dumps(list(raw[:32])).encode(),
        ]
    assert [secret for secret in secrets if secret in content] == []
