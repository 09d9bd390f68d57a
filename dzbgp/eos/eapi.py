"""eAPI over one HTTP connection that is kept alive, under a deadline, and with a bound on what is taken in.

NAPALM takes a class of ours as its transport. pyeapi's own classes open a connection for each request, wait for headers
without end, take in whatever comes, and write every request and answer into a log as text.
"""

import contextlib
import http.client
import io
import json
import resource
import socket
import ssl
import threading
from dataclasses import dataclass
from functools import partial
from http.cookies import CookieError, SimpleCookie
from typing import Any

import msgspec
from pyeapi import eapilib

from dzbgp.eos import decoding
from dzbgp.eos.deadline import Deadline
from dzbgp.eos.decoding import NotEapiError
from dzbgp.eos.tap import Tap
from dzbgp.eos.trust import Proof

PORTS = {"http": 80, "https": 443, "https_certs": 443, "http_session": 80, "https_session": 443}
"""The transports that speak eAPI over HTTP, by the names that NAPALM and pyeapi have for them; their usual ports."""

_PIECE = 64 * 1024
_PATH = "/command-api"


class LoginRefusedError(Exception):
    """The device did not accept user and password."""


@dataclass(slots=True)
class Line:
    """The settings of an eAPI connection, from the code that opens it."""

    transport: str
    deadline: Deadline | None = None
    proof: Proof | None = None
    """Looks at the device's certificate before anything is sent."""
    tap: Tap | None = None
    """Takes the answers to what NAPALM asks."""

    def check_certificate(self, sock: Any) -> None:
        """Look at the certificate of a connection over TLS. Raises UntrustedDeviceError."""
        if self.proof is not None and isinstance(sock, ssl.SSLSocket):
            self.proof.check_certificate(sock.getpeercert(binary_form=True) or b"")

    def left(self, most: float | None) -> float | None:
        """Return the seconds that the next step may take. Raises DeadlineError."""
        return most if self.deadline is None else self.deadline.left(most)


class Eapi(eapilib.EapiConnection):  # type: ignore[misc] # pyeapi has no types
    """What NAPALM takes for one of pyeapi's connections. The names of the parameters are pyeapi's."""

    def __init__(
        self,
        host: str,
        port: int | None = None,
        username: str | None = None,
        password: str | None = None,
        timeout: float | None = 60,
        context: ssl.SSLContext | None = None,
        key_file: str | None = None,
        cert_file: str | None = None,
        ca_file: str | None = None,
        line: Line | None = None,
        enforce_verification: bool = False,
    ) -> None:
        super().__init__()
        self._line = line or Line("https")
        self._timeout = timeout
        self._login = (username, password)
        self._cookie: str | None = None
        self._is_kept = False
        transport = self._line.transport
        port = int(port or PORTS[transport])
        if transport.startswith("https"):
            if transport == "https_certs":
                context = _context_of_files(key_file, cert_file, ca_file)
            elif context is None and not enforce_verification:
                context = ssl._create_unverified_context()  # noqa: S323, SLF001 - as pyeapi and its operators mean it
            self.transport: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, port, context=context
            )
        else:
            self.transport = http.client.HTTPConnection(host, port)
        self.transport.response_class = partial(_Response, self._line, timeout)  # type: ignore[assignment]
        if transport != "https_certs":
            self.authentication(username, password)

    def __str__(self) -> str:
        return f"{self._line.transport}://{self.transport.host}:{self.transport.port}"

    def execute(self, commands: list[Any], encoding: str = "json", **options: Any) -> Any:
        """Return the decoded answers, or what the line's tap hands on of them. Raises what `ask` raises."""
        tap = self._line.tap
        if tap is None:
            return super().execute(commands, encoding, **options)
        return {"result": tap.hand_on(commands, lambda: self.ask(commands))}

    def send(self, data: str) -> Any:
        """Return the decoded answer to a request, as pyeapi does. Raises what `ask` raises."""
        return {
            "result": [
                decoding.read(value, object)
                for value in decoding.decoded(self._post(data, decoding.MAX_OTHER_BYTES))
            ]
        }

    def ask(self, commands: list[Any]) -> list[msgspec.Raw]:
        """Return the JSON that each command is answered with.

        Raises OSError and http.client.HTTPException for a connection that fails, TimeoutError for one that is too slow,
        NotEapiError, LoginRefusedError and CommandRefusedError.
        """
        return decoding.decoded(
            self._post(self.request(commands, encoding="json"), decoding.MAX_ANSWER_BYTES)
        )

    def close(self) -> None:
        """Close the connection; the next request opens a new one. May be called from another thread."""
        if self._is_kept:
            self._is_kept = False
            _KEPT.release()
        sock = self.transport.sock
        if sock is not None:
            with contextlib.suppress(OSError):
                # Wakes a thread that waits for an answer.
                sock.shutdown(socket.SHUT_RDWR)
        self.transport.close()

    def _post(self, data: str, limit: int) -> bytearray:
        is_session = self._line.transport.endswith("_session")
        for is_last in (False, True):
            if is_session and self._cookie is None:
                self._log_in()
            status, content = self._exchange(_PATH, data, limit)
            if status != http.client.UNAUTHORIZED:
                break
            # A session ends after a while, even between two requests of a look.
            self._cookie = None
            if not is_session or is_last:
                raise LoginRefusedError
        if status != http.client.OK:
            raise NotEapiError(status)
        return content

    def _log_in(self) -> None:
        username, password = self._login
        body = json.dumps({"username": username, "password": password})
        status, _ = self._exchange("/login", body, decoding.MAX_OTHER_BYTES)
        if status in {http.client.UNAUTHORIZED, http.client.FORBIDDEN}:
            raise LoginRefusedError
        if status != http.client.OK or self._cookie is None:
            raise NotEapiError(status)

    def _exchange(self, path: str, body: str, limit: int) -> tuple[int, bytearray]:
        is_reused = self.transport.sock is not None
        try:
            return self._exchange_once(path, body, limit)
        except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            # Idle for a while, it was closed by the device, which is its right.
            if not is_reused:
                raise
            return self._exchange_once(path, body, limit)

    def _exchange_once(self, path: str, body: str, limit: int) -> tuple[int, bytearray]:
        is_done = False
        try:
            left = self._line.left(self._timeout)
            if self.transport.sock is None:
                self.transport.timeout = left
                self.transport.connect()
                _keep_alive(self.transport.sock)
                self._line.check_certificate(self.transport.sock)
            self.transport.sock.settimeout(self._line.left(self._timeout))
            self.transport.putrequest("POST", path)
            self.transport.putheader("Content-type", "application/json")
            content = body.encode()
            self.transport.putheader("Content-length", str(len(content)))
            if path == _PATH and self._cookie is not None:
                self.transport.putheader("Cookie", self._cookie)
            elif path == _PATH and self._auth:
                self.transport.putheader(*self._auth)
            self.transport.endheaders(message_body=content)
            response = self.transport.getresponse()
            answer = response.read_within(limit)  # type: ignore[attr-defined]
            if path != _PATH:
                self._cookie = _cookie_of(response)
            is_done = not response.will_close
        except TimeoutError:
            # Rather say that the deadline is over than that a socket's share of it is.
            self._line.left(None)
            raise
        else:
            return response.status, answer
        finally:
            if not (is_done and self._may_keep()):
                self.close()

    def _may_keep(self) -> bool:
        if not self._is_kept:
            self._is_kept = _KEPT.acquire(blocking=False)
        return self._is_kept


class _Response(http.client.HTTPResponse):
    """Reads head and body under the deadline, and the body up to a size."""

    def __init__(self, line: Line, timeout: float | None, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(_Timed(line, timeout, sock), *args, **kwargs)  # type: ignore[arg-type]

    def read_within(self, limit: int) -> bytearray:
        """Return the body. Raises AnswerTooLargeError, TimeoutError and IncompleteRead."""
        # http.client counts it down, and does not mind when the connection ends before it is 0.
        announced = self.length
        body = bytearray()
        if announced is not None and announced > limit:
            raise decoding.too_large(limit)
        while piece := self.read1(_PIECE):
            body += piece
            if len(body) > limit:
                raise decoding.too_large(limit)
        if announced is not None and len(body) < announced:
            raise http.client.IncompleteRead(b"", announced - len(body))
        # Otherwise the connection would wait for a reader.
        self.close()
        return body


class _Timed:
    """A socket of which http.client makes its file. A socket's own timeout is one for each piece."""

    def __init__(self, line: Line, timeout: float | None, sock: Any) -> None:
        self._line, self._timeout, self._sock = line, timeout, sock

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self._line, self._timeout, self._sock, mode), _PIECE)


class _TimedReader(io.RawIOBase):
    def __init__(self, line: Line, timeout: float | None, sock: Any, mode: str) -> None:
        self._line, self._timeout, self._sock = line, timeout, sock
        self._file = sock.makefile(mode, buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._line.left(self._timeout))
        read: int | None = self._file.readinto(buffer)
        return read

    def close(self) -> None:
        self._file.close()
        super().close()


def _cookie_of(response: http.client.HTTPResponse) -> str | None:
    try:
        return (
            SimpleCookie(response.getheader("Set-Cookie") or "").output(header="", attrs=[], sep=";").strip()
            or None
        )
    except CookieError:
        return None


def _context_of_files(key_file: str | None, cert_file: str | None, ca_file: str | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED if ca_file else ssl.CERT_NONE
    if ca_file:
        context.load_verify_locations(cafile=ca_file)
    if cert_file:
        context.load_cert_chain(cert_file, key_file)
    return context


def _keep_alive(sock: Any) -> None:
    """Let the kernel detect that a device or a firewall has dropped an idle connection."""
    with contextlib.suppress(OSError, AttributeError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3)):
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def _most_kept() -> int:
    """Return half the files that the process may have open: a large fleet would use up all of them."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft // 2 if soft != resource.RLIM_INFINITY else 1 << 20


_KEPT = threading.Semaphore(_most_kept())
"""One for each connection that is kept open between requests."""
