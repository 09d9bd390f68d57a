"""A small HTTP/1.1 server for the lab: h11 is the protocol, asyncio the sockets, a thread the event loop.

All of the lab's devices, or the lab's ledger, live in one such loop, so their state needs no lock.
"""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeVar

import h11

T = TypeVar("T")

MAX_BODY = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request: header names are lower-case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


class Hangup(Exception):  # noqa: N818 - no error: the way for a handler to close without an answer
    """Raised by a handler: the connection is closed at once, after `partial` was sent as it stands."""

    def __init__(self, partial: bytes = b"") -> None:
        super().__init__("hang up")
        self.partial = partial


Handler = Callable[[Request], Awaitable[Response]]


class LoopThread:
    """An event loop in a daemon thread of its own."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def call(self, awaitable: Awaitable[T], timeout_s: float = 60) -> T:
        """Run `awaitable` in the loop and return its result to the calling thread."""

        async def run() -> T:
            return await awaitable

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(timeout_s)

    def close(self) -> None:
        """Cancel what still runs and end the thread."""

        async def cancel() -> None:
            # A connection that was being accepted meanwhile makes a task of its own: repeat until none is left.
            while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

        self.call(cancel())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


async def serve(
    handler: Handler,
    address: str,
    port: int,
    tls: ssl.SSLContext | None = None,
    writers: set[asyncio.StreamWriter] | None = None,
    connected_to: Callable[[], None] = lambda: None,
) -> asyncio.Server:
    """Listen on `address`:`port` (0: a free port) and answer each request with `handler`.

    `connected_to` is called for each connection, and `writers` holds those that are open. Raises OSError when the
    address cannot be listened on.
    """
    opened: set[asyncio.StreamWriter] = set() if writers is None else writers

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected_to()
        opened.add(writer)
        with contextlib.suppress(
            ConnectionError, h11.RemoteProtocolError, ssl.SSLError, asyncio.CancelledError
        ):
            await _converse(handler, reader, writer)
        opened.discard(writer)
        writer.close()

    return await asyncio.start_server(connected, address, port, ssl=tls, backlog=1024)


async def _converse(handler: Handler, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    http = h11.Connection(h11.SERVER)
    while True:
        request = await _read_request(http, reader)
        if request is None:
            return
        try:
            response = await handler(request)
        except Hangup as hangup:
            writer.write(hangup.partial)
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            return
        headers = {"content-length": str(len(response.body)), **response.headers}
        # Clients show the reason phrase: pyeapi tells a bad password by nothing else.
        # Proxies answer statuses that no standard knows (520, 529); those have no phrase.
        known = response.status in HTTPStatus._value2member_map_
        reason = HTTPStatus(response.status).phrase if known else ""
        head = http.send(
            h11.Response(status_code=response.status, reason=reason, headers=list(headers.items()))
        )
        body = http.send(h11.Data(data=response.body)) if response.body else b""
        writer.write((head or b"") + (body or b"") + (http.send(h11.EndOfMessage()) or b""))
        await writer.drain()
        if http.our_state is h11.MUST_CLOSE or http.their_state is h11.MUST_CLOSE:
            return
        http.start_next_cycle()


async def _read_request(http: h11.Connection, reader: asyncio.StreamReader) -> Request | None:
    head: h11.Request | None = None
    body = bytearray()
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MAX_BODY:
                return None
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            headers = {name.decode("ascii"): value.decode("latin-1") for name, value in head.headers}
            return Request(head.method.decode(), head.target.decode(), headers, bytes(body))
        else:
            return None
