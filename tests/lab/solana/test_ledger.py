"""The ledger as its owner sees it: slots, commitment, accounts from outside, counts, several threads, control."""

import base64
import gc
import threading
import time
from functools import partial

import pytest
from ledger_lab import (
    DEVICE,
    PAYER,
    START,
    USERS,
    ask,
    blockhash,
    call,
    result,
    send,
    small_ledger,
    status_of,
    transaction,
)
from raw_accounts import PROGRAM, bgp, key, user
from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Commitment, Confirmed, Finalized, Processed
from solders.pubkey import Pubkey
from waiting import until

from dzbgp.lab.solana.faults import Fault, FaultKind
from dzbgp.lab.solana.ledger import Ledger


def seen(ledger: Ledger, commitment: Commitment, pubkey: Pubkey = USERS[0]) -> int:
    """The status that a reader of `commitment` finds."""
    account = ask(ledger, lambda c: c.get_account_info(pubkey, commitment)).value
    assert account is not None
    return bgp(account.data).status


def test_a_write_goes_from_processed_to_confirmed_to_finalized_with_the_slots() -> None:
    with small_ledger(confirmed_after=2, finalized_after=5) as ledger:
        tx = transaction(ledger)
        send(ledger, tx)
        levels = []
        for _ in range(6):
            views = [seen(ledger, c) for c in (Processed, Confirmed, Finalized)]
            status = status_of(ledger, tx)
            levels.append((views, status["confirmationStatus"], status["confirmations"]))
            ledger.advance(1)
    assert levels == [
        ([1, 0, 0], "processed", 0),
        ([1, 0, 0], "processed", 1),
        ([1, 1, 0], "confirmed", 2),
        ([1, 1, 0], "confirmed", 3),
        ([1, 1, 0], "confirmed", 4),
        ([1, 1, 1], "finalized", None),
    ]


def test_balances_and_program_accounts_follow_commitment_too() -> None:
    with small_ledger() as ledger:
        send(ledger, transaction(ledger))
        for commitment, balance, status in ((Processed, 10**9 - 5000, 1), (Confirmed, 10**9, 0)):
            assert (
                ask(
                    ledger, partial(AsyncClient.get_balance, pubkey=PAYER.pubkey(), commitment=commitment)
                ).value
                == balance
            )
            every = partial(
                AsyncClient.get_program_accounts, pubkey=PROGRAM, commitment=commitment, encoding="base64"
            )
            found = ask(ledger, every).value
            assert {bgp(one.account.data).status for one in found if one.pubkey == USERS[0]} == {status}


def test_slots_pass_by_themselves_at_the_pace_asked_for() -> None:
    with small_ledger(slot_ms=5) as ledger:
        first, began = ledger.slot, time.monotonic()
        while ledger.slot < first + 20:
            assert time.monotonic() - began < 5
        assert time.monotonic() - began >= 0.09


def test_slots_stand_still_until_advanced_by_hand_when_slot_ms_is_0() -> None:
    with small_ledger() as ledger:
        assert ledger.slot == START
        assert ledger.advance(54_000) == START + 54_000
        assert ledger.slot == START + 54_000


def test_a_transaction_may_take_some_slots_to_land() -> None:
    with small_ledger(land_after=2) as ledger:
        tx = transaction(ledger)
        send(ledger, tx)
        assert status_of(ledger, tx) is None
        ledger.advance(5)
        assert status_of(ledger, tx)["slot"] == START + 2
        assert bgp(ledger.account(USERS[0])).reported_at == START + 2


def test_accounts_are_read_and_written_from_outside() -> None:
    with small_ledger() as ledger:
        assert set(ledger.accounts()) == {DEVICE, *USERS}
        assert ledger.account(USERS[0]) == user(DEVICE)
        assert ledger.account(key(999)) is None
        ledger.set_account(USERS[0], user(DEVICE, bgp_status=2, up_at=3, reported_at=4))
        ledger.set_account(key(300), user(DEVICE))
        assert [seen(ledger, c) for c in (Processed, Confirmed, Finalized)] == [2, 2, 2]
        assert key(300) in ledger.accounts()
        send(ledger, transaction(ledger, USERS[0], key(300)))
        assert bgp(ledger.account(key(300))).status == 1


def test_a_write_from_outside_may_settle_as_slots_pass() -> None:
    with small_ledger() as ledger:
        ledger.set_account(USERS[0], user(DEVICE, bgp_status=2), settled=False)
        assert [seen(ledger, c) for c in (Processed, Confirmed, Finalized)] == [2, 0, 0]
        ledger.advance(31)
        assert [seen(ledger, c) for c in (Processed, Confirmed, Finalized)] == [2, 2, 2]


def test_stats_and_transactions_tell_what_was_done() -> None:
    with small_ledger() as ledger:
        first, second = transaction(ledger, USERS[0], USERS[1]), transaction(ledger, USERS[0], rtt_ns=1)
        send(ledger, first)
        ledger.advance(1)
        send(ledger, second)
        stats, landed = ledger.stats(), ledger.transactions()
    assert stats.requests == {"getLatestBlockhash": 2, "sendTransaction": 2}
    assert (stats.transactions_executed, stats.transactions_failed, stats.fees) == (2, 0, 10_000)
    assert (stats.instructions_executed, stats.per_user) == (3, {USERS[0]: 2, USERS[1]: 1})
    assert [(one.signature, one.slot, one.err, one.users) for one in landed] == [
        (first.signatures[0], START, None, (USERS[0], USERS[1])),
        (second.signatures[0], START + 1, None, (USERS[0],)),
    ]
    assert [one.size for one in landed] == [len(bytes(first)), len(bytes(second))]
    assert "success" in landed[0].logs[-1]


def test_several_threads_may_use_one_ledger() -> None:
    with small_ledger(slot_ms=5) as ledger:
        errors: list[BaseException] = []

        def work(number: int) -> None:
            try:
                for turn in range(10):
                    tx = transaction(ledger, USERS[number], rtt_ns=number * 100 + turn)
                    assert "result" in send(ledger, tx)
                    ledger.stats()
                    ledger.accounts()
            except BaseException as error:  # noqa: BLE001 - shown by the main thread
                errors.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert ledger.stats().per_user == dict.fromkeys(USERS, 10)


def test_another_process_has_the_same_control_over_json_rpc() -> None:
    with small_ledger() as ledger:
        assert result(ledger, "labAdvance", 7) == START + 7
        assert (
            result(ledger, "labSetAccount", str(USERS[0]), base64.b64encode(user(DEVICE, up_at=9)).decode())
            is None
        )
        assert bgp(ledger.account(USERS[0])).up_at == 9
        assert base64.b64decode(result(ledger, "labAccount", str(USERS[0]))) == user(DEVICE, up_at=9)
        result(ledger, "labSetBalance", str(key(5)), 10**7)
        assert ledger.balance(key(5)) == 10**7
        result(ledger, "labInject", Fault(kind=FaultKind.RPC_ERROR, code=-32004, times=None).to_json())
        assert call(ledger, "getHealth")["error"]["code"] == -32004
        result(ledger, "labClearFaults")
        assert result(ledger, "getHealth") == "ok"
        send(ledger, transaction(ledger))
        stats = result(ledger, "labStats")
        assert stats["per_user"] == {str(USERS[0]): 1}
        assert stats["faults"] == {"rpc_error": 1}
        assert "labStats" not in stats["requests"]
        assert [one["err"] for one in result(ledger, "labTransactions")] == [None]
        assert call(ledger, "labNothing")["error"]["code"] == -32601
        assert call(ledger, "labInject", {"kind": "no_such_kind"})["error"]["code"] == -32602
        assert call(ledger, "labInject", {"kind": "delay", "colour": 1})["error"]["code"] == -32602


def test_a_taken_port_is_an_oserror_and_leaves_nothing_behind() -> None:
    with small_ledger() as ledger:
        port = int(ledger.url.rsplit(":", 1)[1])
        before = threading.active_count()
        with pytest.raises(OSError, match="address already in use"):
            Ledger.start({}, program_id=PROGRAM, balances={}, port=port)
        assert threading.active_count() == before


def test_stopping_twice_is_fine_and_a_stopped_ledger_says_so() -> None:
    with small_ledger() as ledger:
        blockhash(ledger)
    ledger.stop()
    with pytest.raises(RuntimeError, match="stopped"):
        _ = ledger.slot


def test_a_ledger_stops_while_a_client_is_still_connected_and_waiting() -> None:
    before = threading.active_count()
    with small_ledger() as ledger:
        ledger.inject(Fault(kind=FaultKind.DELAY, method="getHealth", delay_s=60))

        def wait() -> None:
            with pytest.raises(OSError, match=r".+"):
                call(ledger, "getHealth")

        client = threading.Thread(target=wait)
        client.start()
        until(lambda: bool(ledger.stats().faults))
    client.join(5)
    assert not client.is_alive()
    assert threading.active_count() == before
    gc.collect()  # the runtime was ended in its own thread: nothing is left for the collector to trip over


def test_10_000_users_are_read_in_one_answer() -> None:
    users = [key(10_000 + i) for i in range(10_000)]
    with small_ledger(users) as ledger:
        config = {"encoding": "base64", "filters": [{"memcmp": {"offset": 0, "bytes": "8"}}]}
        assert len(result(ledger, "getProgramAccounts", str(PROGRAM), config)) == 10_000
