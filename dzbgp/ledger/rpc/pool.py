"""JSON-RPC to one of several RPCs: requests are counted and retried (retry.py), RPCs take turns.

failures.py says what is retried and what is asked of another RPC. A send is never repeated here: only the sender knows
when that is safe.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from typing import Any, Generic, TypeVar

import msgspec
from solders.hash import ParseHashError

from dzbgp.ledger.errors import LedgerError, RpcError, RpcProtocolError
from dzbgp.ledger.rpc.endpoint import Endpoint
from dzbgp.ledger.rpc.failures import is_about_request, worth_raising
from dzbgp.ledger.rpc.retry import RetryBudget, retried
from dzbgp.ledger.secrets import Redactor

log = logging.getLogger(__name__)

T = TypeVar("T")


class _Answer(msgspec.Struct, Generic[T]):
    id: int
    result: T
    error: None = None


_ANSWER: Any = _Answer


class _ErrorObject(msgspec.Struct):
    code: int
    message: str = ""
    data: Any = None


class _Refusal(msgspec.Struct):
    """An answer with an error. Its id is null if the node could not read the request."""

    error: _ErrorObject
    id: int | None = None


class _AnyId(msgspec.Struct):
    id: Any = None


@dataclass(frozen=True, slots=True)
class _Request:
    """One question: its encoded body, and how its answer is read and checked."""

    id: int
    method: str
    body: bytes
    kind: Any
    check: Callable[[str, Any], None]


def _unchecked(_where: str, _result: Any) -> None:
    pass


class RpcPool:
    """Asks one of several RPCs of the same cluster. For one event loop.

    Counters: `requests` and `retries`, by method; a question that goes on to the next RPC counts again.
    """

    def __init__(self, rpc_urls: tuple[str, ...], budget: RetryBudget, *, use_proxies: bool = True) -> None:
        self.budget = budget
        self.requests: Counter[str] = Counter()
        self.retries: Counter[str] = Counter()
        self.redactor = Redactor(rpc_urls)
        self._opened = tuple(
            Endpoint(url, self.redactor, budget.request_s, use_proxies=use_proxies) for url in rpc_urls
        )
        self._endpoints = list(self._opened)
        self._ids = count(1)

    @property
    def where(self) -> str:
        """Return the RPC that is asked first at present, without its secret path."""
        return self._endpoints[0].shown

    async def close(self) -> None:
        """Close the connections."""
        for endpoint in self._opened:
            await endpoint.close()

    async def call(
        self, method: str, params: list[Any], kind: Any = Any, check: Callable[[str, Any], None] = _unchecked
    ) -> Any:
        """Return the `result` of the answer as a `kind`, a type that msgspec decodes. Raises a LedgerError.

        `check` is given the RPC and the result, and raises a LedgerError for an answer that is not to be believed.
        """
        request = self._request(method, params, kind, check)
        return await self._retried(method, lambda: self._ask_any(request))

    async def call_once(self, method: str, params: list[Any]) -> Any:
        """Ask one RPC once. After a failure that is not about the request, the next question goes to another."""
        endpoint = self._endpoints[0]
        try:
            return await self._ask(self._request(method, params), endpoint)
        except LedgerError as error:
            if not is_about_request(error):
                self._turn_from(endpoint)
            raise

    async def call_each_once(self, method: str, params: list[Any]) -> None:
        """Ask every RPC once, all at the same time. Raises a LedgerError if none accepts the request."""
        request = self._request(method, params)
        asked = [self._ask(request, endpoint) for endpoint in self._endpoints]
        results = await asyncio.gather(*asked, return_exceptions=True)
        failures = [result for result in results if isinstance(result, BaseException)]
        if len(failures) == len(results):
            raise failures[0]

    async def call_all(self, method: str, params: list[Any], kind: Any = Any) -> list[tuple[str, Any]]:
        """Return (RPC, result) for every RPC that answers; the others are left out until `readmit`.

        Raises the last LedgerError when none answers.
        """
        request = self._request(method, params, kind)
        answers = []
        answering = []
        failure: LedgerError | None = None
        for endpoint in self._opened:
            try:
                result = await self._retried(method, lambda one=endpoint: self._ask(request, one))  # type: ignore[misc]
            except LedgerError as error:
                failure = error
                log.warning("%s; this RPC is left out", error)
            else:
                answers.append((endpoint.shown, result))
                answering.append(endpoint)
        if failure is not None and not answers:
            raise failure
        self._endpoints = answering
        return answers

    def readmit(self) -> None:
        """Ask the RPCs again that `call_all` left out."""
        self._endpoints += [endpoint for endpoint in self._opened if endpoint not in self._endpoints]

    def _request(
        self, method: str, params: list[Any], kind: Any = Any, check: Callable[[str, Any], None] = _unchecked
    ) -> _Request:
        number = next(self._ids)
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        return _Request(number, method, body, kind, check)

    async def _retried(self, method: str, ask: Callable[[], Awaitable[T]]) -> T:
        def count() -> None:
            self.retries[method] += 1

        return await retried(ask, self.budget, f"RPC {self.where}: {method}", count)

    async def _ask_any(self, request: _Request) -> Any:
        """Ask the RPC that answered last; if it fails and the request is not to blame, the others in turn."""
        failures: list[LedgerError] = []
        for endpoint in list(self._endpoints):
            if failures:
                log.warning("%s; asking another RPC", failures[-1])
            try:
                return await self._ask(request, endpoint)
            except LedgerError as error:
                if is_about_request(error):
                    raise
                self._turn_from(endpoint)
                failures.append(error)
        raise worth_raising(failures)

    def _turn_from(self, endpoint: Endpoint) -> None:
        """Let the next question go to another RPC, if there is one."""
        if self._endpoints[0] is endpoint:
            self._endpoints = [*self._endpoints[1:], endpoint]

    async def _ask(self, request: _Request, endpoint: Endpoint) -> Any:
        self.requests[request.method] += 1
        result = self._read(request, endpoint, await endpoint.post(request.method, request.body))
        request.check(endpoint.shown, result)
        return result

    def _read(self, request: _Request, endpoint: Endpoint, raw: bytes | bytearray) -> Any:
        """Return the result of an answer, or raise the node's error."""
        told = f"RPC {endpoint.shown}: {request.method}"
        answer = _decoded(raw, _ANSWER[request.kind])
        if answer is not None and answer.id == request.id:
            return answer.result
        refusal = _decoded(raw, _Refusal)
        if refusal is not None and refusal.id in (request.id, None):
            error = refusal.error
            words = self.redactor.text(error.message)
            raise RpcError(f"{told}: error {error.code}: {words}", error.code, self.redactor.json(error.data))
        other = _decoded(raw, _AnyId)
        if other is not None and other.id not in (request.id, None):
            raise RpcProtocolError(f"{told}: the answer belongs to another request")
        raise malformed(endpoint.shown, request.method)


def _decoded(raw: bytes | bytearray, kind: Any) -> Any:
    """Return `raw` as a `kind`, None if it has another form."""
    try:
        return msgspec.json.decode(raw, type=kind, dec_hook=_key)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _key(kind: Any, text: Any) -> Any:
    """Read the types that msgspec does not know: keys and hashes in base58."""
    try:
        return kind.from_string(text)
    except (TypeError, ParseHashError):
        raise ValueError from None


def malformed(where: str, method: str) -> RpcProtocolError:
    """Return the error for an answer of another form than expected."""
    return RpcProtocolError(f"RPC {where}: {method}: the answer is not JSON-RPC of the expected form")
