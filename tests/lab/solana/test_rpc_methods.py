"""Every RPC method as solana-py reads it, and the raw shapes where solana-py hides them."""

import base64
import gzip
import json
import struct
from collections.abc import Iterator
from functools import partial
from typing import Any, cast

import pytest
from ledger_lab import (
    DEVICE,
    PAYER,
    START,
    USERS,
    ask,
    blockhash,
    call,
    encode,
    post,
    result,
    send,
    small_ledger,
    status_of,
    transaction,
)
from raw_accounts import PROGRAM, bgp, key, payload, sign, user, write
from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Confirmed, Processed
from solana.rpc.core import RPCException
from solana.rpc.models import DataSliceOpts, MemcmpOpts, TxOpts
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams, transfer
from solders.sysvar import CLOCK
from solders.transaction import VersionedTransaction
from solders.transaction_status import InstructionErrorCustom, TransactionConfirmationStatus

from dzbgp.lab.solana.ledger import Ledger


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with small_ledger() as made:
        yield made


# The cluster


def test_solana_py_reads_slots_heights_and_times(ledger: Ledger) -> None:
    assert ask(ledger, lambda c: c.get_slot(Processed)).value == START
    assert ask(ledger, lambda c: c.get_slot(Confirmed)).value == START - 1
    assert ask(ledger, lambda c: c.get_slot()).value == START - 31
    height = ask(ledger, lambda c: c.get_block_height(Processed)).value
    assert height == START - START // 12
    info = ask(ledger, lambda c: c.get_epoch_info(Processed)).value
    assert (info.absolute_slot, info.block_height, info.slots_in_epoch) == (START, height, 432_000)
    early = ask(ledger, lambda c: c.get_block_time(START - 1001)).value
    late = ask(ledger, lambda c: c.get_block_time(START - 1)).value
    assert early is not None
    assert late is not None
    assert late - early == pytest.approx(400, abs=1)


def test_the_clock_sysvar_says_slot_and_time_of_the_bank_that_answers(ledger: Ledger) -> None:
    slots = []
    for _ in range(2):
        answer = result(ledger, "getMultipleAccounts", [str(CLOCK)], {"encoding": "base64"})
        (account,) = answer["value"]
        slot, *_, unix_time = struct.unpack("<QqQQq", base64.b64decode(account["data"][0]))
        assert slot == answer["context"]["slot"]
        assert unix_time == call(ledger, "getBlockTime", slot)["result"]
        slots.append(slot)
        ledger.advance(100)
    assert slots[1] == slots[0] + 100


def test_a_slot_that_is_yet_to_come_has_no_block_time(ledger: Ledger) -> None:
    assert call(ledger, "getBlockTime", START + 9)["error"]["code"] == -32004


def test_performance_samples_tell_the_slot_rate() -> None:
    with small_ledger(slot_ms=50) as ledger:
        samples = ask(ledger, lambda c: c.get_recent_performance_samples(4)).value
    assert len(samples) == 4
    assert {(s.num_slots, s.sample_period_secs) for s in samples} == {(1200, 60)}
    assert samples[0].slot - samples[1].slot == 1200


def test_solana_py_reads_what_the_cluster_is(ledger: Ledger) -> None:
    assert ask(ledger, lambda c: c.is_connected())
    assert ask(ledger, lambda c: c.get_version()).value.solana_core.startswith("2.")
    genesis = ask(ledger, lambda c: c.get_genesis_hash()).value
    with small_ledger() as other:
        assert ask(other, lambda c: c.get_genesis_hash()).value == genesis
    assert result(ledger, "getHealth") == "ok"
    assert ask(ledger, lambda c: c.get_minimum_balance_for_rent_exemption(0)).value == 890_880
    assert ask(ledger, lambda c: c.get_recent_prioritization_fees([])).value[0].prioritization_fee == 0


# Accounts


def test_program_accounts_are_found_by_filters(ledger: Ledger) -> None:
    data = user(key(101))
    ledger.set_account(key(300), data)

    def found(*filters: int | MemcmpOpts) -> set[Pubkey]:
        answer = ask(
            ledger, lambda c: c.get_program_accounts(PROGRAM, encoding="base64", filters=list(filters))
        )
        return {one.pubkey for one in answer.value}

    of_type = MemcmpOpts(offset=0, bytes="8")  # base58 of 7
    of_device = MemcmpOpts(offset=83, bytes=str(DEVICE))
    assert found() == {DEVICE, key(300), *USERS}
    assert found(of_type) == {key(300), *USERS}
    assert found(of_type, of_device) == set(USERS)
    assert found(len(data)) == {key(300), *USERS}
    assert found(len(data), MemcmpOpts(offset=83, bytes=str(key(101)))) == {key(300)}
    assert found(1) == set()


def test_a_filter_may_be_base64(ledger: Ledger) -> None:
    memcmp = {"memcmp": {"offset": 0, "bytes": "BQ==", "encoding": "base64"}}
    found = result(ledger, "getProgramAccounts", str(PROGRAM), {"encoding": "base64", "filters": [memcmp]})
    assert [one["pubkey"] for one in found] == [str(DEVICE)]


def test_an_account_comes_whole_or_sliced_with_its_owner_lamports_and_space(ledger: Ledger) -> None:
    whole = ask(ledger, lambda c: c.get_account_info(USERS[0])).value
    assert whole is not None
    assert (whole.data, whole.owner, whole.executable) == (user(DEVICE), PROGRAM, False)
    assert (
        whole.lamports
        == ask(ledger, lambda c: c.get_minimum_balance_for_rent_exemption(len(user(DEVICE)))).value
    )
    options = DataSliceOpts(offset=83, length=32)
    sliced = ask(
        ledger, lambda c: c.get_program_accounts(PROGRAM, encoding="base64", data_slice=options)
    ).value
    assert {bytes(one.account.data) for one in sliced if one.pubkey in USERS} == {bytes(DEVICE)}
    raw = result(ledger, "getAccountInfo", str(USERS[0]), {"encoding": "base64"})
    assert raw["value"]["space"] == len(user(DEVICE))


def test_with_context_the_answer_carries_its_slot(ledger: Ledger) -> None:
    config = {"encoding": "base64", "withContext": True, "commitment": "confirmed"}
    answer = result(ledger, "getProgramAccounts", str(PROGRAM), config)
    assert answer["context"]["slot"] == START - 1
    assert len(answer["value"]) == 5


def test_missing_accounts_are_null_and_programs_are_executable(ledger: Ledger) -> None:
    assert ask(ledger, lambda c: c.get_account_info(key(999))).value is None
    program = ask(ledger, lambda c: c.get_account_info(PROGRAM)).value
    assert program is not None
    assert program.executable
    several = ask(ledger, lambda c: c.get_multiple_accounts([USERS[0], key(999), DEVICE])).value
    assert [one is not None for one in several] == [True, False, True]


def test_more_than_100_accounts_or_256_signatures_are_refused(ledger: Ledger) -> None:
    keys = [str(key(10_000 + i)) for i in range(101)]
    assert call(ledger, "getMultipleAccounts", keys[:100])["result"]["value"] == [None] * 100
    assert call(ledger, "getMultipleAccounts", keys)["error"]["code"] == -32602
    signatures = [str(Signature.default())] * 257
    assert call(ledger, "getSignatureStatuses", signatures[:256])["result"]["value"] == [None] * 256
    assert call(ledger, "getSignatureStatuses", signatures)["error"]["code"] == -32602


def test_an_encoding_that_is_not_spoken_is_an_error(ledger: Ledger) -> None:
    answer = call(ledger, "getAccountInfo", str(USERS[0]), {"encoding": "base64+zstd"})
    assert answer["error"]["code"] == -32602
    assert "base64+zstd" in answer["error"]["message"]
    assert (
        call(ledger, "getAccountInfo", str(USERS[0]))["error"]["code"] == -32600
    )  # base58 of a long account
    short = {"encoding": "base58", "dataSlice": {"offset": 0, "length": 1}}
    assert result(ledger, "getAccountInfo", str(USERS[0]), short)["value"]["data"] == ["8", "base58"]


def test_balances_are_read_and_set(ledger: Ledger) -> None:
    assert ask(ledger, lambda c: c.get_balance(PAYER.pubkey())).value == 10**9
    ledger.set_balance(PAYER.pubkey(), 77)
    assert ask(ledger, lambda c: c.get_balance(PAYER.pubkey())).value == 77
    assert ask(ledger, lambda c: c.get_balance(key(999))).value == 0


# Blockhashes


def test_a_blockhash_is_valid_for_150_blocks(ledger: Ledger) -> None:
    latest = ask(ledger, lambda c: c.get_latest_blockhash(Confirmed)).value
    height = ask(ledger, lambda c: c.get_block_height(Confirmed)).value
    assert latest.last_valid_block_height == height + 150

    def valid() -> bool:
        config = {"commitment": "confirmed"}
        return bool(result(ledger, "isBlockhashValid", str(latest.blockhash), config)["value"])

    assert valid()
    ledger.advance(150)
    assert valid()
    ledger.advance(1)
    assert not valid()
    assert ask(ledger, lambda c: c.get_block_height(Confirmed)).value == latest.last_valid_block_height + 1


def test_a_blockhash_of_a_newer_slot_is_unknown_to_an_older_commitment(ledger: Ledger) -> None:
    tx = transaction(ledger)
    answer = send(ledger, tx, preflightCommitment="finalized")
    assert answer["error"]["data"]["err"] == "BlockhashNotFound"
    assert answer["error"]["message"] == "Transaction simulation failed: Blockhash not found"
    assert "result" in send(ledger, tx)


# Transactions


def test_a_transaction_sent_by_solana_py_takes_effect(ledger: Ledger) -> None:
    tx = transaction(ledger, USERS[0], rtt_ns=42)
    options = TxOpts(preflight_commitment=Processed, max_retries=0)
    signature = ask(ledger, lambda c: c.send_raw_transaction(bytes(tx), options)).value
    assert signature == tx.signatures[0]
    written = bgp(ledger.account(USERS[0]))
    assert (written.status, written.reported_at, written.rtt_ns) == (1, START, 42)
    status = ask(ledger, lambda c: c.get_signature_statuses([signature, Signature.default()])).value
    assert status[0] is not None
    assert (status[0].slot, status[0].err, status[1]) == (START, None, None)


def test_a_preflight_rejection_carries_error_logs_and_units(ledger: Ledger) -> None:
    ledger.set_account(USERS[1], user(key(101)))
    tx = transaction(ledger, *USERS)
    with pytest.raises(RPCException) as raised:
        ask(ledger, lambda c: c.send_transaction(tx, TxOpts(preflight_commitment=Processed)))
    data = raised.value.args[0].data
    assert data.err.index == 1
    assert data.err.err == InstructionErrorCustom(8)
    assert "Program log: Error: the user is not on this device" in data.logs
    assert data.units_consumed > 400
    message = send(ledger, tx)["error"]["message"]
    assert (
        message == "Transaction simulation failed: Error processing Instruction 1: custom program error: 0x8"
    )
    assert ledger.stats().transactions_executed == 0
    assert ledger.balance(PAYER.pubkey()) == 10**9


def test_without_preflight_a_failing_transaction_lands_with_its_error_and_fee(ledger: Ledger) -> None:
    ledger.set_account(USERS[0], user(key(101)))
    tx = transaction(ledger)
    assert "result" in send(ledger, tx, skipPreflight=True)
    error = {"InstructionError": [0, {"Custom": 8}]}
    status = status_of(ledger, tx)
    assert (status["err"], status["status"]) == (error, {"Err": error})
    assert ledger.balance(PAYER.pubkey()) == 10**9 - 5000
    stats = ledger.stats()
    assert (stats.transactions_executed, stats.transactions_failed, stats.instructions_executed) == (1, 1, 0)
    parsed = ask(ledger, lambda c: c.get_signature_statuses([tx.signatures[0]])).value[0]
    assert parsed is not None
    assert parsed.err is not None


def test_a_duplicate_is_already_processed_and_executed_once(ledger: Ledger) -> None:
    tx = transaction(ledger)
    send(ledger, tx)
    again = send(ledger, tx)
    assert again["error"]["data"]["err"] == "AlreadyProcessed"
    assert again["error"]["message"].endswith("This transaction has already been processed")
    assert send(ledger, tx, skipPreflight=True)["result"] == str(tx.signatures[0])
    assert ledger.stats().per_user == {USERS[0]: 1}


def test_an_expired_blockhash_is_refused_and_never_lands(ledger: Ledger) -> None:
    tx = transaction(ledger)
    ledger.advance(151)
    assert send(ledger, tx)["error"]["data"]["err"] == "BlockhashNotFound"
    assert "result" in send(ledger, tx, skipPreflight=True)
    assert status_of(ledger, tx) is None
    assert ledger.stats().transactions_executed == 0


def test_an_old_blockhash_that_still_lives_is_good_enough(ledger: Ledger) -> None:
    tx = transaction(ledger)
    ledger.advance(150)
    assert "result" in send(ledger, tx)
    assert bgp(ledger.account(USERS[0])).reported_at == START + 150


def test_a_bad_signature_is_refused_and_never_lands(ledger: Ledger) -> None:
    good = transaction(ledger)
    bad = VersionedTransaction.populate(good.message, [Keypair.from_seed(b"\3" * 32).sign_message(b"x")])
    answer = send(ledger, bad)["error"]
    assert (answer["code"], answer["message"]) == (-32003, "Transaction signature verification failure")
    assert "result" in send(ledger, bad, skipPreflight=True)
    assert ledger.stats().transactions_executed == 0


def test_a_transaction_beyond_1232_bytes_is_refused(ledger: Ledger) -> None:
    users = [key(1000 + i) for i in range(21)]
    tx = sign([write(one, DEVICE, PAYER.pubkey()) for one in users], PAYER, blockhash(ledger))
    assert len(bytes(tx)) > 1232
    answer = send(ledger, tx)["error"]
    assert answer["code"] == -32602
    assert "max: encoded/raw 1644/1232" in answer["message"] or "max: 1232 bytes" in answer["message"]


@pytest.mark.parametrize("encoded", ["!!!!", "AAAA", "", 7, None])
def test_what_is_no_transaction_is_refused(ledger: Ledger, encoded: Any) -> None:
    assert call(ledger, "sendTransaction", encoded, {"encoding": "base64"})["error"]["code"] == -32602


def test_a_node_that_is_not_there_yet_says_so(ledger: Ledger) -> None:
    answer = send(ledger, transaction(ledger), minContextSlot=START + 1)["error"]
    assert (answer["code"], answer["data"]) == (-32016, {"contextSlot": START})
    assert call(ledger, "getSlot", {"minContextSlot": START})["error"]["code"] == -32016


def test_a_payer_who_is_not_there_or_too_poor_pays_nothing_and_nothing_lands(ledger: Ledger) -> None:
    poor = Keypair.from_seed(b"\4" * 32)
    tx = sign([write(USERS[0], DEVICE, poor.pubkey())], poor, blockhash(ledger))
    assert send(ledger, tx)["error"]["data"]["err"] == "AccountNotFound"
    ledger.set_balance(poor.pubkey(), 100)
    assert send(ledger, tx)["error"]["data"]["err"] == "InsufficientFundsForFee"
    assert "result" in send(ledger, tx, skipPreflight=True)
    assert status_of(ledger, tx) is None
    assert ledger.balance(poor.pubkey()) == 100


def test_a_priority_fee_is_charged_and_foretold(ledger: Ledger) -> None:
    budget = [set_compute_unit_limit(100_000), set_compute_unit_price(1_000_000)]
    instructions = [*budget, write(USERS[0], DEVICE, PAYER.pubkey())]
    tx = sign(instructions, PAYER, blockhash(ledger))
    message = tx.message  # solana-py's annotation knows MessageV0 only
    assert ask(ledger, lambda c: c.get_fee_for_message(cast(MessageV0, message), Processed)).value == 105_000
    send(ledger, tx)
    assert ledger.balance(PAYER.pubkey()) == 10**9 - 105_000
    assert ledger.stats().fees == 105_000
    ledger.advance(151)
    assert ask(ledger, lambda c: c.get_fee_for_message(cast(MessageV0, message), Processed)).value is None


def test_a_simulation_tells_units_and_changes_nothing(ledger: Ledger) -> None:
    tx = transaction(ledger, *USERS)
    simulated = ask(ledger, lambda c: c.simulate_transaction(tx, sig_verify=True, commitment=Processed)).value
    assert simulated.err is None
    assert simulated.units_consumed == 4 * 498
    assert bgp(ledger.account(USERS[0])).status == 0
    assert ledger.balance(PAYER.pubkey()) == 10**9


def test_a_simulation_may_do_without_signature_and_blockhash(ledger: Ledger) -> None:
    signed = transaction(ledger)
    unsigned = VersionedTransaction.populate(signed.message, [Signature.default()])
    ledger.advance(500)
    assert ask(ledger, lambda c: c.simulate_transaction(unsigned)).value.err is not None
    config = {"encoding": "base64", "replaceRecentBlockhash": True, "commitment": "processed"}
    value = result(ledger, "simulateTransaction", encode(unsigned), config)["value"]
    assert value["err"] is None
    assert value["replacementBlockhash"]["blockhash"] == str(blockhash(ledger))
    both = call(ledger, "simulateTransaction", encode(unsigned), {**config, "sigVerify": True})
    assert both["error"]["code"] == -32602
    verified = call(
        ledger, "simulateTransaction", encode(unsigned), {"encoding": "base64", "sigVerify": True}
    )
    assert verified["error"]["code"] == -32003


def test_a_simulation_shows_the_accounts_that_it_would_write(ledger: Ledger) -> None:
    wanted = {"addresses": [str(USERS[0])], "encoding": "base64"}
    config = {"encoding": "base64", "commitment": "processed", "accounts": wanted}
    value = result(ledger, "simulateTransaction", encode(transaction(ledger)), config)["value"]
    assert value["accounts"][0]["owner"] == str(PROGRAM)


def test_a_landed_transaction_is_read_back_with_logs_and_balances(ledger: Ledger) -> None:
    tx = transaction(ledger)
    send(ledger, tx)
    assert ask(ledger, lambda c: c.get_transaction(tx.signatures[0])).value is None  # not finalized yet
    ledger.advance(31)
    for encoding in ("json", "base64"):
        found = ask(
            ledger, partial(AsyncClient.get_transaction, tx_sig=tx.signatures[0], encoding=encoding)
        ).value
        assert found is not None
        assert found.slot == START
        meta = found.transaction.meta
        assert meta is not None
        assert (meta.err, meta.fee, meta.pre_balances[0] - meta.post_balances[0]) == (None, 5000, 5000)
        assert meta.log_messages
        assert meta.compute_units_consumed == 498
    options = {"commitment": "processed"}
    assert call(ledger, "getTransaction", str(tx.signatures[0]), options)["error"]["code"] == -32602


def test_a_version_0_transaction_works_and_is_shown_to_those_who_know_versions(ledger: Ledger) -> None:
    instruction = write(USERS[0], DEVICE, PAYER.pubkey(), payload(1, 5))
    message = MessageV0.try_compile(PAYER.pubkey(), [instruction], [], blockhash(ledger))
    tx = VersionedTransaction(message, [PAYER])
    assert "result" in send(ledger, tx)
    ledger.advance(31)
    assert call(ledger, "getTransaction", str(tx.signatures[0]))["error"]["code"] == -32015
    found = result(ledger, "getTransaction", str(tx.signatures[0]), {"maxSupportedTransactionVersion": 0})
    assert found["version"] == 0


def test_a_transfer_is_no_write_of_a_user(ledger: Ledger) -> None:
    moved = transfer(TransferParams(from_pubkey=PAYER.pubkey(), to_pubkey=key(55), lamports=10**7))
    assert "result" in send(ledger, sign([moved], PAYER, blockhash(ledger)))
    assert ledger.balance(key(55)) == 10**7
    stats = ledger.stats()
    assert (stats.transactions_executed, stats.instructions_executed) == (1, 0)


def test_statuses_are_forgotten_after_a_while_unless_the_history_is_searched(ledger: Ledger) -> None:
    tx = transaction(ledger)
    send(ledger, tx)
    ledger.advance(301)
    assert status_of(ledger, tx) is None
    assert status_of(ledger, tx, searchTransactionHistory=True)["confirmationStatus"] == "finalized"


def test_solana_py_confirms_a_transaction_while_slots_pass() -> None:
    with small_ledger(slot_ms=5) as ledger:
        tx = transaction(ledger)
        options = TxOpts(preflight_commitment=Processed)
        ask(ledger, lambda c: c.send_transaction(tx, options))
        found = ask(ledger, lambda c: c.confirm_transaction(tx.signatures[0], Confirmed, 0.01)).value[0]
    assert found is not None
    assert found.confirmation_status != TransactionConfirmationStatus.Processed


# HTTP


def test_a_batch_is_answered_in_order_each_under_its_id(ledger: Ledger) -> None:
    calls = [
        {"jsonrpc": "2.0", "id": "a", "method": "getHealth"},
        {"jsonrpc": "2.0", "id": 2, "method": "noSuchMethod"},
        {"jsonrpc": "2.0", "method": "getHealth"},
        {"jsonrpc": "2.0", "id": 3, "method": "getBalance", "params": [str(PAYER.pubkey())]},
    ]
    answers = json.loads(post(ledger, calls)[2])
    assert [one["id"] for one in answers] == ["a", 2, 3]
    assert answers[0]["result"] == "ok"
    assert answers[1]["error"]["code"] == -32601
    assert answers[2]["result"]["value"] == 10**9
    assert ledger.stats().requests == {"getHealth": 2, "noSuchMethod": 1, "getBalance": 1}
    assert ledger.stats().http_requests == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"{", -32700), ([], -32600), (7, -32600), ({"id": 1}, -32600), ([{"method": 5}], -32600)],
)
def test_what_is_no_request_is_an_error(ledger: Ledger, body: Any, code: int) -> None:
    assert json.loads(post(ledger, body)[2])["error"]["code"] == code


@pytest.mark.parametrize(
    "request_",
    [("getBalance",), ("getBalance", "x"), ("getBalance", 5), ("getMultipleAccounts", 5), ("getSlot", 1)],
)
def test_parameters_that_make_no_sense_are_an_error(ledger: Ledger, request_: tuple[Any, ...]) -> None:
    assert call(ledger, *request_)["error"]["code"] == -32602


def test_a_long_answer_is_gzipped_for_those_who_ask(ledger: Ledger) -> None:
    body = {"id": 1, "method": "getProgramAccounts", "params": [str(PROGRAM), {"encoding": "base64"}]}
    _, headers, plain = post(ledger, body)
    assert "content-encoding" not in headers
    _, headers, packed = post(ledger, body, **{"accept-encoding": "gzip, br"})
    assert headers["content-encoding"] == "gzip"
    assert len(packed) < len(plain) / 2
    assert gzip.decompress(packed) == plain
    short = {"id": 1, "method": "getHealth"}
    assert "content-encoding" not in post(ledger, short, **{"accept-encoding": "gzip"})[1]
    assert ledger.stats().bytes_sent > len(plain) + len(packed)
