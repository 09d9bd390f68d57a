"""A connection that is dead and stays open: no retry is sent over it again."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import h2.connection
import h2.events
import pytest
from h2.config import H2Configuration
from stage import FAST, SECRET

from dzbgp.lab.eos.tls import make_tls
from dzbgp.ledger.rpc.pool import RpcPool

METHOD = "getHealth"


class WedgingServer:
    """Speaks HTTP/2. Its first connection answers one request, and never again; all others answer."""

    def __init__(self) -> None:
        self.connections = 0
        self.unanswered = 0

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        is_wedging, answered = self.connections == 1, 0
        http = h2.connection.H2Connection(H2Configuration(client_side=False))
        http.initiate_connection()
        writer.write(http.data_to_send())
        bodies: dict[int, bytes] = {}
        try:
            while data := await reader.read(65536):
                for event in http.receive_data(data):
                    if isinstance(event, h2.events.DataReceived):
                        bodies[event.stream_id] = bodies.get(event.stream_id, b"") + event.data
                    elif isinstance(event, h2.events.StreamEnded):
                        if is_wedging and answered:
                            self.unanswered += 1
                            continue
                        answered += 1
                        request = json.loads(bodies[event.stream_id])
                        answer = {"jsonrpc": "2.0", "id": request["id"], "result": "ok"}
                        http.send_headers(event.stream_id, [(":status", "200")])
                        http.send_data(event.stream_id, json.dumps(answer).encode(), end_stream=True)
                writer.write(http.data_to_send())
        finally:
            writer.close()


@asynccontextmanager
async def wedging(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[str, WedgingServer]]:
    tls = make_tls(["127.0.0.1"])
    context = tls.contexts["127.0.0.1"]
    context.set_alpn_protocols(["h2"])
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text(tls.ca_pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    made = WedgingServer()
    server = await asyncio.start_server(made.converse, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/{SECRET}", made


def test_after_a_timeout_the_next_request_goes_over_a_new_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> tuple[int, int]:
        async with wedging(tmp_path, monkeypatch) as (url, server):
            pool = RpcPool((url,), FAST)
            assert await pool.call(METHOD, []) == "ok"
            assert await pool.call(METHOD, []) == "ok"
            await pool.close()
            return server.connections, server.unanswered

    assert asyncio.run(run()) == (2, 1)


def test_requests_that_still_use_a_dropped_connection_may_finish() -> None:
    """Closing the connection at once would lose the answers of others that share it."""

    async def run() -> None:
        pool = RpcPool((f"http://127.0.0.1:9/{SECRET}",), FAST)
        endpoint = pool._opened[0]
        async with endpoint._connections() as mine:
            endpoint._drop(mine)
            assert endpoint._current is not mine
            closed = [mine.rpc.session.is_closed]
        closed.append(mine.rpc.session.is_closed)
        assert closed == [False, True]
        await pool.close()

    asyncio.run(run())
