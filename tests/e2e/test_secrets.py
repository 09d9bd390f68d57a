"""Canaries for everything that is secret, and every output of runs that go well and runs that fail."""

import http.server
import json
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from e2e_lab import E2eLab, began, dzbgp, edited, ended, started_lab
from solders.keypair import Keypair

from dzbgp.lab.eos.fleet import DeviceFault
from dzbgp.lab.solana.faults import Fault
from dzbgp.lab.solana.faults import FaultKind as LedgerFault

PASSWORD = "canary-password-4711"
TOKENS = ("canary-login", "canary-secret", "canary-path-7f3a", "canary-query-91bc")
FORMATS = ("json", "markdown", "html", "junit", "table")
FAULTS = (
    DeviceFault.BAD_PASSWORD,
    DeviceFault.HTTP_500,
    DeviceFault.GARBAGE,
    DeviceFault.HANGUP,
    DeviceFault.REFUSE,
    DeviceFault.REFUSED_COMMAND,
    DeviceFault.TRUNCATED,
    DeviceFault.ODD_NEIGHBOR,
)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[E2eLab]:
    with started_lab(tmp_path, password=PASSWORD) as running:
        yield running


def with_canaries(url: str) -> str:
    login, secret, path, query = TOKENS
    return f"http://{login}:{secret}@{urlsplit(url).netloc}/{path}/rpc?api-key={query}"


def forms(keypair: Keypair) -> list[str]:
    """How a secret key may look: whole, or its secret half."""
    whole = bytes(keypair)
    integers = [str(byte) for byte in whole[:32]]
    texts = [str(keypair)]
    for secret in (whole, whole[:32]):
        texts += [secret.hex(), b64encode(secret).decode().rstrip("="), repr(secret)[2:-1]]
    return [*texts, ", ".join(integers), ",".join(integers), "\n".join(integers)]


def clean(lab: E2eLab | None, *texts: str) -> None:
    for text in texts:
        for canary in (*TOKENS, PASSWORD, b64encode(f"dzbgp:{PASSWORD}".encode()).decode()):
            assert canary not in text
        for keypair in lab.publishers.values() if lab else ():
            for form in forms(keypair):
                assert form not in text


def pointed(lab: E2eLab, url: str | None = None) -> list[str]:
    args = ["run", "--env", "localnet", "--inventory", str(lab.inventory), "--keypair", str(lab.keypairs)]
    return [*args, "--rpc-url", with_canaries(url or lab.ledger.url), "--refresh-interval", "6h"]


@pytest.mark.parametrize("more", [[], ["--verbose"], ["--verbose", "--output", "json"]])
def test_a_run_that_goes_well_shows_no_secret(lab: E2eLab, tmp_path: Path, more: list[str]) -> None:
    file = tmp_path / "report.json"
    done = dzbgp(tmp_path, *pointed(lab), *more, "--report-file", str(file))
    assert done.code == 3, done.err
    assert lab.ledger.stats().instructions_executed == len(lab.world.expected())
    clean(lab, done.out, done.err, file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("more", [[], ["--verbose"]])
def test_devices_that_fail_in_every_way_show_no_secret(lab: E2eLab, tmp_path: Path, more: list[str]) -> None:
    for spec, fault in zip(lab.world.devices, FAULTS, strict=True):
        lab.fleet.set_fault(spec.code, fault)
    file = tmp_path / "report.json"
    done = dzbgp(tmp_path, *pointed(lab), *more, "--report-file", str(file))
    assert done.code == 3, done.err
    report = json.loads(file.read_text(encoding="utf-8"))
    fault_of = {spec.host: fault for spec, fault in zip(lab.world.devices, FAULTS, strict=True)}
    odd = next(host for host, fault in fault_of.items() if fault is DeviceFault.ODD_NEIGHBOR)
    assert {device["host"]: device["result"] for device in report["devices"]} == {
        # One entry that cannot be parsed costs no other user's.
        host: "ok" if host == odd else "failed"
        for host in fault_of
    }
    assert any(note.startswith(f"{odd}: ") and "it has no state" in note for note in report["notes"])
    assert ("Traceback" in done.err) is bool(more)
    clean(lab, done.out, done.err, file.read_text(encoding="utf-8"))


def test_writes_that_fail_show_no_secret(lab: E2eLab, tmp_path: Path) -> None:
    lab.ledger.inject(Fault(kind=LedgerFault.HTTP_STATUS, method="sendTransaction", times=None, status=403))
    lab.ledger.inject(Fault(kind=LedgerFault.HTTP_STATUS, method="getTransaction", times=None, status=500))
    args = [*pointed(lab), "--submit-timeout", "3s", "--verbose", "--limit", "ams-dz-001"]
    done = dzbgp(tmp_path, *args)
    assert done.code == 3, done.err
    clean(lab, done.out, done.err)


@pytest.mark.parametrize("method", ["sendTransaction", "simulateTransaction", "getProgramAccounts"])
def test_an_rpc_that_repeats_its_url_puts_nothing_of_it_into_any_format(
    lab: E2eLab, tmp_path: Path, method: str
) -> None:
    """And neither a line of its own nor an escape sequence."""
    said = f"no route to {urlsplit(with_canaries(lab.ledger.url)).path}?{TOKENS[3]}\x1b[31m\nforged=line"
    lab.ledger.inject(Fault(kind=LedgerFault.RPC_ERROR, method=method, times=None, code=-32010, message=said))
    files = [tmp_path / f"report.{kind}" for kind in ("json", "md", "html", "xml", "txt")]
    outputs = [f"{kind}={file}" for kind, file in zip(FORMATS, files, strict=True)]
    args = [*pointed(lab), "--submit-timeout", "3s", "--verbose", "--limit", "ams-dz-001"]
    done = dzbgp(tmp_path, *args, *(word for output in outputs for word in ("--output", output)))
    texts = [done.out, done.err, *(file.read_text(encoding="utf-8") for file in files if file.exists())]
    assert done.code in {1, 3}, done.err
    assert any("no route to" in text for text in texts)
    clean(lab, *texts)
    for text in texts:
        assert "\x1b" not in text
        assert not [line for line in text.splitlines() if line.startswith("forged=line")]


class _Broken(http.server.BaseHTTPRequestHandler):
    """Answers every request in the way that the server's `answer` says, with its URL and body in the answer."""

    def do_POST(self) -> None:
        status, body = self.server.answer  # type: ignore[attr-defined]
        asked = self.rfile.read(int(self.headers["content-length"]))
        body = body.replace(b"URL", self.path.encode()).replace(b"BODY", asked)
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        if status == 302:
            self.send_header("location", f"http://127.0.0.1:9{self.path}")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def broken_rpc(status: int, body: bytes) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Broken)
    server.answer = (status, body)  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_rpc_that_fails_in_every_way_shows_no_secret(lab: E2eLab, tmp_path: Path) -> None:
    answers = [
        (500, b"oops URL"),
        (401, b"no URL"),
        (302, b""),
        (200, b"<html>URL</html>"),
        (200, b'{"jsonrpc": "2.0", "id": 0, "result": "URL"}'),
    ]
    rpcs = [broken_rpc(*answer) for answer in answers]
    with rpcs[0] as a, rpcs[1] as b, rpcs[2] as c, rpcs[3] as d, rpcs[4] as e:
        urls = [a, b, c, d, e, "http://127.0.0.1:9", "http://no.such.host.invalid"]
        homes = [tmp_path / str(number) for number in range(len(urls))]
        for home in homes:
            home.mkdir()
        runs = [began(home, *pointed(lab, url), "--verbose") for home, url in zip(homes, urls, strict=True)]
        for url, run in zip(urls, runs, strict=True):
            done = ended(run)
            assert done.code == 1, (url, done.err)
            assert done.out == ""
            assert f"error: RPC {url}: " in done.err
            clean(lab, done.err)


def test_a_malformed_url_is_not_shown(lab: E2eLab, tmp_path: Path) -> None:
    for url in ("127.0.0.1:1/canary-path-7f3a", "http://127.0.0.1:port/canary-path-7f3a", "canary-path-7f3a"):
        args = ["run", "--rpc-url", url, "--inventory", str(lab.inventory), "--verbose"]
        done = dzbgp(tmp_path, *args)
        assert done.code == 2, done.err
        clean(None, done.out, done.err)


def test_a_broken_inventory_does_not_show_its_passwords(lab: E2eLab, tmp_path: Path) -> None:
    for line in (f"password: *{PASSWORD}", f"password: !{PASSWORD} x", f"password: [{PASSWORD}]"):
        (lab.inventory / "defaults.yaml").write_text(f"platform: eos\n{line}\n", encoding="utf-8")
        done = dzbgp(tmp_path, *pointed(lab), "--verbose")
        assert done.code == 2, done.err
        clean(lab, done.out, done.err)


def test_a_keypair_in_the_wrong_place_is_not_shown(lab: E2eLab, tmp_path: Path) -> None:
    keypair = lab.publishers["northlight"]
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps([*bytes(keypair), 1]), encoding="ascii")
    text = json.dumps(list(bytes(keypair)))
    for wrong in (str(broken), text, str(keypair), bytes(keypair).hex()):
        args = ["run", *lab.ledger_args, "--inventory", str(lab.inventory), "--keypair", wrong, "--verbose"]
        done = dzbgp(tmp_path, *args)
        assert done.code == 2, done.err
        clean(lab, done.out, done.err)


def test_an_odd_login_is_not_shown_by_a_driver_that_refuses_it(lab: E2eLab, tmp_path: Path) -> None:
    with edited(lab.inventory / "defaults.yaml") as content:
        content["connection_options"]["napalm"]["extras"]["optional_args"]["secret"] = PASSWORD
        content["connection_options"]["napalm"]["extras"]["unheard_of"] = PASSWORD
    done = dzbgp(tmp_path, *pointed(lab), "--verbose", "--dry-run", "--limit", "ams-dz-001")
    assert done.code == 3, done.err
    assert "NAPALM does not accept the inventory's extras" in done.err
    clean(lab, done.out, done.err)
