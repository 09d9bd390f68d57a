"""As a script: read one hostile answer, as large as can be, from 20 devices at once; print the process's peak in MiB.

python hostile_answers.py KIND, one of KINDS.
"""

import contextlib
import os
import resource
import socket
import sys
import threading

from dzbgp.eos import bgp, decoding
from dzbgp.eos.connection import EosConnection, OddAnswerError
from dzbgp.eos.deadline import Deadline
from dzbgp.eos.getter import read_bgp

WORKERS = 20
_PEER = (
    b'{"peerAddress":"10.0.0.1","state":"Idle","idleReason":"No path","asn":"65000","localAsn":"65342",'
    b'"routerId":"0.0.0.0","prefixesReceived":0,"prefixesSent":0,"v6PrefixesReceived":0,"v6PrefixesSent":0,"a":NaN},'
)
KINDS: dict[str, bytes] = {
    "lists": b"[],",
    "numbers": b"1,",
    "objects": b"{},",
    "nested": b"[" * 900 + b"]" * 900 + b",",
    "no number": b'{"peerAddress":"10.0.0.1","state":"Idle","a":NaN},',
    "text": b'"' + b"x" * (decoding.MAX_ANSWER_BYTES // 2) + b'",',
    "neighbors": _PEER,
    "ipv6": _PEER,
    "vrfs": b'"vrf%d":{},',
}
_HEAD = b'{"jsonrpc":"2.0","result":[{},{"vrfs":{}},'
_LIST = b'{"vrfs":{"vrf1":{"peerList":['
_END = b"1]}}}"


def answer(kind: str, has_ipv6: bool) -> bytes:
    """Return a JSON text of exactly the size that is taken in, of as many values as are taken in.

    `has_ipv6`: the answer to the four commands of NAPALM's getter, else to the two about IPv4.
    """
    unit = KINDS[kind]
    values = sum(unit.count(mark) for mark in (b",", b"[", b"{"))
    count = min(decoding.MAX_ANSWER_BYTES // len(unit) - 100, (decoding.MAX_VALUES - 100) // values)
    if kind == "vrfs":
        hostile = b'{"vrfs":{' + b"".join(unit % number for number in range(count)) + b'"vrf":{}}}'
    elif unit == _PEER:
        # As many as are read, each to the end.
        hostile = _LIST + (unit * bgp.MAX_NEIGHBORS)[:-1] + b"]}}}"
    else:
        hostile = _LIST + unit * count + _END
    empty = b'{"vrfs":{"vrf1":{"routerId":"10.0.0.2","peerList":[]}}}'
    answers = [hostile]
    if has_ipv6:
        answers = [empty, empty, hostile] if kind == "ipv6" else [empty, hostile, empty]
    body = _HEAD + b",".join(answers) + b"]}"
    assert len(body) <= decoding.MAX_ANSWER_BYTES, len(body)
    return body + b" " * (decoding.MAX_ANSWER_BYTES - len(body))


def _serve(listening: socket.socket, kind: str) -> None:
    bodies = {has_ipv6: answer(kind, has_ipv6) for has_ipv6 in (True, False)}

    def reply(client: socket.socket) -> None:
        with client:
            while True:
                request = b""
                while not request.endswith(b"}"):
                    if not (piece := client.recv(65536)):
                        return
                    request += piece
                body = b'{"jsonrpc":"2.0","result":[{},{"version":"4.31.2F"}]}'
                if b"show version" not in request:
                    body = bodies[b"ipv6" in request]
                client.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

    while True:
        client, _ = listening.accept()
        threading.Thread(target=reply, args=(client,), daemon=True).start()


def _read(port: int) -> None:
    connection = EosConnection(Deadline(120))
    options = {"timeout": 120, "optional_args": {"transport": "http"}}
    connection.open("127.0.0.1", "u", "p", port, "eos", options)
    with contextlib.suppress(OddAnswerError):
        _SEEN.append(read_bgp(connection))


_SEEN: list[object] = []
"""What was read stays until the end, as in a pass."""


def main(kind: str) -> None:
    listening = socket.create_server(("127.0.0.1", 0), backlog=WORKERS)
    child = os.fork()
    if child == 0:
        # The answer is not part of what is measured.
        _serve(listening, kind)
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
