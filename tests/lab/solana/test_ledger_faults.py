"""Every fault that the ledger can be made to show, as a client meets it, and what it does to the chain."""

import http.client
import json
import threading
import time
from collections.abc import Iterator

import httpx2
import pytest
from ledger_lab import (
    DEVICE,
    PAYER,
    START,
    USERS,
    ask,
    call,
    post,
    result,
    send,
    small_ledger,
    status_of,
    transaction,
)
from raw_accounts import PROGRAM, bgp, key, user
from solana.exceptions import SolanaRpcException
from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Processed
from solana.rpc.core import RPCException
from solana.rpc.models import TxOpts
from solders.rpc.errors import NodeUnhealthyMessage
from waiting import until

from dzbgp.lab.solana.faults import DEFAULT_METHOD, Fault, FaultKind
from dzbgp.lab.solana.ledger import Ledger

HEALTH = {"jsonrpc": "2.0", "id": 1, "method": "getHealth"}


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with small_ledger() as made:
        yield made


def healthy(ledger: Ledger, count: int) -> str:
    """One letter for each of `count` requests: . for an answer, x for an HTTP error."""
    return "".join("." if post(ledger, HEALTH)[0] == 200 else "x" for _ in range(count))


# Which requests are hit


@pytest.mark.parametrize(
    ("times", "after", "pattern"),
    [(1, 0, "x....."), (2, 0, "xx...."), (None, 0, "xxxxxx"), (2, 3, "...xx."), (None, 4, "....xx")],
)
def test_a_fault_lets_some_requests_pass_and_hits_the_next(
    ledger: Ledger, times: int | None, after: int, pattern: str
) -> None:
    ledger.inject(Fault(kind=FaultKind.HTTP_STATUS, times=times, after=after))
    assert healthy(ledger, 6) == pattern


def test_a_fault_may_concern_one_method_only(ledger: Ledger) -> None:
    ledger.inject(Fault(kind=FaultKind.RPC_ERROR, method="getSlot", code=-32429, message="slow down"))
    assert result(ledger, "getHealth") == "ok"
    assert call(ledger, "getSlot")["error"] == {"code": -32429, "message": "slow down"}
    assert result(ledger, "getSlot") == START - 31


def test_a_fault_may_concern_one_account_only(ledger: Ledger) -> None:
    ledger.inject(Fault(kind=FaultKind.RPC_ERROR, user=USERS[1], times=None))
    assert "result" in call(ledger, "getBalance", str(USERS[0]))
    assert "error" in call(ledger, "getBalance", str(USERS[1]))
    assert "error" in call(ledger, "getMultipleAccounts", [str(USERS[0]), str(USERS[1])])
    assert "result" in send(ledger, transaction(ledger, USERS[0]))
    assert "error" in send(ledger, transaction(ledger, USERS[0], USERS[1]))


def test_in_a_batch_a_fault_of_the_methods_hits_its_call_alone(ledger: Ledger) -> None:
    ledger.inject(Fault(kind=FaultKind.NODE_BEHIND, method="getHealth", after=1))
    answers = json.loads(post(ledger, [HEALTH, {**HEALTH, "id": 2}, {**HEALTH, "id": 3}])[2])
    assert ["error" in one for one in answers] == [False, True, False]


def test_faults_are_cleared_and_counted(ledger: Ledger) -> None:
    ledger.inject(Fault(kind=FaultKind.HTTP_STATUS, times=None))
    assert healthy(ledger, 2) == "xx"
    ledger.clear_faults()
    assert healthy(ledger, 2) == ".."
    assert ledger.stats().faults == {"http_status": 2}
    assert ledger.stats().requests == {"getHealth": 4}


def test_faults_may_be_there_from_the_start() -> None:
    with small_ledger(faults=[Fault(kind=FaultKind.HTTP_STATUS)]) as ledger:
        assert healthy(ledger, 2) == "x."


@pytest.mark.parametrize("kind", FaultKind)
def test_a_fault_survives_its_way_through_json(kind: FaultKind) -> None:
    fault = Fault(
        kind=kind, method="getSlot", times=None, after=3, user=key(5), status=429, retry_after_s=1.5, code=-1,
        message="no", data={"a": [1]}, delay_s=0.5, slots=9, by_confirmation=True, executed=True,
    )  # fmt: skip
    assert Fault.from_json(json.loads(json.dumps(fault.to_json()))) == fault
    assert Fault.from_json(Fault(kind=kind).to_json()) == Fault(kind=kind)


# The transport


@pytest.mark.parametrize("status", [404, 429, 500, 502, 503, 504, 529])
def test_http_status_is_answered_and_nothing_is_executed(ledger: Ledger, status: int) -> None:
    tx = transaction(ledger)
    ledger.inject(Fault(kind=FaultKind.HTTP_STATUS, status=status, retry_after_s=2))
    with pytest.raises(SolanaRpcException) as raised:
        ask(ledger, lambda c: c.send_transaction(tx, TxOpts(preflight_commitment=Processed)))
    assert isinstance(raised.value.__cause__, httpx2.HTTPStatusError)
    assert raised.value.__cause__.response.status_code == status
    assert raised.value.__cause__.response.headers["retry-after"] == "2"
    assert ledger.stats().transactions_executed == 0


def test_a_gateway_may_time_out_although_the_request_was_executed(ledger: Ledger) -> None:
    tx = transaction(ledger)
    ledger.inject(Fault(kind=FaultKind.HTTP_STATUS, status=504, executed=True, method="sendTransaction"))
    with pytest.raises(AssertionError):
        send(ledger, tx)
    assert ledger.stats().per_user == {USERS[0]: 1}


def test_garbage_is_no_json(ledger: Ledger) -> None:
    ledger.inject(Fault(kind=FaultKind.GARBAGE))
    status, headers, body = post(ledger, HEALTH)
    assert (status, headers["content-type"]) == (200, "text/html")
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(body)


def test_a_truncated_answer_ends_before_its_length_and_the_request_was_executed(ledger: Ledger) -> None:
    ledger.inject(Fault(kind=FaultKind.TRUNCATED, method="getProgramAccounts"))
    body = {**HEALTH, "method": "getProgramAccounts", "params": [str(PROGRAM), {"encoding": "base64"}]}
    with pytest.raises(http.client.IncompleteRead) as raised:
        post(ledger, body)
    assert 0 < len(raised.value.partial) <= (raised.value.expected or 0) + 1
    ledger.inject(Fault(kind=FaultKind.TRUNCATED, method="sendTransaction"))
    tx = transaction(ledger)
    with pytest.raises(SolanaRpcException) as failed:
        ask(ledger, lambda c: c.send_transaction(tx, TxOpts(preflight_commitment=Processed)))
    assert isinstance(failed.value.__cause__, httpx2.RemoteProtocolError)
    assert ledger.stats().transactions_executed == 1


@pytest.mark.parametrize(("kind", "executed"), [(FaultKind.HANGUP_BEFORE, 0), (FaultKind.HANGUP_AFTER, 1)])
def test_a_hangup_comes_before_or_after_the_execution(ledger: Ledger, kind: FaultKind, executed: int) -> None:
    tx = transaction(ledger)
    ledger.inject(Fault(kind=kind, method="sendTransaction"))
    with pytest.raises(SolanaRpcException) as raised:
        ask(ledger, lambda c: c.send_transaction(tx, TxOpts(preflight_commitment=Processed)))
    assert isinstance(raised.value.__cause__, httpx2.RemoteProtocolError)
    assert ledger.stats().transactions_executed == executed


def test_solana_py_by_default_repeats_a_send_whose_answer_was_lost(ledger: Ledger) -> None:
    """Why a client must switch that off: the second send meets AlreadyProcessed."""
    tx = transaction(ledger)
    ledger.inject(Fault(kind=FaultKind.HANGUP_AFTER, method="sendTransaction"))

    async def repeat(_: AsyncClient) -> None:
        async with AsyncClient(ledger.url) as client:
            await client.send_transaction(tx, TxOpts(preflight_commitment=Processed))

    with pytest.raises(RPCException, match="already been processed"):
        ask(ledger, repeat)
    assert ledger.stats().requests["sendTransaction"] == 2
    assert ledger.stats().transactions_executed == 1


def test_an_answer_may_come_under_another_id(ledger: Ledger) -> None:
    ledger.inject(Fault(kind=FaultKind.WRONG_ID))
    assert call(ledger, "getHealth")["id"] != 1
    assert call(ledger, "getHealth")["id"] == 1


def test_a_delayed_answer_belongs_to_a_request_that_was_executed_at_once(ledger: Ledger) -> None:
    tx = transaction(ledger)
    ledger.inject(Fault(kind=FaultKind.DELAY, method="sendTransaction", delay_s=30))
    with pytest.raises(SolanaRpcException) as raised:
        ask(ledger, lambda c: c.send_transaction(tx, TxOpts(preflight_commitment=Processed)), timeout=0.1)
    assert isinstance(raised.value.__cause__, httpx2.ReadTimeout)
    assert ledger.stats().transactions_executed == 1


def test_a_stall_holds_every_request_from_the_first_hit_on_and_then_all_is_well(ledger: Ledger) -> None:
    ledger.inject(Fault(kind=FaultKind.STALL, delay_s=1.5, after=1))
    assert result(ledger, "getHealth") == "ok"
    began = time.monotonic()
    threads = [threading.Thread(target=healthy, args=(ledger, 1)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - began >= 1.49
    began = time.monotonic()
    assert healthy(ledger, 5) == "....."
    assert time.monotonic() - began < 1.49


def test_a_stalled_send_is_executed_though_its_client_has_gone() -> None:
    with small_ledger() as ledger:
        tx = transaction(ledger)
        ledger.inject(Fault(kind=FaultKind.STALL, delay_s=0.2, method="sendTransaction"))
        with pytest.raises(SolanaRpcException):
            ask(
                ledger, lambda c: c.send_transaction(tx, TxOpts(preflight_commitment=Processed)), timeout=0.05
            )
        assert ledger.stats().transactions_executed == 0
        until(lambda: ledger.stats().transactions_executed > 0)


def test_the_same_stall_may_be_injected_again(ledger: Ledger) -> None:
    stall = Fault(kind=FaultKind.STALL, delay_s=0.1)
    for _ in range(2):
        ledger.clear_faults()
        ledger.inject(stall)
        began = time.monotonic()
        assert healthy(ledger, 1) == "."
        assert time.monotonic() - began >= 0.09


# The methods


def test_a_node_behind_says_by_how_many_slots(ledger: Ledger) -> None:
    ledger.inject(Fault(kind=FaultKind.NODE_BEHIND, slots=42))
    with pytest.raises(RPCException) as raised:
        ask(ledger, lambda c: c.get_slot())
    error = raised.value.args[0]
    assert isinstance(error, NodeUnhealthyMessage)
    assert error.data.num_slots_behind == 42
    ledger.inject(Fault(kind=FaultKind.NODE_BEHIND, slots=42))
    assert call(ledger, "getSlot")["error"]["code"] == -32005


def test_an_rpc_error_may_carry_data(ledger: Ledger) -> None:
    ledger.inject(Fault(kind=FaultKind.RPC_ERROR, code=-32004, message="no block", data={"slot": 1}))
    expected = {"code": -32004, "message": "no block", "data": {"slot": 1}}
    assert call(ledger, "getSlot")["error"] == expected


def test_a_lost_send_is_answered_and_never_lands(ledger: Ledger) -> None:
    ledger.inject(Fault(kind=FaultKind.LOST_SEND))
    tx = transaction(ledger)
    assert send(ledger, tx)["result"] == str(tx.signatures[0])
    ledger.advance(100)
    assert status_of(ledger, tx) is None
    assert "result" in send(ledger, tx)  # the same bytes again, while the blockhash lives
    assert status_of(ledger, tx)["err"] is None
    assert ledger.stats().per_user == {USERS[0]: 1}


def test_a_delayed_send_lands_later(ledger: Ledger) -> None:
    ledger.inject(Fault(kind=FaultKind.DELAYED_SEND, slots=10))
    tx = transaction(ledger)
    send(ledger, tx)
    ledger.advance(9)
    assert status_of(ledger, tx) is None
    ledger.advance(9)
    assert status_of(ledger, tx)["slot"] == START + 10
    assert bgp(ledger.account(USERS[0])).reported_at == START + 10


def test_a_delayed_send_and_its_repetition_execute_once(ledger: Ledger) -> None:
    ledger.inject(Fault(kind=FaultKind.DELAYED_SEND, slots=10))
    tx = transaction(ledger)
    send(ledger, tx)
    ledger.advance(5)
    send(ledger, tx)
    ledger.advance(20)
    assert status_of(ledger, tx)["slot"] == START + 5
    assert ledger.stats().per_user == {USERS[0]: 1}


def test_a_send_delayed_beyond_its_blockhash_never_lands(ledger: Ledger) -> None:
    ledger.inject(Fault(kind=FaultKind.DELAYED_SEND, slots=151))
    tx = transaction(ledger)
    send(ledger, tx)
    ledger.advance(300)
    assert status_of(ledger, tx) is None


def test_delayed_sends_land_in_the_order_in_which_they_are_due(ledger: Ledger) -> None:
    for slots, rtt in ((20, 1), (10, 2), (30, 3)):
        ledger.inject(Fault(kind=FaultKind.DELAYED_SEND, slots=slots))
        send(ledger, transaction(ledger, rtt_ns=rtt))
    ledger.advance(100)
    assert [one.slot - START for one in ledger.transactions()] == [10, 20, 30]
    assert bgp(ledger.account(USERS[0])).rtt_ns == 3


def test_expire_blockhash_moves_the_cluster_beyond_a_blockhash_life(ledger: Ledger) -> None:
    tx = transaction(ledger)
    ledger.inject(Fault(kind=FaultKind.EXPIRE_BLOCKHASH, method="sendTransaction"))
    assert send(ledger, tx)["error"]["data"]["err"] == "BlockhashNotFound"
    assert ledger.slot == START + 151
    assert "result" in send(ledger, transaction(ledger))


@pytest.mark.parametrize("named", [True, False])
def test_a_user_is_rejected_by_the_program_itself_at_the_preflight(ledger: Ledger, named: bool) -> None:
    ledger.inject(Fault(kind=FaultKind.REJECT_USER, user=USERS[2] if named else None))
    if named:
        assert "result" in send(ledger, transaction(ledger, USERS[0], USERS[1], rtt_ns=5))
    index = 2 if named else 0
    error = send(ledger, transaction(ledger, *USERS))["error"]
    assert error["data"]["err"] == {"InstructionError": [index, {"Custom": 8}]}
    others = [one for one in USERS if one != USERS[index]]
    assert "result" in send(ledger, transaction(ledger, *others))


def test_a_user_is_rejected_only_when_the_transaction_lands(ledger: Ledger) -> None:
    ledger.inject(Fault(kind=FaultKind.REJECT_USER, user=USERS[1], by_confirmation=True))
    tx = transaction(ledger, *USERS)
    assert "result" in send(ledger, tx)
    assert status_of(ledger, tx)["err"] == {"InstructionError": [1, {"Custom": 8}]}
    stats = ledger.stats()
    assert (stats.transactions_failed, stats.instructions_executed) == (1, 0)
    assert ledger.balance(PAYER.pubkey()) == 10**9 - 5000
    assert bgp(ledger.account(USERS[0])).status == 0


def test_a_user_may_be_rejected_at_a_simulation(ledger: Ledger) -> None:
    ledger.inject(Fault(kind=FaultKind.REJECT_USER, user=USERS[0], method="simulateTransaction"))
    tx = transaction(ledger)
    simulated = ask(ledger, lambda c: c.simulate_transaction(tx, commitment=Processed)).value
    assert simulated.err is not None


def test_empty_accounts_is_an_empty_list(ledger: Ledger) -> None:
    ledger.inject(Fault(kind=FaultKind.EMPTY_ACCOUNTS))
    assert ask(ledger, lambda c: c.get_program_accounts(PROGRAM, encoding="base64")).value == []
    assert len(ask(ledger, lambda c: c.get_program_accounts(PROGRAM, encoding="base64")).value) == 5


def test_a_stale_node_answers_from_an_older_slot(ledger: Ledger) -> None:
    send(ledger, transaction(ledger))
    ledger.advance(40)
    config = {"encoding": "base64", "commitment": "finalized"}
    fresh = result(ledger, "getAccountInfo", str(USERS[0]), config)
    ledger.inject(Fault(kind=FaultKind.STALE_SLOT, slots=10))
    stale = result(ledger, "getAccountInfo", str(USERS[0]), config)
    assert fresh["context"]["slot"] - stale["context"]["slot"] == 10
    assert fresh["value"]["data"] != stale["value"]["data"]
    ledger.inject(Fault(kind=FaultKind.STALE_SLOT, slots=10))
    strict = {**config, "minContextSlot": fresh["context"]["slot"]}
    assert call(ledger, "getAccountInfo", str(USERS[0]), strict)["error"]["code"] == -32016


def test_blind_statuses_know_no_signature(ledger: Ledger) -> None:
    tx = transaction(ledger)
    send(ledger, tx)
    ledger.inject(Fault(kind=FaultKind.BLIND_STATUSES))
    assert status_of(ledger, tx) is None
    assert status_of(ledger, tx) is not None


def test_a_fork_undoes_what_was_not_final(ledger: Ledger) -> None:
    early = transaction(ledger, USERS[0], rtt_ns=1)
    send(ledger, early)
    ledger.advance(5)
    late = transaction(ledger, USERS[0], USERS[1], rtt_ns=2)
    send(ledger, late)
    ledger.inject(Fault(kind=FaultKind.FORK, slots=2))
    assert status_of(ledger, late) is None
    assert status_of(ledger, early) is not None
    assert bgp(ledger.account(USERS[0])).rtt_ns == 1
    assert ledger.account(USERS[1]) == user(DEVICE)
    assert ledger.balance(PAYER.pubkey()) == 10**9 - 5000
    assert ledger.stats().per_user == {USERS[0]: 1}
    assert "result" in send(ledger, late)
    assert bgp(ledger.account(USERS[0])).rtt_ns == 2


def test_a_fork_leaves_what_is_final(ledger: Ledger) -> None:
    tx = transaction(ledger)
    send(ledger, tx)
    ledger.advance(31)
    ledger.inject(Fault(kind=FaultKind.FORK, slots=1000))
    assert status_of(ledger, tx)["confirmationStatus"] == "finalized"
    assert bgp(ledger.account(USERS[0])).status == 1


def test_every_kind_that_belongs_to_one_method_leaves_the_others_alone(ledger: Ledger) -> None:
    for kind in DEFAULT_METHOD:
        ledger.inject(Fault(kind=kind))
    assert result(ledger, "getHealth") == "ok"
    assert ledger.stats().faults == {}
