import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e_lab import AILING, E2eLab, dzbgp, edited, started_lab

from dzbgp.lab.world.encode import Layout, encode_user
from dzbgp.lab.world.world import UserSpec
from dzbgp.models.ledger import BgpStatus

TAIL = 34
"""Bytes behind validator_pubkey when feed_pks is empty."""
TEXT, NUMBER, NOTHING = str, int, type(None)
REPORT: dict[str, Any] = {
    "schema_version": (NUMBER,),
    "dry_run": (bool,),
    "env": (TEXT,),
    "program_id": (TEXT,),
    "slot": (NUMBER,),
    "started_at": (TEXT,),
    "duration_s": (float,),
    "exit": (dict,),
    "notes": (list,),
    "devices": (list,),
    "users": (list,),
    "skipped_accounts": (list,),
    "summary": (dict,),
}
DEVICE: dict[str, Any] = {
    "host": (TEXT,),
    "code": (TEXT, NOTHING),
    "pubkey": (TEXT, NOTHING),
    "result": {"ok", "failed", "unmatched", "suspect", "unsupported"},
    "error": (TEXT, NOTHING),
    "sessions": (NUMBER,),
    "established": (NUMBER,),
    "users": (NUMBER,),
}
USER: dict[str, Any] = {
    "user": (TEXT,),
    "device": (TEXT,),
    "host": (TEXT,),
    "client_ip": (TEXT,),
    "tunnel_net": (TEXT,),
    "user_type": (TEXT,),
    "vrf": (TEXT, NOTHING),
    "peer_ip": (TEXT, NOTHING),
    "observed": {"established", "not_established", "absent", "unknown"},
    "onchain": {"unknown", "up", "down"},
    "status": {"up", "down", None},
    "action": {"submit", "skip", "hold"},
    "reason": (TEXT,),
    "detail": (TEXT,),
    "rtt_ns": (NUMBER,),
    "result": {"confirmed", "finalized", "failed", "pending", None},
    "signature": (TEXT, NOTHING),
    "error": (TEXT, NOTHING),
}
SUMMARY = dict.fromkeys(
    (
        "devices",
        "devices_failed",
        "users",
        "up",
        "down",
        "absent",
        "unknown",
        "to_submit",
        "changes",
        "refreshes",
        "submitted",
        "failed",
        "held",
        "transactions",
        "rpc_requests",
    ),
    (NUMBER,),
)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[E2eLab]:
    with started_lab(tmp_path) as running:
        yield running


def onchain_after(lab: E2eLab, spec: UserSpec) -> bytes:
    """What the account must hold after a first pass, byte by byte."""
    before = encode_user(spec.user, spec.layout)
    if spec.expect is None:
        return before
    (slot,) = (one.slot for one in lab.ledger.transactions() if spec.user.pubkey in one.users)
    here = len(encode_user(spec.user, Layout.OLDEST))
    after = bytearray(before.ljust(here + TAIL, b"\0"))
    after[here + 5] = spec.expect
    if spec.expect is BgpStatus.UP:
        after[here + 6 : here + 14] = slot.to_bytes(8, "little")
    after[here + 14 : here + 22] = slot.to_bytes(8, "little")
    after[here + 22 : here + 30] = spec.rtt_ns.to_bytes(8, "little")
    return bytes(after)


def changes(report: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    return {
        user["user"]: (user["onchain"], user["status"], user["reason"], user["rtt_ns"])
        for user in report["users"]
        if user["action"] == "submit"
    }


def check_shape(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert list(found) == list(wanted)
    for name, kinds in wanted.items():
        fits = found[name] in kinds if isinstance(kinds, set) else type(found[name]) in kinds
        assert fits, (name, found[name])


def test_a_run_writes_every_due_user_of_the_world_and_nothing_else(lab: E2eLab, tmp_path: Path) -> None:
    before = lab.ledger.accounts()
    done = dzbgp(tmp_path, "run", *lab.args)
    assert done.code == 3, done.err
    after = lab.ledger.accounts()
    assert set(after) == set(before)
    users = {spec.user.pubkey: spec for spec in lab.world.users}
    for pubkey, data in after.items():
        wanted = onchain_after(lab, users[pubkey]) if pubkey in users else before[pubkey]
        assert data == wanted, (users[pubkey].reason if pubkey in users else "no user", pubkey)
    grown = [key for key in users if key in after and len(after[key]) > len(before[key])]
    old = [one for one in lab.world.users if one.layout < Layout.WITHOUT_FEEDS and one.expect is not None]
    assert {one.user.pubkey for one in old} <= set(grown)
    expected = lab.world.expected()
    stats = lab.ledger.stats()
    assert stats.per_user == dict.fromkeys(expected, 1)
    assert stats.instructions_executed == len(expected)
    assert stats.transactions_failed == 0


def test_a_second_pass_writes_nothing_and_costs_few_questions(lab: E2eLab, tmp_path: Path) -> None:
    args = ["run", *lab.args, "--limit", lab.healthy, "--output", "json"]
    first = dzbgp(tmp_path, *args)
    assert first.code == 0, first.err
    assert first.report["summary"]["submitted"] == len(lab.world.expected())
    accounts, stats = lab.ledger.accounts(), lab.ledger.stats()
    asked = {spec.code: lab.fleet.requests(spec.code) for spec in lab.world.devices}

    second = dzbgp(tmp_path, *args)
    assert second.code == 0, second.err
    assert second.report["summary"]["to_submit"] == 0
    assert changes(second.report) == {}
    assert lab.ledger.accounts() == accounts
    now = lab.ledger.stats()
    assert now.instructions_executed == stats.instructions_executed
    assert now.requests.get("sendTransaction") == stats.requests.get("sendTransaction")
    # The genesis hash, the Clock, devices, tenants, users, the slot time; what is not final yet: statuses and height.
    assert now.http_requests - stats.http_requests <= 8
    assert second.report["summary"]["rpc_requests"] == now.http_requests - stats.http_requests
    for code, before in asked.items():
        wanted = 0 if code in AILING else 2
        assert lab.fleet.requests(code) - before == wanted, code


def test_a_dry_run_sends_nothing_and_names_what_the_run_after_it_writes(lab: E2eLab, tmp_path: Path) -> None:
    accounts = lab.ledger.accounts()
    dry = dzbgp(tmp_path, "run", *lab.args, "--dry-run", "--output", "json", "--limit", lab.healthy)
    assert dry.code == 0, dry.err
    stats = lab.ledger.stats()
    assert not {"sendTransaction", "simulateTransaction"} & set(stats.requests)
    assert stats.transactions_executed == 0
    assert lab.ledger.accounts() == accounts
    assert dry.report["dry_run"] is True
    assert all(user["result"] is None and user["signature"] is None for user in dry.report["users"])

    real = dzbgp(tmp_path, "run", *lab.args, "--output", "json", "--limit", lab.healthy)
    assert real.code == 0, real.err
    assert changes(real.report) == changes(dry.report)
    written = lab.world.expected()
    assert {user: (status, rtt) for user, (_, status, _, rtt) in changes(dry.report).items()} == {
        str(user): (status.label, rtt) for user, (status, rtt) in written.items()
    }
    assert set(lab.ledger.stats().per_user) == set(written)


def test_the_json_report_is_all_of_stdout_and_has_every_key_of_the_schema(
    lab: E2eLab, tmp_path: Path
) -> None:
    file = tmp_path / "report.json"
    done = dzbgp(tmp_path, "run", *lab.args, "--output", "json", "--report-file", str(file))
    assert done.code == 3, done.err
    report = done.report
    assert json.loads(file.read_text(encoding="utf-8")) == report
    assert list(tmp_path.glob(".report*")) == []
    check_shape(report, REPORT)
    check_shape(report["summary"], SUMMARY)
    for device in report["devices"]:
        check_shape(device, DEVICE)
    for user in report["users"]:
        check_shape(user, USER)
    assert {device["host"] for device in report["devices"]} == {spec.host for spec in lab.world.devices}
    bad = {device["code"]: device["result"] for device in report["devices"] if device["result"] != "ok"}
    assert bad == {"tyo-dz-001": "failed", "sgp-dz-001": "suspect"}
    reasons = {user["user"]: user["reason"] for user in report["users"]}
    told = {str(spec.user.pubkey): spec.reason for spec in lab.world.users if spec.reason != "not-activated"}
    assert reasons == told
    expected = lab.world.expected()
    submitted = {user["user"]: user for user in report["users"] if user["action"] == "submit"}
    assert set(submitted) == {str(user) for user in expected}
    signatures = {str(one.signature): {str(user) for user in one.users} for one in lab.ledger.transactions()}
    for user in submitted.values():
        assert user["result"] in {"confirmed", "finalized"}
        assert user["user"] in signatures[user["signature"]]
    assert report["summary"]["transactions"] == len(signatures)
    assert report["summary"]["submitted"] == len(expected)


def test_three_hosts_behind_one_address_are_each_read_on_their_own_port(lab: E2eLab, tmp_path: Path) -> None:
    three = {spec.host: spec for spec in lab.world.devices if spec.contributor == "tidewater"}
    assert len({spec.address for spec in three.values()}) == 1
    assert len({spec.port for spec in three.values()}) == 3
    done = dzbgp(
        tmp_path, "run", *lab.args, "--limit", ",".join(three), "--no-identity-check", "--output", "json"
    )
    assert done.code == 0, done.err
    codes = {spec.code for spec in three.values()}
    wanted = {user: 1 for user in lab.world.expected() if _device_of(lab, user) in codes}
    assert lab.ledger.stats().per_user == wanted
    for code in codes:
        # The neighbors, and once more for the RTTs.
        assert lab.fleet.requests(code) == 3, code


def _device_of(lab: E2eLab, user: object) -> str:
    return next(spec.device for spec in lab.world.users if spec.user.pubkey == user)


def test_a_small_fleet_asks_only_for_the_users_of_its_devices(lab: E2eLab, tmp_path: Path) -> None:
    done = dzbgp(tmp_path, "run", *lab.args, "--dry-run", "--output", "json", "--limit", "chicago-1")
    assert done.code == 0, done.err
    assert {user["device"] for user in done.report["users"]} == {"chi-dz-001"}
    assert lab.ledger.stats().bytes_sent < 10_000


def test_filters_choose_hosts_by_data_and_by_group(lab: E2eLab, tmp_path: Path) -> None:
    args = ["run", *lab.args, "--dry-run", "--output", "json"]
    by_data = dzbgp(tmp_path, *args, "--filter", "contributor=northlight", "--filter", "metro=fra")
    assert [device["code"] for device in by_data.report["devices"]] == ["fra-dz-001"]
    by_group = dzbgp(tmp_path, *args, "--filter", "group=tidewater")
    assert {device["code"][:3] for device in by_group.report["devices"]} == {"nyc", "chi", "lax"}


def test_options_can_come_from_the_environment(lab: E2eLab, tmp_path: Path) -> None:
    done = dzbgp(
        tmp_path,
        "run",
        DZBGP_INVENTORY=str(lab.inventory / "config.yaml"),
        DZBGP_ENV="localnet",
        DZBGP_RPC_URL=lab.ledger.url,
        DZBGP_KEYPAIR=f"{lab.keypairs / 'northlight.json'}:{lab.keypairs / 'kestrel.json'}",
        DZBGP_REFRESH_INTERVAL="6h",
        DZBGP_LIMIT="ams-dz-001",
        DZBGP_OUTPUT="json",
    )
    assert done.code == 0, done.err
    assert done.report["summary"]["submitted"] == 10


def test_the_login_can_come_from_the_environment(lab: E2eLab, tmp_path: Path) -> None:
    with edited(lab.inventory / "defaults.yaml") as content:
        user, password = content.pop("username"), content.pop("password")
    args = ["run", *lab.args, "--dry-run", "--limit", "ams-dz-001", "--output", "json"]
    without = dzbgp(tmp_path, *args)
    assert (without.code, without.out) == (2, "")
    assert "DZBGP_EOS_USERNAME and DZBGP_EOS_PASSWORD" in without.error
    wrong = dzbgp(tmp_path, *args, DZBGP_EOS_USERNAME=user, DZBGP_EOS_PASSWORD="another")
    assert wrong.report["devices"][0]["error"].endswith("wrong name or password")
    done = dzbgp(tmp_path, *args, DZBGP_EOS_USERNAME=user, DZBGP_EOS_PASSWORD=password)
    assert done.code == 0, done.err


def test_a_dry_run_exits_with_5_when_asked_to_and_something_is_pending(lab: E2eLab, tmp_path: Path) -> None:
    healthy = ["run", *lab.args, "--limit", lab.healthy]
    assert dzbgp(tmp_path, *healthy, "--dry-run", "--exit-code").code == 5
    assert dzbgp(tmp_path, "run", *lab.args, "--dry-run", "--exit-code").code == 3
    assert dzbgp(tmp_path, *healthy, "--exit-code").code == 0
    assert dzbgp(tmp_path, *healthy, "--dry-run", "--exit-code").code == 0


def test_no_device_that_answers_is_still_a_report_with_exit_code_3(lab: E2eLab, tmp_path: Path) -> None:
    done = dzbgp(tmp_path, "run", *lab.args, "--limit", "tyo-dz-001", "--output", "json")
    assert done.code == 3, done.err
    assert done.report["devices"][0]["error"].endswith("no answer in 1 s")
    assert {user["observed"] for user in done.report["users"]} == {"unknown"}
    assert lab.sent() == 0


def test_finalized_waits_until_it_is(lab: E2eLab, tmp_path: Path) -> None:
    args = ["run", *lab.args, "--limit", "ams-dz-001", "--commitment", "finalized", "--output", "json"]
    done = dzbgp(tmp_path, *args)
    assert done.code == 0, done.err
    assert {user["result"] for user in done.report["users"] if user["signature"]} == {"finalized"}
