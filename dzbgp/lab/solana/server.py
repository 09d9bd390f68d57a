"""The HTTP face of the lab's ledger: batches, gzip, faults of the transport, the lab's control methods."""

import asyncio
import contextlib
import gzip
import json
import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from solders.pubkey import Pubkey

from dzbgp.lab.http import Hangup, Request, Response
from dzbgp.lab.solana.codec import JsonRpcError, read_transaction
from dzbgp.lab.solana.faults import Fault, FaultBox, FaultKind
from dzbgp.lab.solana.methods import RpcMethods

GZIP_FROM = 1024
LAB_PREFIX = "lab"
_JSON = {"content-type": "application/json; charset=utf-8"}
_log = logging.getLogger(__name__)
_NOT_EXECUTED = (FaultKind.HTTP_STATUS, FaultKind.GARBAGE)


class RpcServer:
    """Answers HTTP requests with what the methods say, unless a fault says otherwise."""

    def __init__(self, rpc: RpcMethods, control: dict[str, Callable[..., Any]]) -> None:
        self.faults = FaultBox()
        self.requests: Counter[str] = Counter()
        self.http_requests = 0
        self.bytes_sent = 0
        self._rpc = rpc
        self._control = control
        self._stalls: dict[int, tuple[Fault, float]] = {}  # by id: a fault's data may not be hashable

    async def handle(self, request: Request) -> Response:
        """Answer one HTTP request. Raises Hangup for the faults that close the connection."""
        if request.method == "GET" and request.target == "/health":
            return Response(200, b"ok", {"content-type": "text/plain"})
        if request.method != "POST":
            return Response(405, b"Used HTTP Method is not allowed. POST or OPTIONS is required\n")
        try:
            body = json.loads(request.body)
        except ValueError:
            return self._respond(request, _error(None, JsonRpcError(-32700, "Parse error")))
        calls = body if isinstance(body, list) else [body]
        if not calls or not all(
            isinstance(call, dict) and isinstance(call.get("method"), str) for call in calls
        ):
            return self._respond(request, _error(None, JsonRpcError(-32600, "Invalid request")))
        if all(call["method"].startswith(LAB_PREFIX) for call in calls):
            answers = [self._controlled(call) for call in calls]
            return self._respond(request, answers if isinstance(body, list) else answers[0])
        return await self._serve(request, calls, batch=isinstance(body, list))

    async def _serve(self, request: Request, calls: list[dict[str, Any]], *, batch: bool) -> Response:
        self.http_requests += 1
        self.requests.update(call["method"] for call in calls)
        hits = [self._hits(call) for call in calls]
        faults = {fault.kind: fault for taken in reversed(hits) for fault in reversed(taken)}
        await self._stall(faults.get(FaultKind.STALL))
        if FaultKind.HANGUP_BEFORE in faults:
            raise Hangup
        refusal = next((faults[kind] for kind in _NOT_EXECUTED if kind in faults), None)
        if refusal is not None and not refusal.executed:
            return _refuse(refusal)
        answers = [self._answer(call, taken) for call, taken in zip(calls, hits, strict=True)]
        if FaultKind.DELAY in faults:
            await asyncio.sleep(faults[FaultKind.DELAY].delay_s)
        if FaultKind.HANGUP_AFTER in faults:
            raise Hangup
        if refusal is not None:
            return _refuse(refusal)
        told = [answer for call, answer in zip(calls, answers, strict=True) if "id" in call]
        if FaultKind.WRONG_ID in faults:
            told = [{**answer, "id": 2**40} for answer in told]
        response = self._respond(request, told if batch else told[0] if told else None)
        if FaultKind.TRUNCATED in faults:
            raise Hangup(_half(response))
        return response

    def _hits(self, call: dict[str, Any]) -> list[Fault]:
        named = _accounts(call.get("params")) if self.faults.by_account else frozenset()
        return self.faults.take(call["method"], named)

    async def _stall(self, fault: Fault | None) -> None:
        """Hold the request while a stall lasts, whichever request it began with."""
        now = time.monotonic()
        if fault is not None:
            _, until = self._stalls.setdefault(id(fault), (fault, now + fault.delay_s))
            if until > now:
                await asyncio.sleep(until - now)

    def _answer(self, call: dict[str, Any], faults: list[Fault]) -> dict[str, Any]:
        try:
            result = self._rpc.call(call["method"], call.get("params"), faults)
        except JsonRpcError as error:
            is_unread = any(fault.kind is FaultKind.NULL_ID for fault in faults)
            return _error(None if is_unread else call.get("id"), error)
        except Exception:  # noqa: BLE001 - as a node does; the log has the cause
            _log.exception("%s failed in the lab's ledger", call["method"])
            return _error(call.get("id"), JsonRpcError(-32603, "Internal error"))
        return {"jsonrpc": "2.0", "result": result, "id": call.get("id")}

    def _controlled(self, call: dict[str, Any]) -> dict[str, Any]:
        control = self._control.get(call["method"])
        if control is None:
            return _error(call.get("id"), JsonRpcError(-32601, "Method not found"))
        try:
            return {"jsonrpc": "2.0", "result": control(*(call.get("params") or [])), "id": call.get("id")}
        except (TypeError, ValueError) as error:
            return _error(call.get("id"), JsonRpcError(-32602, f"Invalid params: {error}"))

    def _respond(self, request: Request, answer: Any) -> Response:
        body = b"" if answer is None else json.dumps(answer, separators=(",", ":")).encode()
        headers = dict(_JSON)
        if len(body) > GZIP_FROM and "gzip" in request.headers.get("accept-encoding", ""):
            body = gzip.compress(body, compresslevel=6, mtime=0)
            headers["content-encoding"] = "gzip"
        self.bytes_sent += len(body)
        return Response(200, body, headers)


def _error(request_id: Any, error: JsonRpcError) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "error": error.to_json(), "id": request_id}


def _refuse(fault: Fault) -> Response:
    if fault.kind is FaultKind.GARBAGE:
        return Response(
            200, b"<html><body>upstream proxy says hello</body></html>", {"content-type": "text/html"}
        )
    headers = {"content-type": "text/plain"}
    if fault.retry_after_s is not None:
        headers["retry-after"] = f"{fault.retry_after_s:g}"
    return Response(fault.status, b"refused by the lab\n", headers)


def _half(response: Response) -> bytes:
    head = [b"HTTP/1.1 200 OK", f"content-length: {len(response.body)}".encode()]
    head += [f"{name}: {value}".encode() for name, value in response.headers.items()]
    return b"\r\n".join(head) + b"\r\n\r\n" + response.body[: len(response.body) // 2]


def _accounts(params: Any) -> frozenset[Pubkey]:
    """Return every account that a request names, in its parameters or in its transaction."""
    found: set[Pubkey] = set()
    for text in _strings(params):
        with contextlib.suppress(ValueError):
            found.add(Pubkey.from_string(text))
        for encoding in ("base64", "base58"):
            with contextlib.suppress(JsonRpcError):
                found.update(read_transaction(text, encoding).message.account_keys)
    return frozenset(found)


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for one in value for text in _strings(one)]
    return []
