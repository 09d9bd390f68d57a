"""solana-py's RPC client as we make it: over our HTTP client, sent once, with bounded answers."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from solana.exceptions import SolanaRpcException
from solana.rpc.async_http_provider import AsyncHTTPProvider
from solders.hash import Hash
from solders.rpc.requests import GetGenesisHash
from solders.rpc.responses import GetGenesisHashResp
from stage import Stage, stage

from dzbgp.ledger.rpc import endpoint
from dzbgp.ledger.rpc.endpoint import Endpoint, Provider, TooLargeError
from dzbgp.ledger.secrets import Redactor


@pytest.fixture
def one() -> Iterator[Stage]:
    with stage(users=1) as made:
        yield made


def genesis_hash(url: str) -> Hash:
    async def ask() -> Hash:
        async with Provider(url, httpx2.AsyncClient(trust_env=False)) as rpc:
            return (await rpc.make_request(GetGenesisHash(), GetGenesisHashResp)).value

    return asyncio.run(ask())


def test_what_the_library_asks_goes_over_our_client(one: Stage) -> None:
    assert genesis_hash(one.url) != Hash.default()
    assert one.ledger.stats().requests["getGenesisHash"] == 1


def test_what_the_library_asks_is_bounded_too(one: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "MAX_ANSWER_BYTES", 10)
    with pytest.raises(TooLargeError):
        genesis_hash(one.url)


def test_the_library_sends_nothing_again_by_itself() -> None:
    sent = []

    def lose(request: httpx2.Request) -> httpx2.Response:
        sent.append(request)
        raise httpx2.ReadError("lost")

    async def ask() -> None:
        async with Provider("http://rpc", httpx2.AsyncClient(transport=httpx2.MockTransport(lose))) as rpc:
            await rpc.make_request(GetGenesisHash(), GetGenesisHashResp)

    with pytest.raises(SolanaRpcException):
        asyncio.run(ask())
    assert len(sent) == 1


def test_an_endpoint_is_the_library_s_client_and_reads_nothing_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(variable, "host:notaport")
    for variable in ("SSL_CERT_FILE", "SSLKEYLOGFILE"):
        monkeypatch.setenv(variable, str(tmp_path / "missing" / "file"))
    url = "http://127.0.0.1:8899"
    rpc = Endpoint(url, Redactor((url,)), 1.0)._current.rpc
    assert isinstance(rpc, AsyncHTTPProvider)
    assert not rpc.session.trust_env
