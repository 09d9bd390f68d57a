"""One RPC over HTTP: bytes out, bytes in, and httpx's errors as dzbgp's own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx2
from solana.rpc.async_http_provider import AsyncHTTPProvider
from solana.rpc.jsonrpc import JsonRpcRequestSerializer
from solana.rpc.types import URI

from dzbgp.ledger.errors import LedgerError, RpcSizeError, RpcStatusError, RpcTransportError
from dzbgp.ledger.rpc.environment import proxy_of, tls_context
from dzbgp.ledger.secrets import Redactor, redact

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""Size limit of an answer after decompression. All users of mainnet take about 3 MB."""
_TOO_LARGE = 413
_HEADERS = {"Content-Type": "application/json"}


class Provider(AsyncHTTPProvider):
    """solana-py's RPC client over an HTTP client of ours, with a limit on the size of an answer.

    The library's constructor is not called: the client that it makes reads proxies and TLS files from the environment.
    """

    def __init__(self, url: str, http: httpx2.AsyncClient) -> None:
        self.endpoint_uri = URI(url)
        self.session = http

    async def make_request_unparsed(self, body: JsonRpcRequestSerializer) -> str:
        """Return the text of an answer, sent once only. Raises httpx2.HTTPError, TooLargeError and UnicodeError."""
        return (await self.post(body.to_json().encode())).decode()

    async def post(self, body: bytes) -> bytearray:
        """Return the bytes of an answer. Raises httpx2.HTTPError and TooLargeError."""
        async with self.session.stream("POST", self.endpoint_uri, content=body, headers=_HEADERS) as response:
            response.raise_for_status()
            answer = bytearray()
            async for piece in response.aiter_bytes():
                answer += piece
                if len(answer) > MAX_ANSWER_BYTES:
                    raise TooLargeError
        return answer


class TooLargeError(Exception):
    """An RPC's answer is larger than MAX_ANSWER_BYTES."""


@dataclass(slots=True, eq=False)
class _Connections:
    """The kept connections to an RPC, and how many requests use them."""

    rpc: Provider
    users: int = 0
    dropped: bool = False


class Endpoint:
    """One RPC. Every failure is a LedgerError that shows no more of the URL than scheme, host and port.

    Raises UsageError if the environment names a proxy or a file that cannot be used.
    """

    def __init__(self, url: str, redactor: Redactor, timeout_s: float, *, use_proxies: bool = True) -> None:
        self.shown = redact(url)
        self._url = url
        self._redactor = redactor
        self._timeout_s = timeout_s
        self._proxy = proxy_of(url, use_proxies=use_proxies)
        self._tls = tls_context(url, self._proxy)
        self._current = self._connect()

    def _connect(self) -> _Connections:
        http = httpx2.AsyncClient(
            http2=True, timeout=self._timeout_s, proxy=self._proxy, verify=self._tls, trust_env=False
        )
        return _Connections(Provider(self._url, http))

    async def close(self) -> None:
        """Close the connections."""
        await self._current.rpc.close()

    async def post(self, method: str, body: bytes) -> bytes | bytearray:
        """Return the body of the answer to one request. Raises a LedgerError."""
        where = f"RPC {self.shown}: {method}"
        failure: LedgerError
        async with self._connections() as connections:
            try:
                # httpx bounds each read only; this bounds the whole answer.
                async with asyncio.timeout(self._timeout_s):
                    return await connections.rpc.post(body)
            except (TimeoutError, httpx2.TimeoutException) as error:
                # A connection may be dead and still open; over HTTP/2 every retry would use it again.
                self._drop(connections)
                failure = RpcTransportError(f"{where}: {self._timeout_words(error)}")
            except TooLargeError:
                failure = RpcSizeError(
                    f"{where}: the answer is larger than {MAX_ANSWER_BYTES // 1024**2} MiB"
                )
            except httpx2.HTTPStatusError as error:
                failure = self._status_error(where, error.response)
            except httpx2.HTTPError as error:
                failure = RpcTransportError(f"{where}: {_words(error)}")
            except httpx2.InvalidURL:
                failure = RpcTransportError(f"{where}: invalid URL")
        # Raised outside the handlers: a chained exception would bring the URL into the traceback.
        raise failure

    @asynccontextmanager
    async def _connections(self) -> AsyncIterator[_Connections]:
        connections = self._current
        connections.users += 1
        try:
            yield connections
        finally:
            connections.users -= 1
            if connections.dropped and not connections.users:
                await connections.rpc.close()

    def _drop(self, connections: _Connections) -> None:
        """Let later requests use new connections; requests that still use the old ones may finish."""
        connections.dropped = True
        if self._current is connections:
            self._current = self._connect()

    def _timeout_words(self, error: Exception) -> str:
        if isinstance(error, httpx2.ConnectTimeout):
            return "no connection in time"
        return f"no answer in {self._timeout_s:g} s"

    def _status_error(self, where: str, response: httpx2.Response) -> LedgerError:
        # The reason phrase is the server's; the body and httpx's own words are not used.
        told = f"{where}: HTTP {response.status_code} {self._redactor.text(response.reason_phrase)}".rstrip()
        if response.status_code == _TOO_LARGE:
            return RpcSizeError(told)
        retry_after_s = _seconds(response.headers.get("retry-after"))
        asks = "" if retry_after_s is None else f" (it asks to wait {retry_after_s:g} s)"
        return RpcStatusError(told + asks, response.status_code, retry_after_s)


def _words(error: httpx2.HTTPError) -> str:
    """Describe a failure without httpx's own words, which hold the URL."""
    kinds = (
        (httpx2.ConnectError, "connection refused, or the host is unknown"),
        (httpx2.RemoteProtocolError, "the connection was closed in the middle of the answer"),
        (httpx2.NetworkError, "the connection was lost"),
        (httpx2.DecodingError, "the answer's compression is broken"),
    )
    return next((words for kind, words in kinds if isinstance(error, kind)), type(error).__name__)


def _seconds(retry_after: str | None) -> float | None:
    """Read a Retry-After in seconds. Its other form, a date, is left to the ordinary backoff."""
    try:
        return max(0.0, float(retry_after)) if retry_after is not None else None
    except ValueError:
        return None
