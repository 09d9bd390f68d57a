"""Every way in which the ledger can fail, as a line that says which and what to do."""

import re
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from check_lab import Checked
from e2e_lab import E2eLab
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from dzbgp.lab.solana.faults import Fault, FaultKind
from dzbgp.lab.solana.ledger import Ledger
from dzbgp.lab.solana.methods import RpcMethods
from dzbgp.lab.world.encode import encode_device

Check = Callable[..., Checked]
DEAD = "http://127.0.0.1:9/secret-token"


@pytest.mark.parametrize(
    ("fault", "detail", "hint"),
    [
        ({"kind": FaultKind.HTTP_STATUS, "status": 401}, "HTTP 401", "access token"),
        ({"kind": FaultKind.HTTP_STATUS, "status": 403}, "HTTP 403", "access token"),
        ({"kind": FaultKind.HTTP_STATUS, "status": 429}, "HTTP 429", "limits requests"),
        ({"kind": FaultKind.HTTP_STATUS, "status": 503}, "HTTP 503", "--rpc-url"),
        ({"kind": FaultKind.GARBAGE}, "not JSON-RPC", "--rpc-url"),
        ({"kind": FaultKind.TRUNCATED}, "middle of the answer", "--rpc-url"),
        ({"kind": FaultKind.HANGUP_BEFORE}, "closed", "--rpc-url"),
        ({"kind": FaultKind.HANGUP_AFTER}, "closed", "--rpc-url"),
        ({"kind": FaultKind.WRONG_ID}, "another request", "--rpc-url"),
        ({"kind": FaultKind.DELAY, "delay_s": 1.5}, "no answer in", "--rpc-url"),
        ({"kind": FaultKind.STALL, "delay_s": 4.0}, "no answer in", "--rpc-url"),
        ({"kind": FaultKind.RPC_ERROR}, "error -32603", "another --rpc-url"),
        ({"kind": FaultKind.NODE_BEHIND}, "error -32005", "another --rpc-url"),
    ],
    ids=lambda value: value["kind"].value if isinstance(value, dict) else "",
)
def test_an_rpc_that_fails_is_told_with_a_hint_and_nothing_can_run(
    lab: E2eLab, checked: Check, fault: dict[str, Any], detail: str, hint: str
) -> None:
    lab.ledger.inject(Fault(times=None, **fault))
    done = checked("--limit", "ams-dz-001")
    item = done.only_failure()
    assert (item["section"], item["subject"], item["check"]) == ("ledger", lab.ledger.url, "reachable")
    assert detail in item["detail"]
    assert hint in item["hint"]
    assert done.code == 1


def test_an_rpc_that_is_down_beside_one_that_answers_is_a_warning(checked: Check) -> None:
    done = checked("--rpc-url", DEAD)
    (item,) = [item for item in done.warned if item["check"] == "reachable"]
    assert (item["subject"], done.code) == ("http://127.0.0.1:9", 0)
    assert "another RPC answers" in item["hint"]


def test_an_rpc_without_tls_on_another_host_is_a_warning(checked: Check) -> None:
    done = checked("--rpc-url", "http://rpc.invalid/secret-token", "--limit", "ams-dz-001")
    (item,) = done.found(section="ledger", check="tls")
    assert (item["subject"], item["verdict"], item["hint"]) == (
        "http://rpc.invalid",
        "warning",
        "use https://",
    )


def test_when_no_rpc_answers_all_hosts_are_asked_and_the_token_is_not_shown(
    lab: E2eLab, checked: Check
) -> None:
    lab.ledger.inject(Fault(kind=FaultKind.HTTP_STATUS, times=None))
    done = checked("--rpc-url", DEAD)
    assert done.code == 1
    assert [item["subject"] for item in done.failed] == [lab.ledger.url, "http://127.0.0.1:9"]
    assert len(done.found(section="devices", check="bgp")) == len(lab.world.devices)
    assert "secret-token" not in done.result.output


@pytest.mark.parametrize(
    ("fault", "check", "hint"),
    [
        ({"kind": FaultKind.EMPTY_ACCOUNTS}, "program", "--program-id"),
        (
            {
                "kind": FaultKind.RPC_ERROR,
                "method": "getProgramAccounts",
                "code": -32010,
                "message": "excluded",
            },
            "program",
            "do not serve getProgramAccounts",
        ),
        ({"kind": FaultKind.HTTP_STATUS, "method": "getProgramAccounts"}, "program", "getProgramAccounts"),
        ({"kind": FaultKind.HTTP_STATUS, "method": "getMultipleAccounts"}, "program", "--rpc-url"),
        (
            {"kind": FaultKind.HTTP_STATUS, "method": "getMinimumBalanceForRentExemption"},
            "balances",
            "--rpc-url",
        ),
    ],
)
def test_a_question_that_the_ledger_does_not_answer_is_told_by_its_own_line(
    lab: E2eLab, checked: Check, fault: dict[str, Any], check: str, hint: str
) -> None:
    lab.ledger.inject(Fault(times=None, **fault))
    done = checked("--limit", "ams-dz-001")
    item = done.only_failure()
    assert (item["section"], item["check"], done.code) == ("ledger", check, 1)
    assert hint in item["hint"]


def test_a_wrong_program_has_no_accounts(checked: Check) -> None:
    item = (done := checked("--program-id", str(Pubkey.new_unique()))).only_failure()
    assert (item["check"], done.code) == ("program", 1)
    assert "has no device accounts" in item["detail"]


def test_another_genesis_hash_than_given_is_another_cluster(lab: E2eLab, checked: Check) -> None:
    other = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d"
    item = (done := checked("--genesis-hash", other)).only_failure()
    assert (item["subject"], item["check"], done.code) == (lab.ledger.url, "cluster", 1)
    assert f"--genesis-hash says {other}" in item["detail"]


def test_the_right_genesis_hash_is_fine(checked: Check) -> None:
    (item,) = checked().found(check="cluster")
    genesis = item["detail"].split("genesis hash ")[1].split(",")[0]
    done = checked("--genesis-hash", genesis)
    assert done.code == 0
    assert done.found(check="cluster")[0]["detail"] == f"genesis hash {genesis}, as given"


def test_rpcs_of_two_clusters_are_told_apart(
    lab: E2eLab, checked: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = lab.world
    # Every ledger of the lab begins with the same block; this one shall not.
    monkeypatch.setattr(
        RpcMethods, "_rpc_get_genesis_hash", lambda rpc: str(rpc._chain.blockhash(id(rpc._chain)))
    )
    with Ledger.start(
        world.accounts(), program_id=world.program_id, balances={}, start_slot=world.now_slot
    ) as other:
        # The lab's own ledger was started before, and kept the method that it had.
        done = checked("--rpc-url", other.url)
    item = done.only_failure()
    assert (item["subject"], item["check"], done.code) == (other.url, "cluster", 1)
    assert "the first RPC says" in item["detail"]


@pytest.mark.parametrize(("at", "side"), [(-3600.0, "behind"), (3600.0, "ahead of")])
def test_a_clock_that_differs_from_the_ledgers_is_a_warning(
    checked: Check, monkeypatch: pytest.MonkeyPatch, at: float, side: str
) -> None:
    monkeypatch.setattr("dzbgp.diagnostics.check.ledger.time", SimpleNamespace(time=lambda: time.time() + at))
    done = checked()
    (item,) = done.found(check="clock")
    assert (item["verdict"], done.code) == ("warning", 0)
    assert re.search(rf"3(599|60\d) s {side} the ledger's", item["detail"])
    assert "timedatectl" in item["hint"]


def test_a_ledger_that_no_run_would_believe_fails(lab: E2eLab, checked: Check) -> None:
    lab.ledger.inject(Fault(kind=FaultKind.SHIFTED_CLOCK, delay_s=-600.0, times=None))
    done = checked("--limit", "ams-dz-001")
    item = done.only_failure()
    assert (item["section"], item["check"], done.code) == ("ledger", "credible", 3)
    assert "behind this machine's clock" in item["detail"]


def test_a_ledger_without_a_clock_is_a_warning(lab: E2eLab, checked: Check) -> None:
    lab.ledger.inject(Fault(kind=FaultKind.NO_CLOCK, times=None))
    done = checked()
    assert (done.found(check="clock")[0]["verdict"], done.code) == ("warning", 0)


def test_a_publisher_whose_key_is_not_here_fails_with_its_devices(
    lab: E2eLab, checked: Check, tmp_path: Any
) -> None:
    hidden = lab.keypairs / "kestrel.json"
    hidden.rename(tmp_path / "kestrel.json")
    try:
        item = (done := checked()).only_failure()
    finally:
        (tmp_path / "kestrel.json").rename(hidden)
    assert (item["section"], item["check"], done.code) == ("keys", "key", 3)
    assert item["subject"] == str(lab.publishers["kestrel"].pubkey())
    assert "is not available" in item["detail"]


@pytest.mark.parametrize(
    ("lamports", "verdict", "code"), [(0, "fail", 3), (100_000_000, "warning", 0), (10**10, "ok", 0)]
)
def test_a_publisher_must_be_able_to_pay(
    lab: E2eLab, checked: Check, lamports: int, verdict: str, code: int
) -> None:
    publisher = lab.publishers["kestrel"].pubkey()
    lab.ledger.set_balance(publisher, lamports)
    try:
        done = checked()
    finally:
        lab.ledger.set_balance(publisher, 10**10)
    (item,) = done.found(check="balance", subject=str(publisher))
    assert (item["verdict"], done.code) == (verdict, code)


def test_a_device_without_a_publisher_can_not_be_written_for(lab: E2eLab, checked: Check) -> None:
    device = lab.world.device("ams-dz-001").device
    lab.ledger.set_account(
        device.pubkey, encode_device(replace(device, metrics_publisher_pk=Pubkey.default()))
    )
    try:
        item = (done := checked()).only_failure()
    finally:
        lab.ledger.set_account(device.pubkey, encode_device(device))
    assert (item["subject"], item["check"], done.code) == ("ams-dz-001", "publisher", 3)


def test_an_account_that_can_not_be_read_is_a_warning(lab: E2eLab, checked: Check) -> None:
    user = lab.world.user("ams-dz-001", 500).user.pubkey
    data = lab.world.accounts()[user]
    lab.ledger.set_account(user, data[:60])
    try:
        done = checked()
    finally:
        lab.ledger.set_account(user, data)
    (item,) = done.found(check="account")
    assert (item["verdict"], done.code) == ("warning", 0)
    assert str(user) in item["detail"]


def test_nothing_is_ever_sent(lab: E2eLab, checked: Check) -> None:
    before = lab.ledger.accounts()
    checked()
    asked = set(lab.ledger.stats().requests)
    assert asked & {"sendTransaction", "simulateTransaction", "requestAirdrop"} == set()
    assert lab.ledger.accounts() == before


def test_a_key_that_signs_for_nobody_is_no_failure(lab: E2eLab, checked: Check, tmp_path: Any) -> None:
    file = tmp_path / "other.json"
    file.write_text(str(list(bytes(Keypair()))), encoding="ascii")
    file.chmod(0o600)
    assert checked("--keypair", str(file)).code == 0
