"""JSON-RPC over solana-py's client: requests are counted and retried, RPCs take turns, errors are told apart.

Retry budget (what upstream settled on): 4 attempts, 0.5 s base, 5 s cap, jitter, 10 s a request, all within a
deadline. Retried: no answer, an answer cut short, HTTP 429/500/502/503/504, RPC -32005, -32004, -32016, -32429.
Everything else fails at once. A send is never retried here: only the sender knows when that is safe.
"""

import asyncio
import contextlib
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, Generic, TypeVar

import httpx2
import msgspec
import stamina
from solana.exceptions import SolanaRpcException, handle_async_exceptions
from solana.rpc.async_http_provider import AsyncHTTPProvider
from solana.rpc.jsonrpc import JsonRpcRequest, JsonRpcResponseEnvelope, SolanaJsonRpcError

from dzbgp.ledger.errors import (
    LedgerError,
    RpcError,
    RpcProtocolError,
    RpcSizeError,
    RpcStatusError,
    RpcTransportError,
)
from dzbgp.ledger.networks import redact

log = logging.getLogger(__name__)

T = TypeVar("T")

RETRIED_STATUS = frozenset({429, 500, 502, 503, 504})
NODE_BEHIND = -32005
BLOCK_NOT_AVAILABLE = -32004
MIN_CONTEXT_SLOT_NOT_REACHED = -32016
RATE_LIMITED = -32429
MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""Of an answer as it is after decompression. All users of mainnet take about 3 MB."""
RETRIED_CODES = frozenset({NODE_BEHIND, BLOCK_NOT_AVAILABLE, MIN_CONTEXT_SLOT_NOT_REACHED, RATE_LIMITED})


@dataclass(frozen=True, slots=True)
class RetryBudget:
    """How long to try one question. Durations in seconds; `deadline_s` bounds everything, waits included."""

    attempts: int = 4
    base_s: float = 0.5
    cap_s: float = 5.0
    request_s: float = 10.0
    deadline_s: float = 30.0


class _BoundedHttp(AsyncHTTPProvider):
    """solana-py's HTTP client, but an answer beyond the limit is given up at once instead of taken in whole."""

    @handle_async_exceptions(SolanaRpcException, httpx2.HTTPError)
    async def make_request_unparsed(self, body: JsonRpcRequest) -> bytearray:  # type: ignore[override] # decorated there
        headers = {"Content-Type": "application/json"}
        asking = self.session.stream("POST", self.endpoint_uri, content=body.to_json(), headers=headers)
        async with asking as response:
            response.raise_for_status()
            answer = bytearray()
            async for piece in response.aiter_bytes():
                answer += piece
                if len(answer) > MAX_ANSWER_BYTES:
                    raise _TooLargeError
        return answer


class _TooLargeError(Exception):
    """The answer is beyond the limit."""


class _AnotherRequestError(Exception):
    """The answer has another request's id."""


class _Envelope(msgspec.Struct, Generic[T]):
    id: Any = None
    result: T | None = None


_Parse = Callable[[bytearray, JsonRpcRequest], Any]
"""Takes the result out of an answer. Raises what `_call_once` makes a LedgerError of."""


@dataclass(frozen=True, slots=True)
class Rpc:
    """One RPC: what may be shown of its URL, and solana-py's HTTP client, which knows all of it."""

    shown: str
    http: AsyncHTTPProvider


class RpcTransport:
    """Asks one of several RPCs of the same cluster. For one event loop.

    Counters: `requests` and `retries`, by method; a question that goes on to the next RPC counts anew.
    """

    def __init__(self, rpc_urls: tuple[str, ...], budget: RetryBudget) -> None:
        self.budget = budget
        self.requests: Counter[str] = Counter()
        self.retries: Counter[str] = Counter()
        self._rpcs = [
            # By default the library itself sends again what the transport lost, also sendTransaction.
            Rpc(redact(url), _BoundedHttp(url, timeout=budget.request_s, max_transport_retries=0))
            for url in rpc_urls
        ]
        self._opened = tuple(self._rpcs)
        self._ids = count(1)

    @property
    def where(self) -> str:
        """The RPC that is asked first at present, without its secret path."""
        return self._rpcs[0].shown

    async def close(self) -> None:
        """Close the connections."""
        for rpc in self._opened:
            await rpc.http.close()

    async def call(self, method: str, params: list[Any], *, retry: bool = True) -> Any:
        """Return the `result` of the JSON-RPC answer. Raises a LedgerError.

        Without `retry` one RPC is asked once; after a passing failure the next question goes to another one.
        """
        request = self._request(method, params)
        if retry:
            return await self._retried(method, lambda: self._call_any(request, _plain_result))
        rpc = self._rpcs[0]
        try:
            return await self._call_once(request, rpc, _plain_result)
        except LedgerError as error:
            if is_transient(error):
                self._turn_from(rpc)
            raise

    async def call_into(self, kind: type[T], method: str, params: list[Any]) -> T:
        """Return the `result` as what msgspec makes of it, which for a large one is quicker and smaller."""
        request = self._request(method, params)
        parse = _into(kind)
        result: T = await self._retried(method, lambda: self._call_any(request, parse))
        return result

    async def call_all(self, method: str, params: list[Any]) -> list[tuple[str, Any]]:
        """Return (RPC, result) of every RPC that answers; the others are not asked again before `readmit`.

        Raises the last LedgerError when none answers.
        """
        request = self._request(method, params)
        answers = []
        answering = []
        failure: LedgerError | None = None
        for rpc in self._opened:
            try:
                result = await self._retried(method, partial(self._call_once, request, rpc, _plain_result))
            except LedgerError as error:
                failure = error
                log.warning("%s; it is left out", error)
            else:
                answers.append((rpc.shown, result))
                answering.append(rpc)
        if failure is not None and not answers:
            raise failure
        self._rpcs = answering
        return answers

    def readmit(self) -> None:
        """Let every RPC be asked again, also those that `call_all` left out."""
        self._rpcs += [rpc for rpc in self._opened if rpc not in self._rpcs]

    def _request(self, method: str, params: list[Any]) -> JsonRpcRequest:
        return JsonRpcRequest(id=next(self._ids), method=method, params=params)

    async def _retried(self, method: str, ask: Callable[[], Awaitable[Any]]) -> Any:
        budget = self.budget
        ends_at = asyncio.get_running_loop().time() + budget.deadline_s
        attempts = stamina.retry_context(
            on=lambda error: _backoff(error, ends_at - asyncio.get_running_loop().time()),
            attempts=budget.attempts,
            timeout=budget.deadline_s,
            wait_initial=budget.base_s,
            wait_max=budget.cap_s,
            wait_jitter=budget.base_s,
        )
        failure: LedgerError = RpcTransportError(
            f"RPC {self.where}: {method}: no answer in {budget.deadline_s:g} s"
        )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(ends_at):
                async for attempt in attempts:
                    with attempt:
                        if attempt.num > 1:
                            self.retries[method] += 1
                        try:
                            return await ask()
                        except LedgerError as error:
                            failure = error
                            raise
        raise failure

    async def _call_any(self, request: JsonRpcRequest, parse: "_Parse") -> Any:
        """Ask the RPC that answered last; when it fails for a passing cause, the others in turn."""
        rpcs = list(self._rpcs)
        for rpc in rpcs:
            try:
                return await self._call_once(request, rpc, parse)
            except LedgerError as error:
                if not is_transient(error):
                    raise
                self._turn_from(rpc)
                if rpc is rpcs[-1]:
                    raise
                log.warning("%s; asking another RPC", error)
        raise AssertionError("unreachable: there is at least one RPC")

    def _turn_from(self, rpc: Rpc) -> None:
        """Let the next question go to another RPC than `rpc`, if there is one."""
        if self._rpcs[0] is rpc:
            self._rpcs = [*self._rpcs[1:], rpc]

    async def _call_once(self, request: JsonRpcRequest, rpc: Rpc, parse: "_Parse") -> Any:
        method, where = request.method, rpc.shown
        self.requests[method] += 1
        failure: LedgerError
        try:
            # A bound on the whole answer: the library's own bounds only each read.
            async with asyncio.timeout(self.budget.request_s):
                raw: Any = await rpc.http.make_request_unparsed(request)
            return parse(raw, request)
        except _AnotherRequestError:
            failure = RpcProtocolError(f"RPC {where}: {method}: the answer is one to another request")
        except TimeoutError:
            failure = RpcTransportError(f"RPC {where}: {method}: no answer in {self.budget.request_s:g} s")
        except _TooLargeError:
            limit = f"{MAX_ANSWER_BYTES // 1024**2} MiB"
            failure = RpcSizeError(f"RPC {where}: {method}: the answer is larger than {limit}")
        except SolanaRpcException as error:
            failure = _translate(where, method, error.__cause__)
        except SolanaJsonRpcError as error:
            failure = RpcError(f"RPC {where}: {method}: error {error.code}: {error}", error.code, error.data)
        except (ValueError, msgspec.MsgspecError):
            # pydantic's message would hold the whole answer.
            failure = malformed(where, method)
        except httpx2.InvalidURL:
            failure = RpcTransportError(f"RPC {where}: {method}: its URL cannot be asked")
        # Outside the handlers: no chained exception shall carry the URL into a traceback.
        raise failure


def _plain_result(raw: bytearray, request: JsonRpcRequest) -> Any:
    envelope = JsonRpcResponseEnvelope.model_validate_json(raw)
    if envelope.id != request.id:
        raise _AnotherRequestError
    return envelope.unwrap_result(method=request.method)


def _into(kind: type[T]) -> "_Parse":
    decoder: Any = msgspec.json.Decoder(_Envelope[kind])  # type: ignore[valid-type]

    def parse(raw: bytearray, request: JsonRpcRequest) -> T:
        envelope = decoder.decode(raw)
        if envelope.id == request.id and envelope.result is not None:
            result: T = envelope.result
            return result
        # An error, or nothing at all: told apart, and worded, as for any other question.
        _plain_result(raw, request)
        raise msgspec.ValidationError("no result")

    return parse


def malformed(where: str, method: str) -> RpcProtocolError:
    """Return the error for an answer that cannot be understood."""
    return RpcProtocolError(f"RPC {where}: {method}: the answer is no JSON-RPC of the expected form")


def is_transient(error: Exception) -> bool:
    """Return whether the same question may well be answered if it is asked again."""
    if isinstance(error, RpcStatusError):
        return error.status in RETRIED_STATUS
    if isinstance(error, RpcError):
        return error.code in RETRIED_CODES
    return isinstance(error, RpcTransportError | RpcProtocolError)


def _backoff(error: Exception, left_s: float) -> bool | float:
    """Return whether, and if the server told us after how many seconds, to try again within `left_s`."""
    if isinstance(error, RpcStatusError) and error.retry_after_s is not None and is_transient(error):
        # Coming back sooner than told would only prolong it; later is later than the caller can wait.
        if error.retry_after_s >= left_s:
            return False
        # Jitter on top: whoever was turned away together must not come back together.
        return error.retry_after_s + random.uniform(0, 0.25)  # noqa: S311
    return is_transient(error)


def _translate(where: str, method: str, cause: BaseException | None) -> LedgerError:
    """Turns httpx's error into ours. Its own words hold the whole URL, so they are not used."""
    if isinstance(cause, httpx2.HTTPStatusError):
        status, phrase = cause.response.status_code, cause.response.reason_phrase
        retry_after_s = _seconds(cause.response.headers.get("retry-after"))
        asks = "" if retry_after_s is None else f" (it asks to wait {retry_after_s:g} s)"
        told = f"RPC {where}: {method}: HTTP {status} {phrase}".rstrip()
        return RpcStatusError(told + asks, status, retry_after_s)
    kinds = (
        (httpx2.ConnectError, "connection refused, or the host is unknown"),
        (httpx2.ConnectTimeout, "no connection in time"),
        (httpx2.TimeoutException, "no answer in time"),
        (httpx2.RemoteProtocolError, "the connection was closed in the middle of the answer"),
        (httpx2.NetworkError, "the connection broke"),
        (httpx2.DecodingError, "the answer's compression is broken"),
    )
    what = next((words for kind, words in kinds if isinstance(cause, kind)), type(cause).__name__)
    return RpcTransportError(f"RPC {where}: {method}: {what}")


def _seconds(retry_after: str | None) -> float | None:
    """Read a Retry-After in seconds; its other form, a date, is left to the ordinary backoff."""
    try:
        return max(0.0, float(retry_after)) if retry_after is not None else None
    except ValueError:
        return None
