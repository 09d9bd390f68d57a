"""What is fuzzed: each target takes bytes, and fails when something falls that must stand.

The account decoders get the bytes as they are, and as changes of a right account. eAPI and RPC answers are right ones
with changes. For all holds: the answer is understood or refused with an error of our own, never anything else; and
what is then decided follows from the answer.
"""

import asyncio
import ipaddress
import json
from base64 import b64encode
from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec
from core_builders import PUBLIC_IP, key, make_device, make_tenant, make_user
from msgspec.structs import replace
from mutation import Source, mutated
from nornir.core.inventory import ConnectionOptions

from dzbgp.decision.policy import Clock, decide
from dzbgp.decision.resolver import assess_credibility, resolve, users_by_device
from dzbgp.decision.rules import Rules
from dzbgp.eos.bgp import NEIGHBORS, SUMMARY, seen_of
from dzbgp.eos.connection import OddAnswerError
from dzbgp.eos.decoding import CommandRefusedError, NotEapiError, decoded
from dzbgp.eos.errors import explain
from dzbgp.lab.eos.answers import JSON_COMMANDS
from dzbgp.lab.eos.device import EosDevice, EosPeer
from dzbgp.lab.world.encode import Layout, encode_device, encode_tenant, encode_user
from dzbgp.ledger.errors import LedgerError
from dzbgp.ledger.networks import Network
from dzbgp.ledger.program.accounts import AccountError, decode_device, decode_tenant, decode_user
from dzbgp.ledger.program.fetch import fetch
from dzbgp.ledger.rpc.client import RpcClient
from dzbgp.ledger.rpc.retry import RetryBudget
from dzbgp.models.decision import Action
from dzbgp.models.ledger import BgpStatus, Device, User
from dzbgp.models.session import DeviceReading, DeviceResult, Observed, Seen

U64 = 2**64
DEVICE = make_device()
USERS = [
    make_user(number, f"169.254.0.{2 * number}/31", bgp_status=status, last_bgp_reported_at=1_000)
    for number, status in enumerate(
        (BgpStatus.UP, BgpStatus.DOWN, BgpStatus.UP, BgpStatus.UNKNOWN, BgpStatus.UP)
    )
]
CONNECTION = ConnectionOptions(hostname="r1", port=443, username="u", password="p", platform="eos", extras={})


# Accounts

_ACCOUNTS: list[tuple[bytes, Callable[..., Any]]] = [
    *((encode_user(replace(USERS[0], publishers=(key(6),) * 2), layout), decode_user) for layout in Layout),
    (encode_device(DEVICE), decode_device),
    (encode_tenant(make_tenant(1, 2)), decode_tenant),
]


def accounts(data: bytes) -> None:
    """Bytes as an account of every kind, and right accounts with some bytes changed, cut off or put in."""
    for decode in (decode_user, decode_device, decode_tenant):
        _decoded(decode, data)
    source = Source(data)
    account, decode = source.pick(_ACCOUNTS)
    changed = bytearray(account)
    while source.left:
        at = source.number(len(changed) + 1)
        match source.number(4):
            case 0:
                del changed[at:]
            case 1:
                changed[at:at] = source.take(4)
            case _:
                changed[at : at + 1] = source.take(1)
    _decoded(decode, bytes(changed))


def _is_told(refused: Exception) -> None:
    """A refusal says something, not too much, and no secret."""
    assert 0 < len(str(refused)) < 12_000
    assert "secret-path" not in str(refused)


def _decoded(decode: Callable[..., Any], data: bytes) -> None:
    try:
        account = decode(key(1), data)
    except AccountError as refused:
        _is_told(refused)
        return
    if isinstance(account, User):
        keys = len(account.publishers) + len(account.subscribers) + len(account.feed_pks)
        assert 32 * keys <= len(data), "more keys than bytes for them"
        assert 0 <= account.last_bgp_reported_at < U64
        assert account.data_len == len(data)
        # What can be read can be decided about and shown.
        for observation in resolve(_nothing_seen(), [account], {}):
            decide(observation, Clock(1_000), Rules())
        assert account.user_type.label
        assert account.bgp_status.label


def _nothing_seen() -> DeviceReading:
    return DeviceReading("r1", DeviceResult.OK, DEVICE)


# eAPI

_COMMANDS = (SUMMARY, NEIGHBORS)
_STATES = ("Established", "Active", "Idle", "Established", "OpenSent")


@cache
def _right_answers() -> list[Any]:
    peers = [
        EosPeer(f"169.254.0.{2 * number + 1}", 65000, "vrf1", state) for number, state in enumerate(_STATES)
    ]
    device = EosDevice(DEVICE.code, "", 0, "", "", PUBLIC_IP, peers)
    return [json.loads(json.dumps(JSON_COMMANDS[command](device))) for command in _COMMANDS]


def eapi_answers(data: bytes) -> None:
    """Changed answers to both commands: whatever is written afterwards, the answers say so."""
    source = Source(data)
    answers = [mutated(source, answer) for answer in _right_answers()]
    try:
        seen = seen_of(*(msgspec.Raw(json.dumps(answer).encode()) for answer in answers))
    except OddAnswerError as error:
        _is_explained(error)
        return
    assert all(0 <= neighbor.rtt_ns < U64 for neighbor in seen.neighbors)
    reading = assess_credibility(_reading(seen), USERS)
    for observation in resolve(reading, USERS, {}):
        decision = decide(observation, Clock(2_000), Rules())
        if decision.action is not Action.SUBMIT:
            continue
        states = _states(answers, observation.user)
        if decision.status is BgpStatus.UP:
            assert "Established" in states, decision
        elif observation.observed is Observed.ABSENT:
            assert not states, decision
        else:
            assert any(state != "Established" for state in states), decision


def _reading(seen: Seen, device: Device = DEVICE) -> DeviceReading:
    return DeviceReading("r1", DeviceResult.OK, device, vrfs=seen.vrfs, neighbors=seen.neighbors)


def eapi_bodies(data: bytes) -> None:
    """Any bytes as the body of an answer, and a right body with some bytes changed: read, or explained in a line."""
    source = Source(data)
    body = bytearray(_right_body() if source.number(4) else b"")
    while source.left:
        at = source.number(len(body) + 1)
        body[at : at + source.number(3)] = source.take(1 + source.number(4))
    try:
        answers = decoded(body)[1:]
        seen = seen_of(*(answers * 2)[:2]) if answers else Seen()
    except (OddAnswerError, CommandRefusedError, NotEapiError) as error:
        _is_explained(error)
        return
    for observation in resolve(assess_credibility(_reading(seen), USERS), USERS, {}):
        decide(observation, Clock(2_000), Rules())


@cache
def _right_body() -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": "1", "result": [{}, *_right_answers()]}).encode()


def _is_explained(error: Exception) -> None:
    told = explain(error, CONNECTION)
    assert told.startswith("r1:443: ")
    assert told.isprintable()
    assert len(told) < 300


def _states(answers: list[Any], user: User) -> list[Any]:
    """The states that the answers give to neighbors in a user's tunnel, however their addresses are written."""
    wanted = ipaddress.IPv4Address(user.tunnel_net.address + 1)
    return [
        peer.get("state")
        for vrf in answers[1]["vrfs"].values()
        if isinstance(vrf, dict) and isinstance(vrf.get("peerList"), list)
        for peer in vrf["peerList"]
        if isinstance(peer, dict) and _is_address(peer.get("peerAddress"), wanted)
    ]


def _is_address(text: Any, wanted: ipaddress.IPv4Address) -> bool:
    try:
        address = ipaddress.ip_address(text) if isinstance(text, str) else None
    except ValueError:
        return False
    return wanted in {address, getattr(address, "ipv4_mapped", None)}


# RPC

_BLOCKHASH = str(key(77))


def _account(pubkey: Any, data: bytes) -> dict[str, Any]:
    shown = {"data": [b64encode(data).decode(), "base64"], "lamports": 2_000_000, "owner": str(key(9))}
    return {
        "pubkey": str(pubkey),
        "account": {**shown, "executable": False, "rentEpoch": U64 - 1, "space": len(data)},
    }


def _in_context(value: Any) -> dict[str, Any]:
    return {"context": {"apiVersion": "2.1.0", "slot": 300_000_000}, "value": value}


_PROGRAM: dict[int, list[dict[str, Any]]] = {
    5: [_account(DEVICE.pubkey, encode_device(DEVICE))],
    7: [_account(user.pubkey, encode_user(user)) for user in USERS],
    13: [_account(key(20_001), encode_tenant(make_tenant(1, 2)))],
}
_RESULTS: dict[str, Any] = {
    "getRecentPerformanceSamples": [
        {"slot": 1, "numSlots": 150, "numTransactions": 9, "samplePeriodSecs": 60}
    ]
    * 2,
    "getMultipleAccounts": _in_context([_PROGRAM[7][0]["account"], None]),
    "getGenesisHash": _BLOCKHASH,
    "getMinimumBalanceForRentExemption": 2_000_000,
    "getLatestBlockhash": _in_context({"blockhash": _BLOCKHASH, "lastValidBlockHeight": 300_000_150}),
    "getEpochInfo": {"absoluteSlot": 300_000_000, "blockHeight": 280_000_000, "epoch": 694},
    "getSignatureStatuses": _in_context(
        [{"slot": 299_999_990, "confirmations": None, "err": None, "confirmationStatus": "finalized"}]
    ),
    "simulateTransaction": _in_context({"err": None, "logs": ["Program log: ok"], "unitsConsumed": 4_350}),
    "getTransaction": {"slot": 299_999_990, "meta": {"err": None, "logMessages": ["Program log: ok"]}},
    "getFeeForMessage": _in_context(5_000),
    "sendTransaction": _BLOCKHASH,
}
_QUESTIONS: tuple[Callable[[RpcClient], Any], ...] = (
    fetch,
    fetch,
    lambda client: fetch(client, lambda devices: list(devices)[:3]),
    lambda client: client.accounts([USERS[0].pubkey, USERS[1].pubkey]),
    lambda client: client.genesis_hashes(),
    lambda client: client.minimum_balance(200),
    lambda client: client.latest_blockhash(),
    lambda client: client.height(),
    lambda client: client.statuses([_BLOCKHASH]),
    lambda client: client.simulate(b"\x01"),
    lambda client: client.transaction_logs(_BLOCKHASH),
    lambda client: client.fee(b"\x01"),
    lambda client: client.send(b"\x01"),
)


def rpc_answers(data: bytes) -> None:
    """Changed answers of an RPC to every question that is asked of it."""
    source = Source(data)
    question = source.pick(_QUESTIONS)
    client = _client()
    client.pool.readmit()

    async def answer(method: str, body: bytes) -> bytes:
        result = _RESULTS.get(method)
        request = json.loads(body)
        if method == "getProgramAccounts":
            result = _in_context(_PROGRAM[_wanted_type(request)])
        envelope = {"jsonrpc": "2.0", "id": request["id"], "result": result}
        return json.dumps(mutated(source, envelope, most=3)).encode()

    (rpc,) = client.pool._opened
    rpc.post = answer  # type: ignore[method-assign]
    try:
        told = _LOOP.run_until_complete(question(client))
    except LedgerError as refused:
        _is_told(refused)
        return
    if question in _QUESTIONS[:3]:
        _usable(told)


@cache
def _client() -> RpcClient:
    """One for all: it makes a TLS context, which takes longer than everything else."""
    budget = RetryBudget(attempts=1, base_s=0.0, cap_s=0.0, request_s=2.0, deadline_s=2.0)
    return RpcClient(Network("localnet", key(9), ("http://rpc.invalid/secret-path",)), budget=budget)


def _wanted_type(request: dict[str, Any]) -> int:
    filters = request["params"][1]["filters"]
    return {"BQ==": 5, "Bw==": 7, "DQ==": 13}[filters[0]["memcmp"]["bytes"]]


def _usable(data: Any) -> None:
    """Program data that was taken for good must carry a pass through."""
    assert 0 <= data.slot < U64
    clock = Clock(data.slot, data.seconds_per_slot, 1.8e9)
    answers = _right_answers()
    seen = seen_of(*(msgspec.Raw(json.dumps(answer).encode()) for answer in answers))
    for device, users in users_by_device(data).items():
        if device not in data.devices:
            continue
        reading = assess_credibility(_reading(seen, data.devices[device]), users)
        for observation in resolve(reading, users, data.tenants):
            decision = decide(observation, clock, Rules())
            if decision.action is Action.SUBMIT and decision.status is BgpStatus.UP:
                assert "Established" in _states(answers, observation.user)


_LOOP = asyncio.new_event_loop()
TARGETS: dict[str, Callable[[bytes], None]] = {
    "accounts": accounts,
    "eapi": eapi_answers,
    "eapi-bodies": eapi_bodies,
    "rpc": rpc_answers,
}
