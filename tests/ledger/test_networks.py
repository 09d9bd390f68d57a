"""The networks by name, and what may be shown of an RPC URL."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dzbgp.errors import ExitCode, UsageError
from dzbgp.ledger.networks import NETWORKS, network, unencrypted
from dzbgp.ledger.secrets import redact


@pytest.mark.parametrize(
    ("name", "program_id", "host"),
    [
        (
            "mainnet-beta",
            "ser2VaTMAcYTaauMrTSfSrxBaUDq7BLNs2xfUugTAGv",
            "https://doublezero-mainnet-beta.rpcpool.com",
        ),
        ("testnet", "DZtnuQ839pSaDMFG5q1ad2V95G82S5EC4RrB3Ndw2Heb", "https://doublezerolocalnet.rpcpool.com"),
        ("devnet", "GYhQDKuESrasNZGyhMJhGYFtbzNijYhcrN9poSqCQVah", "https://doublezerolocalnet.rpcpool.com"),
        ("localnet", "7CTniUa88iJKUHTrCkB4TjAoG6TD7AMivhQeuqN2LPtX", "http://localhost:8899"),
    ],
)
def test_a_network_has_its_own_program_and_ledger(name: str, program_id: str, host: str) -> None:
    known = network(name)
    assert (known.name, str(known.program_id)) == (name, program_id)
    assert [redact(url) for url in known.rpc_urls] == [host]
    assert known == NETWORKS[name]


def test_what_is_given_overrides_what_the_name_stands_for() -> None:
    urls = ("http://127.0.0.1:1", "https://rpc.example/token")
    program_id = "ser2VaTMAcYTaauMrTSfSrxBaUDq7BLNs2xfUugTAGv"
    changed = network("localnet", urls, program_id, "hash")
    assert changed.rpc_urls == urls
    assert str(changed.program_id) == program_id
    assert changed.genesis_hash == "hash"


@pytest.mark.parametrize("name", ["mainnet", "Testnet", "devnet "])
def test_a_name_that_is_no_network_is_refused_with_those_that_are(name: str) -> None:
    with pytest.raises(UsageError, match="expected one of mainnet-beta, testnet, devnet, localnet") as caught:
        network(name)
    assert caught.value.exit_code is ExitCode.USAGE


@pytest.mark.parametrize(
    "url",
    [
        "secret",
        "",
        "//rpc.example/secret",
        "ftp://rpc.example/secret",
        "https:///secret",
        "http://user:secret@/",
        "http://[bad/secret",
        "http://rpc.example:99999999/secret",
        "http://rpc.example:port/secret",
        "http://user:secret@h\u2100x/",
        "https://rpc.example\\secret",
        "https://rpc.example secret",
        "https://[::1%25secret]/",
    ],
)
def test_a_malformed_url_is_refused_without_its_secret(url: str) -> None:
    with pytest.raises(UsageError, match="--rpc-url") as caught:
        network("localnet", (url,))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("program_id", ["", "abc", "0OIl", "ser2VaTMAcYTaauMrTSfSrxBaUDq7BLNs2xfUugTAG!"])
def test_a_malformed_program_id_is_refused(program_id: str) -> None:
    with pytest.raises(UsageError, match="--program-id"):
        network("localnet", (), program_id)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://rpc.example/token", "https://rpc.example"),
        ("https://rpc.example?api-key=token", "https://rpc.example"),
        ("https://rpc.example/#token", "https://rpc.example"),
        ("https://user:token@rpc.example:8899/", "https://rpc.example:8899"),
        ("http://127.0.0.1:8899", "http://127.0.0.1:8899"),
        ("http://[::1]:8899/token", "http://[::1]:8899"),
        ("HTTPS://RPC.Example/token", "https://rpc.example"),
        ("wss://rpc.example/token", "wss://rpc.example"),
        ("token", "<malformed URL>"),
        ("https:///token", "<malformed URL>"),
        ("http://[token", "<malformed URL>"),
        ("http://rpc.example:token/", "<malformed URL>"),
    ],
)
def test_of_a_url_only_scheme_host_and_port_are_shown(url: str, shown: str) -> None:
    assert redact(url) == shown


# Nothing that a host name or a port could hold by chance.
secrets = st.text("SECRTXYZ_~", min_size=6, max_size=20)
rest = st.text(st.characters(codec="utf-8"), max_size=10).map(quote)


@given(
    scheme=st.sampled_from(["http", "https"]),
    host=st.sampled_from(["rpc.example", "127.0.0.1", "[::1]", "a-b.c"]),
    port=st.none() | st.integers(1, 65535),
    secret=secrets,
    noise=rest,
    where=st.sampled_from(["path", "query", "fragment", "user", "password", "params"]),
)
def test_a_secret_outside_host_and_port_is_never_shown(
    scheme: str, host: str, port: int | None, secret: str, noise: str, where: str
) -> None:
    user = {"user": f"{secret}@", "password": f"user:{secret}@"}.get(where, "")
    tail = {
        "path": f"/{noise}/{secret}",
        "query": f"/{noise}?key={secret}",
        "fragment": f"/{noise}#{secret}",
        "params": f"/{noise};{secret}",
    }.get(where, "")
    authority = host if port is None else f"{host}:{port}"
    assert redact(f"{scheme}://{user}{authority}{tail}") == f"{scheme}://{authority}"


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_any_text_at_all_is_redacted_without_an_error(text: str) -> None:
    shown = redact(text)
    assert shown == "<malformed URL>" or "://" in shown
    assert "@" not in shown
    assert "?" not in shown


def test_an_rpc_without_tls_is_named_unless_it_is_on_this_host() -> None:
    urls = (
        "http://10.0.0.5:8899/TOKEN",
        "http://rpc.example.net/TOKEN",
        "https://rpc.example.net/TOKEN",
        "http://localhost:8899",
        "http://127.0.0.2:8899",
        "http://[::1]:8899",
    )
    assert unencrypted(urls) == ["http://10.0.0.5:8899", "http://rpc.example.net"]
