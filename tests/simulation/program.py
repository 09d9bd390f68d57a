"""The program itself, as it is started on the simulated machine: its own command line, from the words on."""

import io
import json
import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simulation import kernel as virtual

virtual.install()

import anyio.from_thread  # noqa: E402 - first the primitives, then what binds them
import httpx2  # noqa: E402
import httpx2._client  # noqa: E402

anyio.from_thread.start_blocking_portal = virtual.start_blocking_portal  # type: ignore[assignment]

import typer.main  # noqa: E402

import dzbgp.cli.app as command_line  # noqa: E402
from dzbgp.eos import connection  # noqa: E402
from dzbgp.run import once, service, setup  # noqa: E402, F401 - all that a command would import later
from simulation import rpc  # noqa: E402
from simulation.devices import Connection, fleet_inventory  # noqa: E402
from simulation.kernel import Killed, Process  # noqa: E402
from simulation.schedule import CONFIRM_DOWN_S  # noqa: E402
from simulation.world import World, connect, keypair_file  # noqa: E402


@dataclass
class Ended:
    """How a process ended."""

    process: Process
    code: int | None
    """None: it was killed."""
    stdout: str = ""
    fault: BaseException | None = None
    """What nobody caught."""

    @property
    def report(self) -> dict[str, Any] | None:
        """The report that it has printed, if it came to one."""
        try:
            report: dict[str, Any] = json.loads(self.stdout)
        except ValueError:
            return None
        return report


class _Left(Exception):  # noqa: N818 - no error
    """The process ends itself."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class Program:
    """Starts the program, and tells how it ended."""

    world: World
    on_end: Callable[[Ended], None]
    on_line: Callable[[str], None]
    """Told of each line on stderr."""
    started: int = 0

    def run(self) -> None:
        """Start `dzbgp run`."""
        self.start("run", ["--output", "json"])

    def watch(self) -> None:
        """Start `dzbgp watch`."""
        self.start("watch", ["--interval", f"{self.world.schedule.interval_s:g}s"])

    def _words(self) -> list[str]:
        """Return the options that both commands are given."""
        world, schedule = self.world, self.world.schedule
        options = {
            "--inventory": world.directory,
            "--env": "localnet",
            "--keypair": keypair_file(world),
            "--commitment": schedule.commitment,
            "--down-grace-period": f"{schedule.grace_s:g}s",
            "--confirm-down": f"{CONFIRM_DOWN_S:g}s",
        }
        words = [str(part) for option in options.items() for part in option]
        words += [part for url in world.pool.urls for part in ("--rpc-url", url)]
        return [*words, *(["-v"] if schedule.is_verbose else [])]

    def start(self, name: str, more: list[str], label: str = "") -> None:
        """Start a command with these options, and those that all are given."""
        kernel = self.world.kernel
        self.started += 1
        process = Process(f"{label or name}-{self.started}", kernel.now)
        self.world.processes.append(process)
        words = ["dzbgp", name, *self._words(), *more]
        ended = Ended(process, None)
        out = _Simulation.streams[process] = _Streams(self.on_line)

        def main() -> None:
            sys.argv[:] = words
            try:
                command_line.main()
            except _Left as left:
                ended.code = left.code
            except Killed:
                pass
            except BaseException as error:  # noqa: BLE001 - a finding
                ended.code, ended.fault = 1, error
            if process.is_dead:
                ended.code = None
            ended.stdout = out.stdout.getvalue()
            process.is_dead, process.ended_at = True, kernel.now
            self.world.processes.remove(process)
            kernel.at(kernel.now, lambda: self.on_end(ended))

        kernel.spawn(main, process.name, process)


class _Streams:
    """What a process prints."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self.stdout = io.StringIO()
        self._on_line = on_line
        self._begun = ""

    def error(self, text: str) -> None:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._on_line(line)


class _Stream(io.TextIOBase):
    """Stdout or stderr, each process its own."""

    def __init__(self, real: Any, *, is_error: bool) -> None:
        self._real, self._is_error = real, is_error

    def write(self, text: str) -> int:
        kernel = virtual.running()
        process = kernel.current.process if kernel is not None else None
        if process is None:
            return int(self._real.write(text))
        streams = _Simulation.streams[process]
        if self._is_error:
            streams.error(text)
        else:
            streams.stdout.write(text)
        return len(text)

    def fileno(self) -> int:
        return int(self._real.fileno())

    def flush(self) -> None:
        if virtual.running() is None:
            self._real.flush()


class _Simulation:
    """The program that runs at present, for what is put in the place of functions."""

    world: World
    streams: dict[Process, _Streams]


def install() -> None:
    """Put the simulated machine under the program's libraries."""
    virtual.virtual_datetime(sys.modules)
    client: Any = httpx2._client
    client.AsyncHTTPTransport = rpc.Transport
    httpx2.AsyncHTTPTransport = rpc.Transport  # type: ignore[misc, assignment]
    library: Any = sqlite3
    library.connect = connect
    machine: Any = signal
    real_signal = signal.signal

    def handle(number: int, handler: Any) -> Any:
        kernel = virtual.running()
        if kernel is None:
            return real_signal(number, handler)
        process = kernel.current.process
        name = {signal.SIGTERM: "term", signal.SIGHUP: "hup"}.get(signal.Signals(number))
        if process is not None and name is not None and callable(handler):
            process.handlers[name] = lambda: handler(number, None)
        return None

    machine.signal = handle
    connecting: Any = connection
    connecting.EosConnection = Connection
    loading: Any = setup
    loading.load_inventory = lambda *_: fleet_inventory(_Simulation.world.devices)
    # Built once; a process of its own would build it again.
    commands: Any = command_line
    command = typer.main.get_command(command_line.app)
    commands.app = lambda **how: command.main(sys.argv[1:], **how)

    def leave(code: int) -> None:
        raise _Left(code)

    commands._leave = leave
    sys.stdout, sys.stderr = _Stream(sys.stdout, is_error=False), _Stream(sys.stderr, is_error=True)


def at_work(world: World) -> None:
    """Let this be the simulation that the program runs in."""
    for name in ("STATE_DIRECTORY", "XDG_STATE_HOME", "HOME"):
        os.environ[name] = str(world.directory)
    _Simulation.world, _Simulation.streams = world, {}
