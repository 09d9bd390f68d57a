"""What fuzzing has found, one by one."""

import asyncio
import json
from typing import Any

import pytest
from targets import CONNECTION, eapi_bodies

from dzbgp.eos.decoding import CommandRefusedError
from dzbgp.eos.errors import explain
from dzbgp.lab.world.encode import NO_KEY
from dzbgp.ledger.errors import RpcProtocolError
from dzbgp.ledger.networks import Network
from dzbgp.ledger.rpc.client import RpcClient
from dzbgp.ledger.rpc.retry import RetryBudget
from dzbgp.models.ledger import Account


async def told(result: Any, question: str, *args: Any) -> Any:
    """What a client makes of an RPC's `result`."""
    network = Network("localnet", NO_KEY, ("http://rpc.invalid",))

    async def answer(method: str, body: bytes) -> bytes:
        return json.dumps({"jsonrpc": "2.0", "id": json.loads(body)["id"], "result": result}).encode()

    async with RpcClient(network, budget=RetryBudget(attempts=1)) as client:
        client.pool._opened[0].post = answer  # type: ignore[method-assign]
        return await getattr(client, question)(*args)


@pytest.mark.parametrize("slot", [float("inf"), float("nan"), -1, 2**63, 10**30, 7.5, True, "7", None, []])
def test_a_slot_that_is_no_number_of_the_ledger_is_a_protocol_error(slot: Any) -> None:
    status = {"slot": slot, "err": None, "confirmationStatus": "finalized"}
    with pytest.raises(RpcProtocolError):
        asyncio.run(told({"context": {"slot": 5}, "value": [status]}, "statuses", ["signature"]))
    with pytest.raises(RpcProtocolError):
        asyncio.run(told({"absoluteSlot": 5, "blockHeight": slot}, "height"))


def test_lamports_that_are_no_number_are_a_protocol_error() -> None:
    account = {"data": ["", "base64"], "lamports": "many"}
    with pytest.raises(RpcProtocolError):
        asyncio.run(told({"context": {"slot": 5}, "value": [account]}, "accounts", [NO_KEY]))
    account["lamports"] = 5  # type: ignore[assignment]
    (found,) = asyncio.run(told({"context": {"slot": 5}, "value": [account]}, "accounts", [NO_KEY]))
    assert found == Account(NO_KEY, b"", 5)


def test_a_device_that_answers_with_brackets_without_end_is_explained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("targets._right_body", lambda: b"[" * 200_000)
    eapi_bodies(b"\x01")


def test_a_devices_words_give_a_terminal_no_orders() -> None:
    told = explain(CommandRefusedError("\x1b[2Jinvalid\x07 command"), CONNECTION)
    assert told.isprintable()
    assert "invalid" in told
