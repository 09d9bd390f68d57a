"""The networks, named as upstream's command line names them."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import ip_address
from urllib.parse import urlsplit

from solders.pubkey import Pubkey

from dzbgp.errors import UsageError
from dzbgp.ledger.secrets import redact


@dataclass(frozen=True, slots=True)
class Network:
    """Where a ledger is and which program to use. `rpc_urls` are tried in order."""

    name: str
    program_id: Pubkey
    rpc_urls: tuple[str, ...]
    genesis_hash: str | None = None
    """None if unknown, or if each start of the ledger makes a new one (localnet)."""
    use_proxies: bool = True
    """Whether RPCs are reached through the proxies that the environment names."""


# Source: upstream's public network configuration, state of 2026-08.
_DEVNET_RPC = "https://doublezerolocalnet.rpcpool.com/8a4fd3f4-0977-449f-88c7-63d4b0f10f16"
NETWORKS = {
    network.name: network
    for network in (
        Network(
            "mainnet-beta",
            Pubkey.from_string("ser2VaTMAcYTaauMrTSfSrxBaUDq7BLNs2xfUugTAGv"),
            ("https://doublezero-mainnet-beta.rpcpool.com/db336024-e7a8-46b1-80e5-352dd77060ab",),
        ),
        Network(
            "testnet", Pubkey.from_string("DZtnuQ839pSaDMFG5q1ad2V95G82S5EC4RrB3Ndw2Heb"), (_DEVNET_RPC,)
        ),
        Network("devnet", Pubkey.from_string("GYhQDKuESrasNZGyhMJhGYFtbzNijYhcrN9poSqCQVah"), (_DEVNET_RPC,)),
        Network(
            "localnet",
            Pubkey.from_string("7CTniUa88iJKUHTrCkB4TjAoG6TD7AMivhQeuqN2LPtX"),
            ("http://localhost:8899",),
        ),
    )
}

DEFAULT = "mainnet-beta"


def network(
    name: str, rpc_urls: tuple[str, ...] = (), program_id: str | None = None, genesis_hash: str | None = None
) -> Network:
    """Return the network called `name` (empty: mainnet-beta), with the given parts overridden. Raises UsageError."""
    known = NETWORKS.get(name or DEFAULT)
    if known is None:
        raise UsageError(f"--env: unknown network {name!r}: expected one of {', '.join(NETWORKS)}")
    for url in rpc_urls:
        if not redact(url).startswith(("http://", "https://")):
            raise UsageError(f"--rpc-url: invalid URL {redact(url)!r}: expected http:// or https://")
    if program_id is not None:
        try:
            known = replace(known, program_id=Pubkey.from_string(program_id))
        except ValueError:
            raise UsageError(
                f"--program-id: invalid key {program_id!r}: expected 32 bytes in base58"
            ) from None
    return replace(
        known, rpc_urls=rpc_urls or known.rpc_urls, genesis_hash=genesis_hash or known.genesis_hash
    )


def unencrypted(urls: Iterable[str]) -> list[str]:
    """Return what may be shown of each RPC that is asked without TLS on another host."""
    return [
        redact(url) for url in urls if url.startswith("http://") and not _is_this_host(urlsplit(url).hostname)
    ]


def _is_this_host(host: str | None) -> bool:
    try:
        return host == "localhost" or ip_address(host or "").is_loopback
    except ValueError:
        return False
