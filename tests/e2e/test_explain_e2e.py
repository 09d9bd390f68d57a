"""`dzbgp explain` against a lab: a user by any of its names, with its device, its past and what to do."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e_lab import E2eLab, dzbgp, edited, started_lab
from msgspec.structs import replace

from dzbgp.lab.world.accounts import UserSpec
from dzbgp.lab.world.encode import encode_user
from dzbgp.models.ledger import BgpStatus

HOST = "ams-dz-001"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[E2eLab]:
    with started_lab(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture(scope="module")
def user(lab: E2eLab) -> UserSpec:
    return lab.world.user(HOST, 500)


def test_with_an_inventory_it_says_what_a_run_would_do_and_why(
    lab: E2eLab, user: UserSpec, tmp_path: Path
) -> None:
    key = str(user.user.pubkey)
    lab.fleet.set_state(user.device, user.peer_address, "Established")
    assert dzbgp(tmp_path, "run", *lab.args, "--limit", lab.healthy).code == 0
    lab.fleet.set_state(user.device, user.peer_address, "Idle")
    found = json.loads(dzbgp(tmp_path, "explain", key[:6], *lab.args, "--json").out)
    assert (found["user"], found["onchain"], found["device"]) == (key, "up", HOST)
    answer = found["answer"]
    assert (answer["observed"], answer["action"], answer["reason"]) == (
        "not_established",
        "submit",
        "changed",
    )
    assert (answer["new_status"], answer["neighbor"]["state"]) == ("down", "Idle")
    assert answer["neighbor"]["hold_time_s"] == 3
    assert found["past"]["is_up"] is True
    assert any("the session is down" in line for line in found["what_to_do"])
    for width in (80, 160):
        text = dzbgp(tmp_path, "explain", key, *lab.args, COLUMNS=str(width))
        assert (text.code, text.err) == (0, "")
        assert max(map(len, text.out.splitlines())) <= width
    assert "What to do" in text.out
    # Nothing of it was written.
    assert json.loads(dzbgp(tmp_path, "explain", key, *lab.args, "--json").out)["onchain"] == "up"


def test_without_an_inventory_no_device_is_asked(lab: E2eLab, user: UserSpec, tmp_path: Path) -> None:
    before = lab.fleet.requests(HOST)
    clients = Counter(one.user.client_ip for one in lab.world.users)
    other = next(one for one in lab.world.users if clients[one.user.client_ip] == 1)
    names = {
        user.peer_address: user,
        str(user.user.tunnel_net): user,
        other.user.client_ip: other,
    }
    for name, wanted in names.items():
        done = dzbgp(tmp_path, "explain", name, *lab.ledger_args, "--json")
        found = json.loads(done.out)
        assert (found["user"], found["answer"], found["past"]) == (str(wanted.user.pubkey), None, None)
        assert found["what_to_do"][-1].startswith("give --inventory to see what the device says")
    assert lab.fleet.requests(HOST) == before


def test_a_device_without_an_answer_leads_to_check(lab: E2eLab, tmp_path: Path) -> None:
    (spec,) = [one for one in lab.world.users if one.device == "tyo-dz-001"][:1]
    found = json.loads(dzbgp(tmp_path, "explain", str(spec.user.pubkey), *lab.args, "--json").out)
    assert found["answer"]["result"] == "failed"
    assert any("dzbgp check --limit tyo-dz-001" in line for line in found["what_to_do"])


def test_a_name_of_nobody_or_of_several_is_a_usage_error(lab: E2eLab, tmp_path: Path) -> None:
    done = dzbgp(tmp_path, "explain", "203.0.113.254", *lab.ledger_args)
    assert done.code == 2
    assert "USER: no user matches '203.0.113.254': expected a key or its first characters" in done.error


def test_a_client_ip_of_two_users_names_their_keys(lab: E2eLab, user: UserSpec, tmp_path: Path) -> None:
    done = dzbgp(tmp_path, "explain", user.user.client_ip, *lab.ledger_args)
    assert done.code == 2
    assert f"{user.user.pubkey} (ibrl)" in done.error


def test_an_inventory_without_its_device_says_so(lab: E2eLab, user: UserSpec, tmp_path: Path) -> None:
    with edited(lab.inventory / "hosts.yaml") as hosts:
        kept = hosts.pop(HOST)
    done = dzbgp(tmp_path, "explain", str(user.user.pubkey), *lab.args)
    with edited(lab.inventory / "hosts.yaml") as hosts:
        hosts[HOST] = kept
    assert "no host of the inventory is the user's device" in done.out


def test_a_device_that_a_run_does_not_trust_is_not_asked_either(
    lab: E2eLab, user: UserSpec, tmp_path: Path
) -> None:
    state = ["--state", str(tmp_path / "state")]
    assert dzbgp(tmp_path, "run", *lab.args, *state, "--limit", HOST).code == 0
    with sqlite3.connect(tmp_path / "state") as database:
        database.execute("UPDATE known_keys SET key = ?", (":".join(["AB"] * 32),))
    database.close()
    logins = lab.fleet.requests(HOST)
    found = json.loads(dzbgp(tmp_path, "explain", str(user.user.pubkey), *lab.args, *state, "--json").out)
    assert "its certificate has changed" in found["answer"]["error"]
    assert lab.fleet.requests(HOST) == logins


def test_a_user_that_is_as_new_as_its_device_is_new_for_explain_as_for_a_run(
    lab: E2eLab, user: UserSpec, tmp_path: Path
) -> None:
    state = ["--state", str(tmp_path / "state")]
    lab.fleet.set_state(user.device, user.peer_address, "Established")
    assert dzbgp(tmp_path, "run", *lab.args, *state, "--limit", lab.healthy).code == 0
    with sqlite3.connect(tmp_path / "state") as database:
        database.execute("UPDATE users SET first_seen_at = first_seen_at - 3600")
        here = [str(one.user.pubkey) for one in lab.world.users if one.device == user.device]
        database.executemany("DELETE FROM users WHERE user = ?", [(one,) for one in here])
    database.close()
    fresh = replace(user.user, bgp_status=BgpStatus.UNKNOWN, last_bgp_reported_at=0)
    lab.ledger.set_account(fresh.pubkey, encode_user(fresh))
    run = dzbgp(tmp_path, "run", "--dry-run", *lab.args, *state, "--limit", lab.healthy, "--output", "json")
    found = json.loads(dzbgp(tmp_path, "explain", str(fresh.pubkey), *lab.args, *state, "--json").out)
    (decision,) = [one for one in run.report["users"] if one["user"] == str(fresh.pubkey)]
    assert decision["reason"] == "new-user"
    assert found["answer"]["reason"] == "new-user"
