"""The program itself, as it is started on the simulated machine: its commands' own code from the request on."""

import signal
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simulation import kernel as virtual

virtual.install()

import anyio.from_thread  # noqa: E402 - first the primitives, then what binds them
import httpx2  # noqa: E402
import httpx2._client  # noqa: E402

anyio.from_thread.start_blocking_portal = virtual.start_blocking_portal  # type: ignore[assignment]

from dzbgp.console.formats import Output  # noqa: E402
from dzbgp.decision.rules import Rules  # noqa: E402
from dzbgp.eos import connection  # noqa: E402
from dzbgp.errors import DzbgpError, ExitCode  # noqa: E402
from dzbgp.models.report import Report  # noqa: E402
from dzbgp.report.delivery import rendered  # noqa: E402
from dzbgp.report.summary import exit_code_of  # noqa: E402
from dzbgp.run import once, service, setup  # noqa: E402
from dzbgp.run.request import Commitment, WatchRequest  # noqa: E402
from simulation import rpc  # noqa: E402
from simulation.devices import Connection, fleet_inventory  # noqa: E402
from simulation.kernel import Killed, Process  # noqa: E402
from simulation.schedule import CONFIRM_DOWN_S  # noqa: E402
from simulation.world import World, connect, keypair_file  # noqa: E402


@dataclass
class Ended:
    """How a process ended."""

    process: Process
    started: float
    at: float
    code: int | None
    """None: it was killed."""
    words: str = ""
    report: Report | None = None
    fault: BaseException | None = None
    """What nobody caught."""


@dataclass
class Program:
    """Starts the program, and tells how it ended."""

    world: World
    on_end: Callable[[Ended], None]
    started: int = 0

    def request(self) -> WatchRequest:
        """Return what an operator asks for."""
        world = self.world
        return WatchRequest(
            inventory=world.directory,
            env="localnet",
            rpc_urls=world.pool.urls,
            keypairs=(keypair_file(world),),
            commitment=Commitment(world.schedule.commitment),
            rules=Rules(down_grace_period_s=world.schedule.grace_s),
            confirm_down_s=CONFIRM_DOWN_S,
            state=world.directory / "state.sqlite",
            interval_s=world.schedule.interval_s,
        )

    def run(self) -> Process:
        """Start `dzbgp run`."""
        return self._start("run", lambda: once.run_once(self.request()))

    def watch(self) -> Process:
        """Start `dzbgp watch`."""

        def work() -> None:
            service.watch_fleet(self.request())

        return self._start("watch", work)

    def _start(self, name: str, work: Callable[[], Report | None]) -> Process:
        kernel = self.world.kernel
        self.started += 1
        process = Process(f"{name}-{self.started}")
        self.world.processes.append(process)
        started = kernel.now

        def main() -> None:
            ended = Ended(process, started, 0.0, None)
            try:
                ended.report = work()
                ended.code = (
                    0 if ended.report is None else int(exit_code_of(ended.report, changes_count=False))
                )
                if ended.report is not None:
                    ended.words = rendered(ended.report, Output.JSON, show_all=True)
            except DzbgpError as error:
                ended.code, ended.words = int(error.exit_code), f"error: {error}"
            except KeyboardInterrupt:
                ended.code, ended.words = (
                    int(ExitCode.COULD_NOT_RUN),
                    "error: interrupted; nothing was written",
                )
            except Killed:
                ended.code = None
            except Exception as error:  # noqa: BLE001 - a finding
                ended.code, ended.fault = int(ExitCode.COULD_NOT_RUN), error
            if process.is_dead:
                ended.code = None
            ended.at = kernel.now
            process.is_dead = True
            self.world.processes.remove(process)
            kernel.at(kernel.now, lambda: self.on_end(ended))

        def interrupted() -> None:
            raise KeyboardInterrupt

        process.handlers["term"] = interrupted
        kernel.spawn(main, process.name, process)
        return process


class _Simulation:
    """The program that runs at present, for what is put in the place of functions."""

    world: World
    program: Program


def install() -> None:
    """Put the simulated machine under the program's libraries."""
    virtual.virtual_datetime(__import__("sys").modules)
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
        if process is not None and number == signal.SIGTERM and callable(handler):
            process.handlers["term"] = lambda: handler(number, None)
        return None

    machine.signal = handle
    connecting: Any = connection
    connecting.EosConnection = Connection
    loading: Any = setup
    loading.load_inventory = lambda *_: fleet_inventory(_Simulation.world.devices)


def at_work(world: World, program: Program) -> None:
    """Let this be the simulation that the program runs in."""
    _Simulation.world, _Simulation.program = world, program
