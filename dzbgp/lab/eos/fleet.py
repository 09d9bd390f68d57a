"""A fleet of simulated Arista devices that speak eAPI over HTTPS to an unmodified NAPALM.

Each listens on an address and port of its own. All live in one event loop in one thread: state is only
touched there, and serialised answers are kept until something changes, so hundreds of devices cost little.
"""

import asyncio
import base64
import hmac
import json
import secrets
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

from dzbgp.lab.eos.answers import JSON_COMMANDS, TEXT_COMMANDS, established
from dzbgp.lab.eos.device import (
    ADMIN_DOWN,
    LOCAL_ASN,
    STATES,
    USER_ASN,
    DeviceFault,
    EosDevice,
    EosFault,
    EosPeer,
)
from dzbgp.lab.eos.neighbor import UPTIME_MARK
from dzbgp.lab.eos.tls import make_tls
from dzbgp.lab.http import Hangup, LoopThread, Request, Response, serve

__all__ = [
    "ADMIN_DOWN",
    "LOCAL_ASN",
    "USER_ASN",
    "DeviceFault",
    "EosDevice",
    "EosFault",
    "EosFleet",
    "EosPeer",
]

_JSON = {"content-type": "application/json"}
_TEXT = {"content-type": "text/plain"}

_FOREVER_S = 24 * 3600


class EosFleet:
    """Running devices. Made by `start`; a context manager; every method may be called from any thread."""

    def __init__(self, thread: LoopThread, devices: dict[str, "_Served"], ca_pem: str) -> None:
        self._thread = thread
        self._devices = devices
        self._stopped = False
        self.ca_pem = ca_pem
        """The certificate of the CA that signed the devices' certificate."""

    @classmethod
    def start(cls, devices: Iterable[EosDevice], *, plain: bool = False) -> Self:
        """Let every device listen, and return when all do; `plain`: over http instead of https.

        Raises OSError, naming address and port, when one can't be listened on; then none listens. Raises
        ValueError when two devices have one code.
        """
        served: dict[str, _Served] = {}
        for device in devices:
            if device.code in served:
                raise ValueError(f"two devices of the lab are called {device.code}")
            served[device.code] = _Served(device)
        tls = make_tls(device.address for device in (one.device for one in served.values()))

        async def listen() -> None:
            for one in served.values():
                one.tls = None if plain else tls.context
                await one.listen()
            for one in served.values():
                one.apply_fault()

        thread = LoopThread("dzbgp-lab-eos")
        fleet = cls(thread, served, tls.ca_pem)
        try:
            thread.call(listen())
        except BaseException:
            fleet.stop()
            raise
        return fleet

    def stop(self) -> None:
        """Close every connection and stop listening. Do nothing the second time."""
        if self._stopped:
            return
        self._stopped = True

        async def close() -> None:
            for one in self._devices.values():
                one.close()

        self._thread.call(close())
        self._thread.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def addresses(self) -> dict[str, tuple[str, int]]:
        """Where each device listens, by code."""
        return {code: (one.device.address, one.device.port) for code, one in self._devices.items()}

    def device(self, code: str) -> EosDevice:
        """Return the device called `code`: to be read, not changed. Raises KeyError."""
        return self._devices[code].device

    def requests(self, code: str) -> int:
        """Return how many HTTP requests the device has read so far, whatever became of them."""
        return self._devices[code].requests

    def connections(self, code: str) -> int:
        """Return how many connections the device has accepted so far."""
        return self._devices[code].connections

    def hang_up(self, code: str) -> None:
        """Close the connections that the device has, as one does that were idle for long."""

        async def close() -> None:
            self._devices[code].hang_up()

        self._thread.call(close())

    def change(self, code: str, change: Callable[[EosDevice], None]) -> None:
        """Call `change` with the device where no request sees half of it; what it raises is raised here."""
        one = self._devices[code]

        async def run() -> None:
            try:
                change(one.device)
            finally:
                one.forget()
            fault = one.device.fault
            if one.server is None and (fault is None or fault.kind is not DeviceFault.REFUSE):
                await one.listen()
            one.apply_fault()

        self._thread.call(run())

    def set_fault(self, code: str, fault: EosFault | DeviceFault | None) -> None:
        """Put a fault in force from the next request on; None: the device works again."""
        wanted = EosFault(fault) if isinstance(fault, DeviceFault) else fault

        def put(device: EosDevice) -> None:
            device.fault = wanted

        self.change(code, put)

    def set_state(
        self,
        code: str,
        peer_address: str,
        state: str,
        *,
        idle_reason: str = "",
        rtt_us: int | None = None,
        established_s: float = 0.0,
    ) -> None:
        """Move a session to `state`; to Established counts as one transition more, even from Established.

        `rtt_us` None leaves the RTT as it is. Raises KeyError when there is no such device or neighbor, and
        ValueError for a state that BGP does not have.
        """
        if state not in STATES:
            raise ValueError(f"unknown BGP state {state!r}; expected one of {', '.join(STATES)}")

        def put(device: EosDevice) -> None:
            peer = device.peer(peer_address)
            peer.state = state
            peer.idle_reason = idle_reason
            peer.transitions += state == "Established"
            peer.established_s = established_s
            peer.changed_at = time.monotonic()
            if rtt_us is not None:
                peer.rtt_us = rtt_us

        self.change(code, put)

    def add_peer(self, code: str, peer: EosPeer) -> None:
        """Configure one neighbor more."""
        self.change(code, lambda device: device.peers.append(peer))

    def remove_peer(self, code: str, peer_address: str) -> None:
        """Take a neighbor out of the configuration. Raises KeyError when there is none."""
        self.change(code, lambda device: device.peers.remove(device.peer(peer_address)))


class _Served:
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
        if self.server is not None:
            self.server.close()
            self.server = None

    def _count(self) -> None:
        self.connections += 1

    def hang_up(self) -> None:
        for writer in self._writers:
            writer.close()

    def apply_fault(self) -> None:
        if self.device.fault is not None and self.device.fault.kind is DeviceFault.REFUSE:
            self.close()

    def forget(self) -> None:
        """Drop what was serialised."""
        self._answers.clear()

    async def handle(self, request: Request) -> Response:
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
