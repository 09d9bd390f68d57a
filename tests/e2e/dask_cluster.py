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

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from distributed import Client, Security

from dzbgp.lab.eos.tls import _builder, _name

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
        words = [
            "dask_worker",
            self.address,
            "--no-nanny",
            "--nthreads",
            "1",
            "--no-dashboard",
            "--name",
            name,
        ]
        words += [
            "--host",
            "127.0.0.1",
            "--local-directory",
            str(self.directory / name),
            "--memory-limit",
            "0",
        ]
        if self.security:
            words += ["--protocol", "tls"]
        process = started(self.directory / f"{name}.log", words, {**self.security, **env})
        self.workers.append(process)
        return process

    def kill_worker(self, number: int) -> None:
        """Ends a worker as a power cut does."""
        self.workers[number].send_signal(signal.SIGKILL)
        self.workers[number].wait(START_S)

    def wait_for(self, count: int) -> None:
        """Waits until so many workers have joined."""
        with Client(self.address, security=self._tls(), set_as_default=False) as client:
            client.wait_for_workers(count, timeout=START_S)

    def _tls(self) -> Security | None:
        if not self.security:
            return None
        ca_file, cert, key = (
            self.security[f"DASK_DISTRIBUTED__COMM__TLS__{name}"]
            for name in ("CA_FILE", "CLIENT__CERT", "CLIENT__KEY")
        )
        return Security(
            tls_ca_file=ca_file, tls_client_cert=cert, tls_client_key=key, require_encryption=True
        )

    def said(self) -> str:
        """All that its processes have written."""
        return "".join(file.read_text() for file in sorted(self.directory.glob("*.log")))


def tls_files(directory: Path) -> dict[str, str]:
    """Make a CA and one certificate for everybody; return Dask's configuration of them as environment variables."""
    key, ca_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer, subject = _name("a CA"), _name("a cluster")
    ca, leaf = (
        _builder(name, issuer, public)
        .add_extension(x509.BasicConstraints(ca=name is issuer, path_length=None), critical=True)
        .sign(ca_key, hashes.SHA256())
        for name, public in ((issuer, ca_key.public_key()), (subject, key.public_key()))
    )
    pem = serialization.Encoding.PEM
    ca_file, cert, key_file = (directory / name for name in ("ca.pem", "cert.pem", "key.pem"))
    ca_file.write_bytes(ca.public_bytes(pem))
    cert.write_bytes(leaf.public_bytes(pem))
    key_file.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    named = {"DASK_DISTRIBUTED__COMM__TLS__CA_FILE": str(ca_file)}
    for role in ("CLIENT", "SCHEDULER", "WORKER"):
        named[f"DASK_DISTRIBUTED__COMM__TLS__{role}__CERT"] = str(cert)
        named[f"DASK_DISTRIBUTED__COMM__TLS__{role}__KEY"] = str(key_file)
    return named


@contextmanager
def cluster(
    directory: Path,
    workers: int,
    security: Mapping[str, str] | None = None,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Cluster]:
    """Starts a cluster, over TLS with `security`, and ends its processes. `settings`: the scheduler's variables."""
    directory.mkdir(parents=True, exist_ok=True)
    found = directory / "scheduler.json"
    words = ["dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    words += ["--scheduler-file", str(found), *(["--protocol", "tls"] if security else [])]
    scheduler = started(directory / "scheduler.log", words, {**(security or {}), **(settings or {})})
    running = Cluster("", directory, security or {}, scheduler)
    try:
        running.address = address_in(found, scheduler)
        for _ in range(workers):
            running.add_worker()
        if workers:
            running.wait_for(workers)
        yield running
    finally:
        for process in (*running.workers, scheduler):
            process.kill()
        for process in (*running.workers, scheduler):
            process.wait(START_S)


def started(log: Path, words: list[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DZBGP_", "DASK_"))}
    path = [*filter(None, [env.get("PYTHONPATH")]), str(HERE), str(HERE.parents[1])]
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{words[0]}", *words[1:]],
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**kept, **env, "PYTHONPATH": os.pathsep.join(path)},
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
