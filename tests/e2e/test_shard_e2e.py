"""The parts of a fleet together do what one run does."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e_lab import REAL_SLOT_MS, E2eLab, began, dzbgp, ended, started_lab
from waiting import until

from dzbgp.lab.solana.faults import Fault, FaultKind


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[E2eLab]:
    with started_lab(tmp_path_factory.mktemp("lab")) as made:
        made.heal()
        yield made


def test_the_shards_of_a_fleet_together_write_what_one_run_would(lab: E2eLab, tmp_path: Path) -> None:
    whole = dzbgp(tmp_path, "run", *lab.args, "--dry-run", "--output", "json").report
    hosts: list[str] = []
    for number in (1, 2, 3):
        done = dzbgp(tmp_path, "run", *lab.args, "--shard", f"{number}/3", "--output", "json")
        assert done.code == 0, done.err
        note = f"This is shard {number}/3 of the fleet: the guard sees this part only."
        assert note in done.report["notes"]
        hosts += [device["host"] for device in done.report["devices"]]
        assert {user["host"] for user in done.report["users"]} <= {
            one["host"] for one in done.report["devices"]
        }
    assert sorted(hosts) == sorted(device["host"] for device in whole["devices"])
    due = {user["user"] for user in whole["users"] if user["action"] == "submit"}
    assert {str(user) for user in lab.ledger.stats().per_user} == due
    assert set(lab.ledger.stats().per_user.values()) == {1}
    assert dzbgp(tmp_path, "run", *lab.args, "--dry-run", "--exit-code").code == 0


def test_a_shard_without_a_device_is_done_at_once(lab: E2eLab, tmp_path: Path) -> None:
    done = [
        dzbgp(tmp_path, "run", *lab.args, "--dry-run", "--shard", f"{number}/900", "--output", "json")
        for number in (1, 2)
    ]
    assert [one.code for one in done] == [0, 0]
    assert [one.report["summary"]["devices"] for one in done] == [0, 0]


def test_check_and_audit_take_a_shard_too(lab: E2eLab, tmp_path: Path) -> None:
    check = dzbgp(
        tmp_path,
        "check",
        *(word for word in lab.args if word not in {"--refresh-interval", "6h"}),
        "--shard",
        "1/3",
    )
    assert check.code == 0, check.out + check.err
    wrong = dzbgp(tmp_path, "audit", "--inventory", str(lab.inventory), "--shard", "4/3")
    assert wrong.code == 2
    assert "invalid part" in wrong.error


def test_a_shard_and_a_run_of_the_whole_fleet_have_one_memory_and_do_not_write_side_by_side(
    tmp_path: Path,
) -> None:
    with started_lab(tmp_path, slot_ms=REAL_SLOT_MS) as lab:
        lab.heal()
        due = (*lab.args, "--force", "--submit-timeout")
        lab.ledger.inject(Fault(kind=FaultKind.LOST_SEND, times=None))
        shard = began(tmp_path, "run", *due, "12s", "--shard", "1/1", "--output", "json")
        until(lambda: lab.sent() > 0)
        refused = dzbgp(tmp_path, "run", *due, "1s")
        assert refused.code == 1
        assert f"pid {shard.pid}, since " in refused.error
        pending = {user["user"] for user in ended(shard).report["users"] if user["result"] == "pending"}
        assert pending
        sent = lab.sent()
        whole = dzbgp(tmp_path, "run", *due, "1s", "--output", "json")
        assert {user["user"] for user in whole.report["users"] if user["reason"] == "in-flight"} == pending
        assert whole.code == 3
        assert lab.sent() == sent
