"""An answer without end, or one that unpacks to no end, is refused with a limit, in bounded memory."""

import asyncio
import gzip
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from napalm.base import exceptions as _napalm  # noqa: F401 - loaded here, not where memory is measured
from nornir.core.inventory import ConnectionOptions

from dzbgp.eos import decoding, eapi
from dzbgp.eos.deadline import Deadline
from dzbgp.eos.errors import explain
from dzbgp.ledger.errors import RpcSizeError, RpcTransportError
from dzbgp.ledger.rpc import endpoint
from dzbgp.ledger.rpc.pool import RpcPool
from dzbgp.ledger.rpc.retry import RetryBudget

MIB = 1024 * 1024
LIMIT = 4 * MIB
"""In place of the real limits: lower ones are reached sooner, by the same code."""
SLACK = 4 * LIMIT
UNPACKED_AT_ONCE = 80 * MIB
"""What gzip makes at most of the 64 KiB that are read at a time."""
Answer = Callable[[BaseHTTPRequestHandler], None]


def endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("transfer-encoding", "chunked")
    handler.end_headers()
    piece = b"[" * 65536
    for _ in range(100_000):
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))


def until_closed(handler: BaseHTTPRequestHandler) -> None:
    """HTTP/1.0: no length and no chunks."""
    handler.send_response(200)
    handler.send_header("connection", "close")
    handler.end_headers()
    for _ in range(100_000):
        handler.wfile.write(b"[" * 65536)


def announced(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("content-length", str(10**15))
    handler.end_headers()
    for _ in range(100_000):
        handler.wfile.write(b"[" * 65536)


def dripping(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("content-length", "1000")
    handler.end_headers()
    for _ in range(1000):
        handler.wfile.write(b"[")
        handler.server.stopped.wait(0.05)  # type: ignore[attr-defined]


def packed(body: bytes) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("content-encoding", "gzip")
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


@contextmanager
def serving(answer: Answer) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.close_connection = True
            # The client may have had enough.
            with suppress(OSError):
                answer(self)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.stopped = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.stopped.set()  # type: ignore[attr-defined]
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def peak_below(limit: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < limit, f"{peak / MIB:.0f} MiB"


def ask_device(port: int, timeout_s: float = 20) -> str:
    """What is told of a device that answers so."""
    connection = eapi.Eapi("127.0.0.1", port, timeout=30, line=eapi.Line("http", Deadline(timeout_s)))
    with pytest.raises((decoding.AnswerTooLargeError, TimeoutError)) as raised:
        connection.ask(["show version"])
    extras = {"timeout": timeout_s}
    return explain(raised.value, ConnectionOptions(hostname="r1", port=443, extras=extras, platform="eos"))


def ask_rpc(port: int) -> None:
    async def ask() -> None:
        asked = RpcPool((f"http://127.0.0.1:{port}",), RetryBudget(attempts=3, base_s=0.01))
        try:
            await asked.call("getProgramAccounts", [])
        finally:
            assert asked.requests["getProgramAccounts"] == 1, "a huge answer is not asked for again"
            await asked.close()

    asyncio.run(ask())


@pytest.mark.parametrize("answer", [endless, until_closed, announced])
def test_a_huge_answer_of_a_device_is_refused(monkeypatch: pytest.MonkeyPatch, answer: Answer) -> None:
    monkeypatch.setattr(decoding, "MAX_ANSWER_BYTES", LIMIT)
    with serving(answer) as port, peak_below(SLACK):
        told = ask_device(port)
    assert told == "r1:443: the answer is larger than 4 MiB"


def test_an_answer_that_drips_does_not_hold_a_device_up_for_longer_than_its_timeout() -> None:
    with serving(dripping) as port:
        assert ask_device(port, timeout_s=1) == "r1:443: no complete answer in 1 s"


@pytest.mark.parametrize("kind", ["lists", "no number", "neighbors", "vrfs"])
def test_hostile_answers_of_20_devices_at_once_stay_below_1_gib(kind: str) -> None:
    script = Path(__file__).parent / "hostile_answers.py"
    done = subprocess.run(
        [sys.executable, str(script), kind], capture_output=True, text=True, timeout=240, check=True
    )
    assert int(done.stdout) < 1024


@pytest.mark.parametrize("answer", [endless, until_closed, announced])
def test_a_huge_answer_of_an_rpc_is_refused_and_not_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    monkeypatch.setattr(endpoint, "MAX_ANSWER_BYTES", LIMIT)
    with (
        serving(answer) as port,
        peak_below(SLACK),
        pytest.raises(RpcSizeError, match="getProgramAccounts: the answer is larger than 4 MiB"),
    ):
        ask_rpc(port)


def test_an_answer_that_unpacks_to_more_than_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "MAX_ANSWER_BYTES", LIMIT)
    bomb = gzip.compress(bytes(512 * MIB), 9)
    with serving(packed(bomb)) as port, peak_below(3 * UNPACKED_AT_ONCE), pytest.raises(RpcSizeError):
        ask_rpc(port)


def test_an_answer_that_is_not_packed_as_it_says_is_no_answer() -> None:
    async def ask(port: int) -> None:
        asked = RpcPool((f"http://127.0.0.1:{port}",), RetryBudget(attempts=1))
        try:
            await asked.call("getHealth", [])
        finally:
            await asked.close()

    with serving(packed(b"zzzz")) as port, pytest.raises(RpcTransportError, match="compression is broken"):
        asyncio.run(ask(port))
