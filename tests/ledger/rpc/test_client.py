"""The questions to a node and their answers, and what is made of answers of another form."""

import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from solders.pubkey import Pubkey
from stage import Stage, stage

from dzbgp.lab.solana.faults import FaultKind as Kind
from dzbgp.ledger.errors import RpcError, RpcProtocolError
from dzbgp.ledger.program.accounts import DEVICE, USER, USER_DEVICE_OFFSET
from dzbgp.ledger.rpc.client import RpcClient
from dzbgp.ledger.rpc.retry import RetryBudget
from dzbgp.ledger.submit.packing import TransactionBuilder


def answering(client: RpcClient, result: Any) -> list[dict[str, Any]]:
    """Lets every RPC of a client answer with `result`; gives the requests that come."""
    requests: list[dict[str, Any]] = []

    async def post(method: str, body: bytes) -> bytes:
        requests.append(json.loads(body))
        return json.dumps({"jsonrpc": "2.0", "id": requests[-1]["id"], "result": result}).encode()

    for endpoint in client.pool._opened:
        endpoint.post = post  # type: ignore[method-assign]
    return requests


@pytest.fixture(scope="module")
def shared() -> Iterator[Stage]:
    with stage(2, 3, slot_ms=0) as made:
        yield made


def test_accounts_of_a_kind_are_asked_for_and_no_others(shared: Stage) -> None:
    slot, devices = shared.ask(lambda client: client.program_accounts(DEVICE))
    assert {device.pubkey for device in devices} == {spec.device.pubkey for spec in shared.world.devices}
    assert slot == shared.ledger.slot - 1


def test_users_of_one_device_are_asked_for_and_no_others(shared: Stage) -> None:
    device = shared.world.devices[0].device.pubkey
    _, users = shared.ask(lambda client: client.program_accounts(USER, (USER_DEVICE_OFFSET, bytes(device))))
    expected = {spec.user.pubkey for spec in shared.world.users if spec.user.device_pk == device}
    assert {user.pubkey for user in users} == expected
    assert all(user.lamports > 0 and user.data == shared.ledger.account(user.pubkey) for user in users)


def test_accounts_come_in_the_order_they_were_asked_for_and_none_where_there_is_none(shared: Stage) -> None:
    keys = [spec.user.pubkey for spec in shared.world.users]
    wanted = [keys[2], Pubkey.default(), keys[0]] + keys * 40
    found = shared.ask(lambda client: client.accounts(wanted))
    assert [account and account.pubkey for account in found][:3] == [keys[2], wanted[1], keys[0]]
    assert len(found) == len(wanted) == 243
    assert shared.ask(lambda client: client.accounts([Pubkey(bytes([9] * 32))])) == [None]


def test_accounts_as_of_a_later_slot_than_the_node_has_reached_are_no_answer() -> None:
    with stage(users=1, slot_ms=0) as made:
        key, slot = made.writes[0].user, made.ledger.slot
        with pytest.raises(RpcError, match="-32016"):
            made.ask(lambda client: client.accounts([key], min_context_slot=slot + 10))
        assert made.ledger.stats().requests["getMultipleAccounts"] == 4


def test_a_node_that_does_not_care_about_the_slot_asked_for_is_not_believed(shared: Stage) -> None:
    async def accounts(client: RpcClient) -> None:
        answering(client, {"context": {"slot": 10}, "value": [None]})
        await client.accounts([Pubkey.default()], min_context_slot=11)

    with pytest.raises(RpcError, match="as of slot 10, expected 11"):
        shared.ask(accounts)


def test_program_accounts_are_not_read_behind_the_floor(shared: Stage) -> None:
    async def read(client: RpcClient) -> None:
        client.read_floor = shared.ledger.slot + 5
        await client.program_accounts(DEVICE)

    with pytest.raises(RpcError, match="-32016"):
        shared.ask(read)


def test_a_blockhash_comes_with_the_slot_and_height_that_bound_its_life(shared: Stage) -> None:
    blockhash = shared.ask(lambda client: client.latest_blockhash())
    slot, height = shared.ask(lambda client: client.height("confirmed"))
    assert blockhash.slot == slot
    assert blockhash.last_valid_block_height == height + 150


def test_a_height_is_that_of_the_newest_final_block_unless_told_otherwise(shared: Stage) -> None:
    final, confirmed = shared.ask(lambda client: client.height()), shared.ask(lambda c: c.height("confirmed"))
    assert confirmed[0] - final[0] == confirmed[1] - final[1] == 30


def test_the_height_of_an_rpc_that_was_left_behind_is_not_believed() -> None:
    """By it no write would ever expire."""
    with stage(users=1, slot_ms=0) as made:
        made.ledger.advance(1_000)
        made.inject(Kind.STALE_SLOT, method="getEpochInfo", slots=600, times=None)
        healthy, slot = made.ledger.add_rpc(), made.ledger.slot

        async def height(client: RpcClient) -> int:
            client.read_floor = slot
            return (await client.height())[0]

        assert made.ask(height, made.url, healthy) > slot - 100
        with pytest.raises(RpcError, match="getEpochInfo: answered as of slot"):
            made.ask(height)


def test_statuses_are_asked_for_256_at_a_time() -> None:
    with stage(users=1) as made:
        made.submit()
        signature = str(made.ledger.transactions()[0].signature)
        before = made.ledger.stats().requests["getSignatureStatuses"]
        _, found = made.ask(lambda client: client.statuses([signature] * 300))
        assert made.ledger.stats().requests["getSignatureStatuses"] == before + 2
        assert len(found) == 300
        assert {status.err for status in found if status} == {None}
        _, [unknown] = made.ask(lambda client: client.statuses(["1" * 64]))
        assert unknown is None


def test_a_simulation_gives_error_logs_and_units(shared: Stage) -> None:
    builder = TransactionBuilder(shared.world.program_id)
    [batch, *_] = builder.pack(shared.writes)
    done = shared.ask(lambda client: client.simulate(builder.unsigned(batch)))
    assert done.err is None
    assert done.units_consumed > 150
    assert done.logs[0].startswith("Program ")


def test_slot_time_is_the_clusters_own() -> None:
    with stage(users=1, slot_ms=500) as made:
        assert made.ask(lambda client: client.seconds_per_slot()) == pytest.approx(0.5)


def test_rent_is_the_clusters_own(shared: Stage) -> None:
    assert shared.ask(lambda client: client.minimum_balance(0)) == 890_880


def test_the_logs_of_a_transaction_are_there_once_it_has_landed() -> None:
    with stage(users=1) as made:
        made.submit()
        signature = str(made.ledger.transactions()[0].signature)
        assert (
            made.ask(lambda client: client.transaction_logs(signature)) == made.ledger.transactions()[0].logs
        )
        assert made.ask(lambda client: client.transaction_logs("1" * 64)) == ()


KEY = Pubkey.default()
QUESTIONS: dict[str, Callable[[RpcClient], Awaitable[Any]]] = {
    "getProgramAccounts": lambda client: client.program_accounts(USER),
    "getMultipleAccounts": lambda client: client.accounts([KEY]),
    "getRecentPerformanceSamples": lambda client: client.seconds_per_slot(),
    "getGenesisHash": lambda client: client.genesis_hashes(),
    "getMinimumBalanceForRentExemption": lambda client: client.minimum_balance(0),
    "getLatestBlockhash": lambda client: client.latest_blockhash(),
    "getEpochInfo": lambda client: client.height(),
    "getSignatureStatuses": lambda client: client.statuses(["x"]),
    "simulateTransaction": lambda client: client.simulate(b"x"),
    "getTransaction": lambda client: client.transaction_logs("x"),
    "getFeeForMessage": lambda client: client.fee(b"x"),
}
CONTEXT = {"context": {"slot": 1}}
ODD: list[Any] = [
    [], {}, "text", 7, [7], {"value": 7}, CONTEXT, CONTEXT | {"value": [{}]}, CONTEXT | {"value": {}},
    CONTEXT | {"value": [{"pubkey": "no key", "account": {"data": ["", "base64"], "lamports": 1}}]},
    CONTEXT | {"value": [{"data": ["not base64!", "base64"], "lamports": 1}]},
    {"context": {"slot": "x"}, "value": []}, {"meta": 5}, {"absoluteSlot": None, "blockHeight": None},
    CONTEXT | {"value": {"blockhash": "short", "lastValidBlockHeight": 1}},
]  # fmt: skip


@pytest.mark.parametrize("method", QUESTIONS)
def test_an_answer_of_another_form_is_a_protocol_error_or_nothing(shared: Stage, method: str) -> None:
    """No shape of JSON brings anything but our own errors, and the words show nothing of the answer."""

    async def ask(client: RpcClient) -> None:
        for odd in ODD:
            client._rate = None
            requests = answering(client, odd)
            try:
                await QUESTIONS[method](client)
            except RpcProtocolError as error:
                assert str(error).endswith(f"{method}: the answer is not JSON-RPC of the expected form")  # noqa: PT017
                assert error.__context__ is None  # noqa: PT017
            assert {request["method"] for request in requests} == {method}

    shared.ask(ask, budget=RetryBudget(attempts=1))


def test_the_send_asks_the_node_neither_for_a_preflight_nor_for_retries_of_its_own(shared: Stage) -> None:
    async def send(client: RpcClient) -> list[dict[str, Any]]:
        requests = answering(client, "signature")
        await client.send(b"abc")
        return requests

    [request] = shared.ask(send)
    encoded, config = request["params"]
    assert (request["method"], encoded) == ("sendTransaction", "YWJj")
    assert config == {"encoding": "base64", "skipPreflight": True, "maxRetries": 0}


def test_a_node_that_keeps_no_samples_has_no_slot_time(shared: Stage) -> None:
    async def rate(client: RpcClient) -> float | None:
        answering(client, [])
        return await client.seconds_per_slot()

    assert shared.ask(rate) is None


def test_a_fault_of_the_node_is_told_with_its_own_words() -> None:
    with stage(users=1) as made:
        made.inject(Kind.RPC_ERROR, code=-32010, message="excluded from secondary index")
        with pytest.raises(RpcError, match="excluded from secondary index"):
            made.ask(lambda client: client.program_accounts(USER))
