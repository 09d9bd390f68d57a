"""What is asked again and what is not, how long, of whom; and that no word of it holds the URL's secret."""

import asyncio
import http.server
import logging
import socket
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from stage import FAST, SECRET, Stage, stage

from dzbgp.lab.solana.faults import FaultKind as Kind
from dzbgp.ledger.errors import (
    LedgerError,
    RpcError,
    RpcProtocolError,
    RpcStatusError,
    RpcTransportError,
)
from dzbgp.ledger.rpc.failures import REQUEST_CODES, RETRIED_CODES, RETRIED_STATUS
from dzbgp.ledger.rpc.pool import RpcPool
from dzbgp.ledger.rpc.retry import RetryBudget

METHOD = "getGenesisHash"
SEND = "sendTransaction"


@pytest.fixture
def one() -> Iterator[Stage]:
    with stage(users=1) as made:
        yield made


def ask(*urls: str, budget: RetryBudget = FAST, times: int = 1, method: str = METHOD) -> tuple[Any, RpcPool]:
    async def run() -> tuple[Any, RpcPool]:
        pool = RpcPool(urls, budget)
        try:
            for _ in range(times):
                send = method == SEND
                result = await (pool.call_once if send else pool.call)(method, [])
            return result, pool
        finally:
            await pool.close()

    return asyncio.run(run())


def failing(*urls: str, **how: Any) -> LedgerError:
    with pytest.raises(LedgerError) as raised:
        ask(*urls, **how)
    return raised.value


def asked(made: Stage, method: str = METHOD) -> int:
    return made.ledger.stats().requests.get(method, 0)


@pytest.fixture
def closed_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}/{SECRET}"


# Which failures are asked again


@pytest.mark.parametrize("status", sorted(RETRIED_STATUS))
def test_a_passing_status_is_asked_again_until_the_attempts_are_over(one: Stage, status: int) -> None:
    one.inject(Kind.HTTP_STATUS, status=status, times=3)
    _, pool = ask(one.url)
    assert (asked(one), pool.requests[METHOD], pool.retries[METHOD]) == (4, 4, 3)
    one.inject(Kind.HTTP_STATUS, status=status, times=None)
    error = failing(one.url)
    assert isinstance(error, RpcStatusError)
    assert error.status == status
    assert asked(one) == 8


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 410, 413, 501])
def test_another_status_fails_at_once(one: Stage, status: int) -> None:
    one.inject(Kind.HTTP_STATUS, status=status)
    assert str(failing(one.url)).startswith(f"RPC {one.ledger.url}: {METHOD}: HTTP {status}")
    assert asked(one) == 1


@pytest.mark.parametrize("code", sorted(RETRIED_CODES))
def test_a_passing_error_is_asked_again(one: Stage, code: int) -> None:
    one.inject(Kind.RPC_ERROR, code=code, message="later", times=2)
    ask(one.url)
    assert asked(one) == 3


@pytest.mark.parametrize("code", [-32003, -32600, -32601, -32602, -32010, -32002, -32007, -32015])
def test_another_error_fails_at_once_and_is_told(one: Stage, code: int) -> None:
    one.inject(Kind.RPC_ERROR, code=code, message="no such thing", data={"a": 1})
    error = failing(one.url)
    assert isinstance(error, RpcError)
    assert (error.code, error.data) == (code, {"a": 1})
    assert str(error) == f"RPC {one.ledger.url}: {METHOD}: error {code}: no such thing"
    assert asked(one) == 1


@pytest.mark.parametrize(
    "kind",
    [Kind.HANGUP_BEFORE, Kind.HANGUP_AFTER, Kind.TRUNCATED, Kind.GARBAGE, Kind.WRONG_ID, Kind.NODE_BEHIND],
)
def test_no_answer_or_a_broken_one_is_asked_again(one: Stage, kind: Kind) -> None:
    one.inject(kind, times=2)
    result, _ = ask(one.url)
    assert len(result) > 40
    assert asked(one) == 3


def test_the_answer_to_another_request_is_no_answer(one: Stage) -> None:
    one.inject(Kind.WRONG_ID, times=None)
    assert isinstance(failing(one.url), RpcProtocolError)


def test_what_is_refused_is_asked_again_and_told(closed_port: str) -> None:
    error = failing(closed_port)
    assert isinstance(error, RpcTransportError)
    assert "connection refused" in str(error)


def test_a_host_that_does_not_exist_is_told() -> None:
    assert "the host is unknown" in str(failing(f"http://no-such-host.invalid/{SECRET}"))


# How long


def test_the_waits_grow_and_are_never_the_same_twice(one: Stage) -> None:
    one.inject(Kind.HTTP_STATUS, times=None)
    budget = replace(FAST, base_s=0.02, cap_s=9, deadline_s=9)
    durations = []
    for _ in range(3):
        started = time.monotonic()
        failing(one.url, budget=budget)
        durations.append(time.monotonic() - started)
    assert all(0.02 + 0.04 + 0.08 <= duration < 3 for duration in durations)
    assert max(durations) - min(durations) > 0.0005


def test_the_budget_is_the_one_that_upstream_settled_on() -> None:
    budget = RetryBudget()
    assert (budget.attempts, budget.base_s, budget.cap_s, budget.request_s) == (4, 0.5, 5.0, 10.0)


def test_retry_after_is_waited_for(one: Stage) -> None:
    one.inject(Kind.HTTP_STATUS, status=429, retry_after_s=0.2)
    started = time.monotonic()
    ask(one.url)
    assert 0.2 <= time.monotonic() - started < 3


def test_a_retry_after_beyond_the_deadline_is_not_waited_for_and_not_shortened(one: Stage) -> None:
    one.inject(Kind.HTTP_STATUS, status=429, retry_after_s=60, times=None)
    started = time.monotonic()
    assert str(failing(one.url)).endswith("HTTP 429 Too Many Requests (it asks to wait 60 s)")
    assert time.monotonic() - started < 2
    assert asked(one) == 1


def test_a_retry_after_that_is_a_date_is_left_to_the_ordinary_backoff() -> None:
    with scripted(503, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}) as (url, paths):
        failing(url)
        assert len(paths) == 4


def test_one_request_takes_no_longer_than_it_may(one: Stage) -> None:
    one.inject(Kind.DELAY, delay_s=5, times=1)
    started = time.monotonic()
    ask(one.url, budget=replace(FAST, request_s=0.2))
    assert 0.2 <= time.monotonic() - started < 3


def test_the_deadline_bounds_everything_in_the_middle_of_a_request_too(one: Stage) -> None:
    one.inject(Kind.DELAY, delay_s=5, times=None)
    started = time.monotonic()
    error = failing(one.url, budget=replace(FAST, request_s=0.4, deadline_s=0.6))
    assert 0.55 <= time.monotonic() - started < 3
    assert "no answer in" in str(error)


def test_a_caller_who_goes_away_takes_the_question_along(one: Stage) -> None:
    one.inject(Kind.HTTP_STATUS, times=None)

    async def run() -> None:
        pool = RpcPool((one.url,), replace(FAST, base_s=5, cap_s=5))
        asking = asyncio.ensure_future(pool.call(METHOD, []))
        await asyncio.sleep(0.2)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await pool.close()

    asyncio.run(run())
    assert asked(one) == 1


# A send


@pytest.mark.parametrize("kind", [Kind.HANGUP_AFTER, Kind.HANGUP_BEFORE, Kind.TRUNCATED, Kind.HTTP_STATUS])
def test_a_send_is_never_sent_again_by_the_pool(one: Stage, kind: Kind) -> None:
    one.inject(kind, times=None)
    failing(one.url, method=SEND)
    assert asked(one, "sendTransaction") == 1


def test_after_a_send_that_failed_the_next_one_goes_to_another_rpc(one: Stage, closed_port: str) -> None:
    async def run() -> None:
        pool = RpcPool((closed_port, one.url), FAST)
        with pytest.raises(RpcTransportError):
            await pool.call_once(SEND, [])
        with pytest.raises(RpcError):  # without a transaction it is refused, by a node that answers
            await pool.call_once(SEND, [])
        await pool.close()

    asyncio.run(run())
    assert asked(one, "sendTransaction") == 1


# Several RPCs


def test_the_next_rpc_is_asked_when_one_is_down_and_stays_the_first(one: Stage, closed_port: str) -> None:
    _, pool = ask(closed_port, one.url, times=3)
    assert pool.requests[METHOD] == 4
    assert pool.retries[METHOD] == 0
    assert pool.where == one.ledger.url


@pytest.mark.parametrize("kind", [Kind.HTTP_STATUS, Kind.NODE_BEHIND, Kind.GARBAGE, Kind.HANGUP_BEFORE])
def test_the_next_rpc_is_asked_when_one_has_a_passing_failure(one: Stage, kind: Kind) -> None:
    with stage(users=1) as other:
        other.inject(kind, times=None)
        ask(other.url, one.url)
        assert (asked(other), asked(one)) == (1, 1)


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Stage, Stage]]:
    with stage(users=1) as first, stage(users=1) as second:
        yield first, second


def asked_of(pair: tuple[Stage, Stage], kind: Kind, **how: Any) -> tuple[int, int]:
    """How often each of two RPCs was asked, where the first fails always."""
    before = [asked(made) for made in pair]
    pair[0].inject(kind, times=None, **how)
    try:
        ask(*(made.url for made in pair))
    except LedgerError:
        assert asked(pair[1]) == before[1]
    finally:
        pair[0].ledger.clear_faults()
    return asked(pair[0]) - before[0], asked(pair[1]) - before[1]


@pytest.mark.parametrize("status", [301, 401, 402, 403, 404, 408, 410, 413, 429, 500, 503, *range(520, 531)])
def test_a_status_that_is_not_about_the_request_is_asked_of_the_next_rpc(
    pair: tuple[Stage, Stage], status: int
) -> None:
    assert asked_of(pair, Kind.HTTP_STATUS, status=status) == (1, 1)


@pytest.mark.parametrize("code", [503, 429, -32603, -32000, -32601, -32010, -32004, -32005, -32016, -32429])
def test_an_error_that_is_not_about_the_request_is_asked_of_the_next_rpc(
    pair: tuple[Stage, Stage], code: int
) -> None:
    assert asked_of(pair, Kind.RPC_ERROR, code=code) == (1, 1)


@pytest.mark.parametrize("code", sorted(REQUEST_CODES))
def test_what_is_about_the_request_is_not_asked_of_the_next_one(pair: tuple[Stage, Stage], code: int) -> None:
    assert asked_of(pair, Kind.RPC_ERROR, code=code) == (1, 0)
    assert asked_of(pair, Kind.HTTP_STATUS, status=400) == (1, 0)


def test_while_one_rpc_may_recover_an_expired_token_of_the_other_does_not_end_the_question(
    pair: tuple[Stage, Stage],
) -> None:
    pair[0].inject(Kind.HTTP_STATUS, status=503, times=2)
    pair[1].inject(Kind.HTTP_STATUS, status=401, times=None)
    try:
        ask(pair[0].url, pair[1].url)
    finally:
        pair[1].ledger.clear_faults()


def test_an_error_with_a_null_id_keeps_the_nodes_words(one: Stage) -> None:
    one.inject(Kind.NULL_ID, code=-32000, message="server overloaded", times=None)
    error = failing(one.url)
    assert isinstance(error, RpcError)
    assert str(error) == f"RPC {one.ledger.url}: {METHOD}: error -32000: server overloaded"
    assert asked(one) == 4


def test_the_words_of_an_rpc_are_cut_printable_and_without_the_token(one: Stage) -> None:
    message = f"\x1b[31mno route to /{SECRET}?token={SECRET}\nforged line" + "x" * 1000
    one.inject(Kind.RPC_ERROR, code=-32601, message=message, data={SECRET: [SECRET]})
    error = failing(one.url)
    assert isinstance(error, RpcError)
    assert str(error).isprintable()
    assert len(str(error)) < 300
    assert SECRET not in "".join(words_of(error))


def test_a_request_that_was_sent_before_goes_to_every_rpc(pair: tuple[Stage, Stage]) -> None:
    async def run() -> None:
        pool = RpcPool((pair[0].url, pair[1].url), FAST)
        await pool.call_each_once(METHOD, [])
        pair[0].inject(Kind.HTTP_STATUS)
        await pool.call_each_once(METHOD, [])
        pair[0].inject(Kind.HTTP_STATUS)
        pair[1].inject(Kind.HTTP_STATUS)
        with pytest.raises(RpcStatusError):
            await pool.call_each_once(METHOD, [])
        await pool.close()

    before = [asked(made) for made in pair]
    asyncio.run(run())
    assert [asked(made) for made in pair] == [count + 3 for count in before]


def test_when_all_are_down_each_attempt_asks_all(closed_port: str) -> None:
    async def run() -> int:
        pool = RpcPool((closed_port, closed_port), FAST)
        with pytest.raises(RpcTransportError):
            await pool.call(METHOD, [])
        await pool.close()
        return pool.requests[METHOD]

    assert asyncio.run(run()) == 8


def test_an_rpc_left_out_is_asked_again_once_it_is_readmitted(one: Stage) -> None:
    with stage(users=1) as other:

        async def run() -> list[int]:
            pool = RpcPool((one.url, other.url), FAST)
            one.inject(Kind.HTTP_STATUS, status=403)
            assert len(await pool.call_all(METHOD, [])) == 1
            counts = [len(pool._endpoints)]
            assert len(await pool.call_all(METHOD, [])) == 2
            one.inject(Kind.HTTP_STATUS, status=403)
            await pool.call_all(METHOD, [])
            pool.readmit()
            counts.append(len(pool._endpoints))
            await pool.close()
            return counts

        assert asyncio.run(run()) == [1, 2]


def test_when_no_rpc_answers_the_question_to_all_the_error_is_raised(closed_port: str) -> None:
    async def run() -> None:
        pool = RpcPool((closed_port,), FAST)
        with pytest.raises(RpcTransportError):
            await pool.call_all(METHOD, [])
        assert len(pool._endpoints) == 1
        await pool.close()

    asyncio.run(run())


# The secret


class scripted:  # noqa: N801 - used as a function
    """A server that gives every request the same answer; a context manager: (URL, the paths asked)."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        paths: list[str] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                paths.append(self.path)
                self.send_response(status)
                for name, value in (headers | {"content-length": str(len(body))}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self.paths = paths

    def __enter__(self) -> tuple[str, list[str]]:
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_port}/{SECRET}?key={SECRET}", self.paths

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def words_of(error: BaseException | None) -> Iterator[str]:
    """Everything that an exception and those behind it would ever print."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield from (str(one), repr(one), repr(one.args), repr(vars(one)))
        waiting += [one.__cause__, one.__context__]
    yield "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (200, {}, b""),
        (200, {}, b"{}"),
        (200, {}, SECRET.encode() + b"{"),
        (200, {}, b'{"jsonrpc":"2.0","id":1}'),
        (200, {}, b'{"jsonrpc":"2.0","id":1,"result":1,"error":{"code":1,"message":"x"}}'),
        (200, {"content-encoding": "gzip"}, b"no gzip at all"),
        (200, {}, b"\xff\xfe\x00"),
        (301, {"location": f"http://127.0.0.1:1/{SECRET}"}, b""),
        (204, {}, b""),
        (404, {}, SECRET.encode()),
        (503, {}, SECRET.encode()),
        (429, {"retry-after": SECRET}, b""),
    ],
)
def test_whatever_is_answered_is_one_of_our_errors_without_the_urls_secret(
    status: int, headers: dict[str, str], body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="dzbgp"), scripted(status, headers, body) as (url, paths):
        error = failing(url)
    assert paths
    assert SECRET in paths[0]
    assert SECRET not in "".join(words_of(error))
    assert SECRET not in "".join(
        record.getMessage() for record in caplog.records if record.name.startswith("dzbgp")
    )


@pytest.mark.parametrize(
    "kind", [Kind.HANGUP_BEFORE, Kind.TRUNCATED, Kind.DELAY, Kind.WRONG_ID, Kind.RPC_ERROR]
)
def test_no_failure_of_the_pool_shows_the_urls_secret(one: Stage, kind: Kind) -> None:
    one.inject(kind, times=None, delay_s=3)
    error = failing(one.url, budget=replace(FAST, request_s=0.1))
    assert SECRET not in "".join(words_of(error))
    assert error.__cause__ is None


def test_an_rpc_that_refuses_connections_does_not_show_the_urls_secret(closed_port: str) -> None:
    assert SECRET not in "".join(words_of(failing(closed_port, closed_port)))
