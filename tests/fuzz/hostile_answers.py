"""As a script: read one hostile answer, as large as can be, from 20 devices at once; print the process's peak in MiB.

python hostile_answers.py KIND, one of KINDS.
"""

import contextlib
import os
import resource
import socket
import sys
import threading
from typing import Any

from dzbgp.eos import bgp, eapi
from dzbgp.eos.connection import OddAnswerError
from dzbgp.eos.deadline import Deadline

WORKERS = 20
KINDS: dict[str, bytes] = {
    "lists": b"[],",
    "numbers": b"1,",
    "objects": b"{},",
    "nested": b"[" * 900 + b"]" * 900 + b",",
    "no number": b'{"peerAddress":"10.0.0.1","state":"Idle","a":NaN},',
    "text": b'"' + b"x" * (eapi.MAX_ANSWER_BYTES // 2) + b'",',
}
_HEAD = b'{"jsonrpc":"2.0","result":[{},{"vrfs":{}},{"vrfs":{"vrf1":{"peerList":['
_TAIL = b"1]}}}]}"


def answer(kind: str) -> bytes:
    """Return a JSON text of exactly the size that is taken in, of as many values as are taken in."""
    unit = KINDS[kind]
    values = sum(unit.count(mark) for mark in (b",", b"[", b"{"))
    size = eapi.MAX_ANSWER_BYTES - len(_HEAD) - len(_TAIL)
    body = _HEAD + unit * min(size // len(unit), (eapi.MAX_VALUES - 100) // values) + _TAIL
    return body + b" " * (eapi.MAX_ANSWER_BYTES - len(body))


class _Connection:
    """Stands where NAPALM's connection is."""

    def __init__(self, port: int) -> None:
        line = eapi.Line("http", Deadline(120))
        self._line = eapi.Eapi("127.0.0.1", port, "u", "p", timeout=120, line=line)

    def ask(self, commands: list[str]) -> list[Any]:
        return self._line.ask(["enable", *commands])[1:]


def _serve(listening: socket.socket, body: bytes) -> None:
    def reply(client: socket.socket) -> None:
        with client:
            while b"runCmds" not in client.recv(65536):
                pass
            client.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            client.recv(1)

    while True:
        client, _ = listening.accept()
        threading.Thread(target=reply, args=(client,), daemon=True).start()


def _read(port: int) -> None:
    with contextlib.suppress(OddAnswerError):
        bgp.read_bgp(_Connection(port))  # type: ignore[arg-type]


def main(kind: str) -> None:
    listening = socket.create_server(("127.0.0.1", 0), backlog=WORKERS)
    child = os.fork()
    if child == 0:
        # The answer is not part of what is measured.
        _serve(listening, answer(kind))
    port = listening.getsockname()[1]
    threads = [threading.Thread(target=_read, args=(port,)) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.kill(child, 9)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)  # noqa: T201 - the result


if __name__ == "__main__":
    main(sys.argv[1])
