"""One simulated device as it listens: logins, eAPI's JSON-RPC, and what a fault does to them."""

import asyncio
import base64
import hmac
import json
import secrets
from typing import Any

from dzbgp.lab.eos.answers import JSON_COMMANDS, TEXT_COMMANDS, established
from dzbgp.lab.eos.device import DeviceFault, EosDevice, EosPeer
from dzbgp.lab.eos.neighbor import UPTIME_MARK
from dzbgp.lab.http import Hangup, Request, Response, serve

_JSON = {"content-type": "application/json"}
_TEXT = {"content-type": "text/plain"}
_FOREVER_S = 24 * 3600


class Served:
    """A device as it listens. Lives in the fleet's loop."""

    def __init__(self, device: EosDevice) -> None:
        self.device = device
        self.tls: Any = None
        self.server: asyncio.Server | None = None
        self.requests = 0
        self.connections = 0
        self._writers: set[asyncio.StreamWriter] = set()
        login = f"{device.username}:{device.password}".encode()
        self._login = f"Basic {base64.b64encode(login).decode('ascii')}"
        self._session = f"Session={secrets.token_hex(16)}"
        self._answers: dict[str, list[str]] = {}
        self._established: list[EosPeer] = []

    async def listen(self) -> None:
        """Listen on the device's address. Raises OSError, naming address and port."""
        address, port = self.device.address, self.device.port
        try:
            self.server = await serve(self.handle, address, port, self.tls, self._writers, self._count)
        except OSError as error:
            reason = error.strerror or str(error)
            raise OSError(
                error.errno, f"{self.device.code} can't listen on {address}:{port}: {reason}"
            ) from error
        self.device.port = self.server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Stop listening."""
        if self.server is not None:
            self.server.close()
            self.server = None

    def _count(self) -> None:
        self.connections += 1

    def hang_up(self) -> None:
        """Close the connections."""
        for writer in self._writers:
            writer.close()

    def apply_fault(self) -> None:
        """Stop listening if the fault in force says so."""
        if self.device.fault is not None and self.device.fault.kind is DeviceFault.REFUSE:
            self.close()

    def forget(self) -> None:
        """Drop what was serialised."""
        self._answers.clear()

    async def handle(self, request: Request) -> Response:
        """Answer a request as the device and its fault do."""
        self.requests += 1
        refusal = await self._fault_before()
        if refusal is not None:
            return refusal
        if request.target == "/login":
            return self._log_in(request.body)
        known = self._session if "cookie" in request.headers else self._login
        given = request.headers.get("cookie") or request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), known.encode()):
            return _unauthorized()
        if request.target != "/command-api":
            return Response(404, b"Not Found", _TEXT)
        if request.method != "POST":
            return Response(405, b"Method Not Allowed", _TEXT)
        body = self._run(request.body)
        if self.device.fault is not None and self.device.fault.kind is DeviceFault.TRUNCATED:
            head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n\r\n".encode("ascii")
            raise Hangup(head + body[: len(body) // 2])
        return Response(200, body, _JSON)

    def _log_in(self, body: bytes) -> Response:
        """Answer eAPI's login for a session."""
        try:
            given = json.loads(body)
        except ValueError:
            given = None
        if given != {"username": self.device.username, "password": self.device.password}:
            return _unauthorized()
        return Response(200, b"{}", {**_JSON, "set-cookie": f"{self._session}; Path=/; HttpOnly"})

    async def _fault_before(self) -> Response | None:
        """Do what a fault does before a request is even understood."""
        fault = self.device.fault
        match fault.kind if fault else None:
            case DeviceFault.NO_ANSWER:
                # A timer, since the loop holds on to it: a task that waits for what nobody else knows is
                # collected as garbage in the middle of its wait.
                await asyncio.sleep(_FOREVER_S)
            case DeviceFault.SLOW if fault:
                await asyncio.sleep(fault.delay_s)
            case DeviceFault.BAD_PASSWORD:
                return _unauthorized()
            case DeviceFault.HTTP_500:
                return Response(500, b"Internal Server Error", _TEXT)
            case DeviceFault.GARBAGE:
                return Response(
                    200, b"<html><body>Switch is booting</body></html>", {"content-type": "text/html"}
                )
            case DeviceFault.HANGUP | DeviceFault.REFUSE:
                # REFUSE: a connection that was opened before the listening stopped.
                raise Hangup
            case _:
                pass
        return None

    def _run(self, body: bytes) -> bytes:
        """Run a JSON-RPC request and return the serialised response."""
        try:
            call = json.loads(body)
            identity = json.dumps(call.get("id"))
            params = call["params"]
            commands = [str(one["cmd"] if isinstance(one, dict) else one) for one in params["cmds"]]
            text = params.get("format", "json") == "text"
        except (ValueError, KeyError, TypeError, AttributeError):
            return _error("null", -32600, "Invalid request", [])
        if call.get("method") != "runCmds":
            return _error(identity, -32601, "Method not found", [])
        results: list[str] = []
        for number, command in enumerate(commands, 1):
            answer = self._answer(" ".join(command.split()), text=text)
            if answer is None:
                refusal = {"errors": [f"Invalid input (at token 0: {command[:40]!r})"]}
                data = [*results, json.dumps(refusal)]
                message = f"CLI command {number} of {len(commands)} '{command}' failed: invalid command"
                return _error(identity, 1002, message, data)
            results.append(answer)
        return f'{{"jsonrpc": "2.0", "id": {identity}, "result": [{", ".join(results)}]}}'.encode()

    def _answer(self, command: str, *, text: bool) -> str | None:
        """Return the answer to one command as JSON; None when the device does not know, or refuses, it."""
        fault = self.device.fault
        if fault is not None and fault.kind is DeviceFault.REFUSED_COMMAND and " bgp " in command:
            return None
        if text:
            render = TEXT_COMMANDS.get(command)
            return None if render is None else json.dumps({"output": render(self.device)})
        if command not in JSON_COMMANDS:
            return None
        pieces = self._answers.get(command)
        if pieces is None:
            pieces = json.dumps(JSON_COMMANDS[command](self.device)).split(str(UPTIME_MARK))
            self._answers[command] = pieces
            if len(pieces) > 1:
                self._established = established(self.device)
        if len(pieces) == 1:
            return pieces[0]
        # Uptimes grow by themselves, so they are set between the pieces of what was serialised once.
        filled = [pieces[0]]
        for peer, piece in zip(self._established, pieces[1:], strict=True):
            filled += (str(peer.uptime_s()), piece)
        return "".join(filled)


def _unauthorized() -> Response:
    body = b"Unable to authenticate user: Bad username/password combination\n"
    return Response(401, body, {**_TEXT, "www-authenticate": 'Basic realm="COMMAND_API_AUTH"'})


def _error(identity: str, code: int, message: str, data: list[str]) -> bytes:
    text = json.dumps(message)
    return (
        f'{{"jsonrpc": "2.0", "id": {identity}, '
        f'"error": {{"code": {code}, "message": {text}, "data": [{", ".join(data)}]}}}}'
    ).encode()
