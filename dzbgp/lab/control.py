"""Change a running lab from another terminal: sessions that flap or fail, a ledger that is frozen."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from dzbgp.errors import LabError, UsageError
from dzbgp.lab.lab import Lab

SOCKET = "control.sock"
"""Where a lab listens, in its directory."""
FLAP_S = 3.0
ACTIONS = "flap HOST [PEER], mass-down HOST, recover HOST, rpc freeze, rpc thaw"

_PATIENCE_S = 30
_MOST = 4096


class _Control:
    """The actions of a running lab."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._down: dict[str, list[str]] = {}
        self._codes = {name: spec.code for spec in lab.world.devices for name in (spec.host, spec.code)}

    def do(self, words: Sequence[str]) -> str:
        """Do what `words` say and return what was done. Raises UsageError."""
        match list(words):
            case ["flap", host]:
                return self._flap(host, None)
            case ["flap", host, peer]:
                return self._flap(host, peer)
            case ["mass-down", host]:
                return self._mass_down(host)
            case ["recover", host]:
                return self._recover(host)
            case ["rpc", "freeze"]:
                self._lab.ledger.freeze()
                return "the RPC's ledger is frozen now"
            case ["rpc", "thaw"]:
                self._lab.ledger.thaw()
                return "the RPC's ledger runs again"
        raise UsageError(f"unknown action {' '.join(words)!r}: expected one of {ACTIONS}")

    def _flap(self, host: str, peer: str | None) -> str:
        code = self._code(host)
        up = self._established(code)
        if peer is None and up:
            peer = up[0]
        if peer not in up:
            raise UsageError(f"{host}: no session with {peer or 'a user'} is Established")
        self._lab.fleet.set_state(code, peer, "Active")
        timer = threading.Timer(FLAP_S, self._lab.fleet.set_state, (code, peer, "Established"))
        timer.daemon = True
        timer.start()
        return f"{host}: the session with {peer} is down, and back in {FLAP_S:g} s"

    def _mass_down(self, host: str) -> str:
        code = self._code(host)
        peers = self._established(code)
        for peer in peers:
            self._lab.fleet.set_state(code, peer, "Active")
        self._down.setdefault(code, []).extend(peers)
        return f"{host}: {len(peers)} sessions are down"

    def _recover(self, host: str) -> str:
        code = self._code(host)
        peers = self._down.pop(code, [])
        for peer in peers:
            self._lab.fleet.set_state(code, peer, "Established")
        return f"{host}: {len(peers)} sessions are back"

    def _established(self, code: str) -> list[str]:
        """Return the users' neighbors whose session is up."""
        peers = self._lab.fleet.device(code).peers
        return [
            one.address for one in peers if one.state == "Established" and one.description.startswith("USER-")
        ]

    def _code(self, host: str) -> str:
        if host not in self._codes:
            raise UsageError(f"unknown host {host!r}: expected one of {', '.join(sorted(self._codes))}")
        return self._codes[host]


@contextlib.contextmanager
def controlled(lab: Lab, directory: Path) -> Iterator[None]:
    """Let `send` reach the lab while inside. Raises LabError."""
    path = directory / SOCKET
    with contextlib.ExitStack() as stack:
        try:
            listening = stack.enter_context(socket.socket(socket.AF_UNIX))
            path.unlink(missing_ok=True)
            listening.bind(str(path))
            path.chmod(0o600)
            listening.listen()
        except OSError as error:
            raise LabError(
                f"{path}: {error.strerror or error}; expected a shorter --dir that can be written to"
            ) from None
        stack.callback(path.unlink, missing_ok=True)
        threading.Thread(
            target=_serve, args=(listening, _Control(lab).do), name="dzbgp-lab-control", daemon=True
        ).start()
        yield


def _serve(listening: socket.socket, do: Callable[[Sequence[str]], str]) -> None:
    while True:
        try:
            client, _ = listening.accept()
        except OSError:
            return
        with client, contextlib.suppress(OSError, ValueError, TypeError):
            client.settimeout(_PATIENCE_S)
            try:
                answer = {"done": do(json.loads(client.recv(_MOST)))}
            except UsageError as error:
                answer = {"error": str(error)}
            client.sendall(json.dumps(answer).encode())


def send(directory: Path, words: Sequence[str]) -> str:
    """Tell the lab of `directory` to do something; return what it did. Raises LabError and UsageError."""
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(_PATIENCE_S)
            line.connect(str(directory / SOCKET))
            line.sendall(json.dumps(list(words)).encode())
            answer = json.loads(line.recv(_MOST))
    except (OSError, ValueError):
        raise LabError(f"--dir {directory}: no lab is running there; start one with `dzbgp lab`") from None
    if "error" in answer:
        raise UsageError(answer["error"])
    return str(answer["done"])
