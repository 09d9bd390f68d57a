"""The eAPI connection: one for all requests, opened again once when the device closed it, and under one deadline."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from dzbgp.eos import decoding, eapi
from dzbgp.eos.deadline import Deadline, DeadlineError
from dzbgp.eos.decoding import CommandRefusedError, NotEapiError
from dzbgp.eos.eapi import Eapi, Line, LoginRefusedError

Answer = Callable[[socket.socket, bytes, int], None]
"""Called with the connection, the request and how many requests came before it on this connection."""


class Device:
    """A device whose every connection is answered by `answer`, one request after the other."""

    def __init__(self, answer: Answer) -> None:
        self.connections = 0
        self.requests: list[bytes] = []
        self.stopped = threading.Event()
        self._answer = answer
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.stopped.set()
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            count = 0
            while request := _request(client):
                self.requests.append(request)
                self._answer(client, request, count)
                count += 1


def _request(client: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        if not (piece := client.recv(65536)):
            return b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
    )
    while len(body) < length:
        body += client.recv(65536)
    return head + b"\r\n\r\n" + body


@contextmanager
def device(answer: Answer) -> Iterator[Device]:
    one = Device(answer)
    try:
        yield one
    finally:
        one.close()


def reply(client: socket.socket, body: Any, status: str = "200 OK", head: str = "") -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    client.sendall(f"HTTP/1.1 {status}\r\ncontent-length: {len(content)}\r\n{head}\r\n".encode() + content)


def right(client: socket.socket, _request: bytes, _count: int) -> None:
    reply(client, {"jsonrpc": "2.0", "id": "1", "result": [{"n": 1}]})


def ask(one: Device, transport: str = "http", seconds: float = 10) -> Eapi:
    return Eapi("127.0.0.1", one.port, "u", "p", timeout=10, line=Line(transport, Deadline(seconds)))


def test_all_requests_go_over_one_connection() -> None:
    with device(right) as one:
        connection = ask(one)
        for _ in range(5):
            assert [bytes(answer) for answer in connection.ask(["show version"])] == [b'{"n": 1}']
        assert connection.send(connection.request(["show version"], encoding="json")) == {
            "result": [{"n": 1}]
        }
        assert (one.connections, len(one.requests)) == (1, 6)
        connection.close()


def test_one_that_the_device_closed_while_it_was_idle_is_opened_anew_once() -> None:
    def closing(client: socket.socket, request: bytes, count: int) -> None:
        right(client, request, count)
        client.close()

    with device(closing) as one:
        connection = ask(one)
        for _ in range(3):
            assert connection.ask(["show version"])
        assert (one.connections, len(one.requests)) == (3, 3)


def test_a_new_connection_that_is_closed_without_an_answer_is_a_failure() -> None:
    with device(lambda client, *_: client.close()) as one, pytest.raises(ConnectionResetError):
        ask(one).ask(["show version"])
    assert one.connections == 1


def test_a_device_that_wants_the_connection_closed_gets_a_new_one_for_each_request() -> None:
    with device(lambda client, *_: reply(client, {"result": [{}]}, head="connection: close\r\n")) as one:
        connection = ask(one)
        assert [connection.ask(["show version"]) != [] for _ in range(3)] == [True] * 3
        assert one.connections == 3


def test_beyond_half_of_the_open_files_no_connection_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eapi, "_KEPT", threading.Semaphore(1))
    with device(right) as one, device(right) as other:
        kept, closed = ask(one), ask(other)
        for connection in (kept, closed) * 2:
            connection.ask(["show version"])
        assert (one.connections, other.connections) == (1, 2)
        kept.close()
        closed.ask(["show version"])
        closed.ask(["show version"])
        assert other.connections == 3


DRIPS: dict[str, bytes] = {
    "head": b"HTTP/1.1 200 OK\r\nx: ",
    "body": b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n",
}


@pytest.mark.parametrize("part", DRIPS)
def test_a_device_that_drips_is_given_up_at_the_deadline(part: str) -> None:
    def drip(client: socket.socket, _request: bytes, _count: int) -> None:
        client.sendall(DRIPS[part])
        while not one.stopped.wait(0.02):
            client.sendall(b"x")

    with device(drip) as one, pytest.raises(DeadlineError):
        ask(one, seconds=0.3).ask(["show version"])


def test_a_device_that_drips_its_tls_handshake_is_given_up_at_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        line = Line("https", Deadline(0.3))
        connection = Eapi("127.0.0.1", listening.getsockname()[1], timeout=10, line=line)
        with pytest.raises(DeadlineError):
            connection.ask(["show version"])


def test_after_the_deadline_nothing_is_sent() -> None:
    with device(right) as one:
        connection = ask(one, seconds=0.0)
        with pytest.raises(DeadlineError):
            connection.ask(["show version"])
        assert one.requests == []


def test_another_thread_can_end_the_wait_for_an_answer() -> None:
    asked = threading.Event()
    with device(lambda *_: asked.set()) as one:
        connection = ask(one, seconds=600)
        failed: list[BaseException] = []

        def wait() -> None:
            try:
                connection.ask(["show version"])
            except (OSError, http.client.HTTPException) as error:
                # The latter if it was closed just before the wait began.
                failed.append(error)

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        assert asked.wait(10)
        connection.close()
        thread.join(10)
        assert failed


@pytest.mark.parametrize("status", ["500 Oops", "502 Bad Gateway", "404 Not Found", "301 Moved"])
def test_a_status_that_is_no_answer_is_told(status: str) -> None:
    with (
        device(lambda client, *_: reply(client, b"<html>", status)) as one,
        pytest.raises(NotEapiError, match=f"HTTP {status[:3]}"),
    ):
        ask(one).ask(["show version"])


@pytest.mark.parametrize("body", [b"<html>", b"", b"[]", b"{}", b'{"result": 5}', b'"x"', b"[" * 200_000])
def test_an_answer_that_is_no_eapi_is_told_with_its_status(body: bytes) -> None:
    with device(lambda client, *_: reply(client, body)) as one, pytest.raises(NotEapiError, match="HTTP 200"):
        ask(one).ask(["show version"])


@pytest.mark.parametrize(
    "error",
    [
        {"code": 1002, "message": "no", "data": [{}, {"errors": ["x"]}]},
        {"code": 1002, "message": "no", "data": ["a", "b"]},
        {"message": None},
        {},
    ],
)
def test_an_error_of_any_form_is_a_refused_command(error: Any) -> None:
    with (
        device(lambda client, *_: reply(client, {"error": error})) as one,
        pytest.raises(CommandRefusedError),
    ):
        ask(one).ask(["show version"])


def test_a_wrong_password_is_told() -> None:
    with device(lambda client, *_: reply(client, b"hunter2", "401 Unauthorized")) as one:
        with pytest.raises(LoginRefusedError) as raised:
            ask(one).ask(["show version"])
        assert "hunter2" not in str(raised.value)
        assert len(one.requests) == 1


class _Sessions:
    """A device with sessions, each of which ends after two requests."""

    def __init__(self) -> None:
        self.left = 0
        self.logins = 0

    def __call__(self, client: socket.socket, request: bytes, _count: int) -> None:
        if request.startswith(b"POST /login "):
            assert json.loads(request.partition(b"\r\n\r\n")[2]) == {"username": "u", "password": "p"}
            self.logins, self.left = self.logins + 1, 2
            reply(client, {}, head=f"set-cookie: Session=s{self.logins}; Path=/; HttpOnly\r\n")
        elif self.left and f"Cookie: Session=s{self.logins}\r\n".encode() in request:
            assert b"Authorization" not in request
            self.left -= 1
            right(client, request, 0)
        else:
            reply(client, b"", "401 Unauthorized")


def test_a_session_logs_in_once_and_again_when_it_has_expired() -> None:
    sessions = _Sessions()
    with device(sessions) as one:
        connection = ask(one, "http_session")
        for _ in range(5):
            assert connection.ask(["show version"])
        assert (sessions.logins, one.connections) == (3, 1)


def test_a_session_whose_login_is_refused_is_a_wrong_password() -> None:
    with (
        device(lambda client, *_: reply(client, b"", "401 Unauthorized")) as one,
        pytest.raises(LoginRefusedError),
    ):
        ask(one, "http_session").ask(["show version"])


def test_what_is_decoded_as_it_is_has_a_small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MAX_OTHER_BYTES", 1_000)
    with device(lambda client, *_: reply(client, {"result": ["x" * 2_000]})) as one:
        connection = ask(one)
        assert connection.ask(["show version"])
        with pytest.raises(decoding.AnswerTooLargeError):
            connection.send(connection.request(["show version"], encoding="json"))


def test_an_answer_of_too_many_values_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(decoding.AnswerTooLargeError, match="more than"):
        decoding.decoded(b'{"result": [%s]}' % (b"[]," * 800_000))


def test_the_clock_of_a_deadline_runs_from_its_making() -> None:
    deadline = Deadline(0.01)
    time.sleep(0.02)
    with pytest.raises(DeadlineError, match=r"no complete answer in 0\.01 s"):
        deadline.left()
