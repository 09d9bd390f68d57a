"""A run, and a steady pass of a watch, over devices that are 150 ms away, beside a bare Nornir with napalm_get."""

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import ruamel.yaml
from goals import Row, Table
from rig import Rig, rig

from dzbgp.console.progress import NoProgress
from dzbgp.lab.http import LoopThread
from dzbgp.ledger.session import LedgerSession, SessionOptions
from dzbgp.run.job import run_pass
from dzbgp.run.request import PassOptions

DEVICES, USERS, WORKERS = 40, 64, 40
ROUND_TRIP_S = 0.15
ROUNDS = 3


def bench() -> Table:
    with (
        tempfile.TemporaryDirectory() as directory,
        rig(Path(directory) / "near", DEVICES, USERS) as near,
        far_away(near, Path(directory) / "far") as far,
    ):
        bare = statistics.median(timed(partial(far.bare_get, WORKERS)) for _ in range(ROUNDS))
        run = statistics.median(timed(partial(far.dry_run, WORKERS)) for _ in range(ROUNDS))
        steady = steady_pass(far)
    table = Table(
        f"Far away: {DEVICES} devices behind {ROUND_TRIP_S * 1000:.0f} ms of round trip, {USERS} users each",
        f"medians of {ROUNDS}; every TCP and TLS handshake costs its round trips; {WORKERS} workers; ours with the "
        "ledger's data, decisions and the report",
    )
    table.rows = [
        Row("bare napalm_get", f"{bare:.2f} s, {bare / ROUND_TRIP_S:.1f} round trips"),
        Row("dry run", f"{run:.2f} s, {run / ROUND_TRIP_S:.1f} round trips"),
        Row("dry run / bare napalm_get", f"{run / bare:.2f} x", "0.7 x", run / bare <= 0.7),
        Row("steady pass of a watch", f"{steady:.2f} s, {steady / ROUND_TRIP_S:.1f} round trips"),
        Row("steady pass / bare napalm_get", f"{steady / bare:.2f} x", "0.3 x", steady / bare <= 0.3),
    ]
    return table


def timed(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def steady_pass(place: Rig) -> float:
    """The median of the passes of a watch after its first one."""
    options = PassOptions(dry_run=True)
    with place.fleet(WORKERS) as fleet, LedgerSession(place.network, SessionOptions()) as session:

        def one_pass() -> None:
            place.whole(run_pass(fleet, session, options, NoProgress()))

        one_pass()
        return statistics.median(timed(one_pass) for _ in range(ROUNDS))


@contextmanager
def far_away(near: Rig, directory: Path) -> Iterator[Rig]:
    """The same devices, each behind a proxy that adds the round trip, in a process of its own."""
    directory.mkdir()
    yaml = ruamel.yaml.YAML(typ="safe")
    contents = {
        file.name: yaml.load(file.read_text(encoding="utf-8")) for file in near.inventory.glob("*.yaml")
    }
    hosts = contents["hosts.yaml"]
    words = [f"{host['hostname']}:{host['port']}" for host in hosts.values()]
    process = subprocess.Popen(
        [sys.executable, __file__, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # What is still open at the end complains.
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        for host, port in zip(hosts.values(), process.stdout.readline().split(), strict=True):
            host |= {"hostname": "127.0.0.1", "port": int(port)}
        for name, content in contents.items():
            with (directory / name).open("w", encoding="utf-8") as stream:
                yaml.dump(content, stream)
        yield replace(near, inventory=directory)
    finally:
        process.communicate(timeout=60)


def main(words: list[str]) -> None:
    """Print the ports of the proxies of these ADDRESS:PORTs, and go on until the standard input ends."""
    loop = LoopThread("far")
    ports = []
    for word in words:
        address, _, port = word.partition(":")
        ports.append(str(loop.call(_proxy(address, int(port)))))
    print(" ".join(ports), flush=True)  # noqa: T201 - the answer
    sys.stdin.read()


async def _proxy(address: str, port: int) -> int:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The kernel has accepted the client at once: its handshake's round trip is waited for here.
        await asyncio.sleep(ROUND_TRIP_S)
        device_reader, device_writer = await asyncio.open_connection(address, port)
        await asyncio.gather(_late(reader, device_writer), _late(device_reader, writer))

    server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=1024)
    number: int = server.sockets[0].getsockname()[1]
    return number


async def _late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    loop = asyncio.get_running_loop()
    while data := await reader.read(65536):
        loop.call_later(ROUND_TRIP_S / 2, writer.write, data)
    loop.call_later(ROUND_TRIP_S / 2, writer.close)


if __name__ == "__main__":
    main(sys.argv[1:])
