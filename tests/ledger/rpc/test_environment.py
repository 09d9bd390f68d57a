"""What the environment says of proxies and TLS works, or is a usage error that names the variable."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from stage import FAST, SECRET, Stage, stage

from dzbgp.errors import ExitCode, UsageError
from dzbgp.ledger.networks import Network
from dzbgp.ledger.program.accounts import DEVICE
from dzbgp.ledger.rpc.client import RpcClient
from dzbgp.ledger.rpc.environment import proxy_of
from dzbgp.ledger.rpc.pool import RpcPool

URL = "https://rpc.example/token"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("SSL"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    "value", ["host:notaport", "http://host:notaport", "ftp://proxy", "http://:80", "http://[::1"]
)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_a_malformed_proxy_is_a_usage_error_that_names_the_variable(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(UsageError, match=f"^{variable}: invalid proxy") as caught:
        RpcPool((URL,), FAST)
    assert caught.value.exit_code is ExitCode.USAGE
    assert value not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "proxy"),
    [
        ("HTTPS_PROXY", "proxy:3128", "http://proxy:3128"),
        ("ALL_PROXY", "socks5://user:word@proxy:1080", "socks5://user:word@proxy:1080"),
        ("HTTP_PROXY", "http://proxy:3128", None),
    ],
)
def test_a_proxy_is_used_for_what_it_is_named_for(
    variable: str, value: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    assert proxy_of(URL) == proxy
    RpcPool((URL,), FAST)


def test_no_proxy_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "proxy:3128")
    monkeypatch.setenv("NO_PROXY", "rpc.example")
    assert proxy_of(URL) is None


def test_the_option_switches_proxies_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "host:notaport")
    assert proxy_of(URL, use_proxies=False) is None
    RpcPool((URL,), FAST, use_proxies=False)


@pytest.fixture(scope="module")
def one() -> Iterator[Stage]:
    with stage(users=1) as made:
        yield made


@pytest.mark.parametrize("value", ["http://127.0.0.1:9", "socks5://127.0.0.1:9", "host:notaport"])
def test_loopback_never_goes_through_a_proxy(one: Stage, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(variable, value)
    assert one.ask(lambda client: client.program_accounts(DEVICE))[1]
    for host in ("localhost", "127.8.9.1", "[::1]"):
        assert proxy_of(f"http://{host}:8899/{SECRET}") is None


def test_a_missing_file_is_a_usage_error_that_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "missing" / "file"))
    RpcPool((URL,), FAST)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing" / "file"))
    with pytest.raises(UsageError, match="SSL_CERT_FILE or SSLKEYLOGFILE: No such file"):
        RpcPool((URL,), FAST)
    RpcPool(("http://rpc.example",), FAST)


def test_a_file_without_certificates_is_a_usage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("nothing")
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with pytest.raises(UsageError, match=r"^SSL_CERT_FILE: "):
        RpcPool((URL,), FAST)


def test_a_network_says_whether_proxies_are_used(monkeypatch: pytest.MonkeyPatch, one: Stage) -> None:
    monkeypatch.setenv("ALL_PROXY", "host:notaport")
    RpcClient(Network("localnet", one.world.program_id, (URL,), use_proxies=False))
    with pytest.raises(UsageError):
        RpcClient(Network("localnet", one.world.program_id, (URL,)))
