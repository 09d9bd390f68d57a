"""A real Dask cluster of processes on 127.0.0.1: one scheduler, and workers with one thread each."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from distributed import Client

START_S = 60
HERE = Path(__file__).resolve().parent


@dataclass
class Cluster:
    """A running cluster; its processes write into `directory`."""

    address: str
    directory: Path
    security: Mapping[str, str]
    """Dask's configuration of TLS, as environment variables; empty without TLS."""
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def add_worker(self, **env: str) -> subprocess.Popen[bytes]:
        """Starts one more worker, with these variables too."""
        name = f"w{len(self.workers)}"
        words = ["dask_worker", self.address, "--no-nanny", "--nthreads", "1", "--no-dashboard", "--name", name]
        words += ["--host", "127.0.0.1", "--local-directory", str(self.directory / name), "--memory-limit", "0"]
        if self.security:
            words += ["--protocol", "tls"]
        process = started(self.directory / f"{name}.log", words, self.security | env)
        self.workers.append(process)
        return process

    def kill_worker(self, number: int) -> None:
        """Ends a worker as a power cut does."""
        self.workers[number].send_signal(signal.SIGKILL)
        self.workers[number].wait(START_S)

    def wait_for(self, count: int) -> None:
        """Waits until so many workers have joined."""
        with Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(count, timeout=START_S)

    def said(self) -> str:
        """All that its processes have written."""
        return "".join(file.read_text() for file in sorted(self.directory.glob("*.log")))


@contextmanager
def cluster(directory: Path, workers: int, security: Mapping[str, str] | None = None) -> Iterator[Cluster]:
    """Starts a cluster, over TLS with `security`, and ends its processes."""
    directory.mkdir(parents=True, exist_ok=True)
    found = directory / "scheduler.json"
    words = ["dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    words += ["--scheduler-file", str(found), *(["--protocol", "tls"] if security else [])]
    scheduler = started(directory / "scheduler.log", words, security or {})
    running = Cluster("", directory, security or {}, scheduler)
    try:
        running.address = address_in(found, scheduler)
        for _ in range(workers):
            running.add_worker()
        running.wait_for(workers)
        yield running
    finally:
        for process in (*running.workers, scheduler):
            process.kill()
        for process in (*running.workers, scheduler):
            process.wait(START_S)


def started(log: Path, words: list[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{words[0]}", *words[1:]],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(HERE), **env},
        )


def address_in(file: Path, scheduler: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert scheduler.poll() is None, "the scheduler has ended"
        try:
            return str(json.loads(file.read_text())["address"])
        except (OSError, ValueError, KeyError):
            time.sleep(0.05)
    raise AssertionError("the scheduler does not listen")
