"""Which ledger and which hosts a command is about, and how they are asked: what run, watch, check and audit share.

Light: the command line reads these declarations for `--help` too.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from dzbgp.console.option import (
    DAILY,
    DEVICES,
    HOSTS,
    LEDGER,
    TUNING,
    apart,
    duration,
    listed,
    number,
    option,
    pair,
    repeated,
)
from dzbgp.fleet.host_names import host_names
from dzbgp.fleet.shard import Shard

TIMEOUT = "dzbgp_device_timeout_s"
"""Where Nornir's configuration keeps FleetRequest.device_timeout_s, among what users define."""
UNSUPPORTED = "dzbgp_unsupported"
"""Where it keeps the chosen hosts that cannot be asked, each with the reason."""


ENVIRONMENTS = ("mainnet-beta", "testnet", "devnet", "localnet")
_SHORT = {name[0]: name for name in ENVIRONMENTS} | {"local": "localnet"}


def environment(text: str) -> str:
    """Return the whole name of a network; DoubleZero's own command line has the short ones. Raises ValueError."""
    name = _SHORT.get(text, text)
    if name and name not in ENVIRONMENTS:
        raise ValueError(f"unknown network {text!r}: expected one of {', '.join(ENVIRONMENTS)}")
    return name


rpc_urls_in = apart("[A-Za-z]+://", separator=r"[,\s]+")
"""Splits a text of several URLs. No URL holds a blank, and a comma may be a part of one."""


class Runner(StrEnum):
    """Where the devices are asked from."""

    THREADED = "threaded"
    SERIAL = "serial"
    DASK = "dask"


@dataclass(frozen=True, kw_only=True)
class ProgramRequest:
    """Which ledger a command is about."""

    env: str = option(
        "",
        DAILY,
        "Network: mainnet-beta, testnet, devnet, localnet (m, t, d, l).",
        metavar="NAME",
        parse=environment,
        completion=lambda _: ENVIRONMENTS,
        shown_default="the inventory's, else mainnet-beta",
    )
    program_id: str | None = option(None, LEDGER, "Program ID, if not the network's own.", metavar="KEY")


@dataclass(frozen=True, kw_only=True)
class NetworkRequest(ProgramRequest):
    """Which ledger a command reads."""

    rpc_urls: tuple[str, ...] = repeated(
        LEDGER,
        "RPC URL. Repeatable; the others are fallbacks.",
        "rpc-url",
        "URL",
        alias="url",
        split=rpc_urls_in,
    )


@dataclass(frozen=True, kw_only=True)
class HeldKeys:
    """Keypairs that nothing is signed with: what they are good for is reported."""

    keypairs: tuple[Path, ...] = repeated(
        LEDGER, "Keypair file or directory, to show which keys you hold. Repeatable.", "keypair", "PATH"
    )


@dataclass(frozen=True, kw_only=True)
class FleetRequest(NetworkRequest):
    """Which hosts to ask and how, and which ledger they belong to. Durations in seconds."""

    inventory: Path | None = option(
        None, DAILY, "Directory, Nornir configuration, or dz://NETWORK.", metavar="PATH"
    )
    limit: tuple[str, ...] = listed(
        DAILY, "Only these hosts (names, or patterns: 'ams-*').", "HOST", completion=host_names
    )
    filters: tuple[tuple[str, str], ...] = repeated(
        HOSTS,
        "Only hosts with this data or attribute (a__b: nested, a__startswith); != excludes. Repeatable.",
        "filter",
        "KEY=VALUE",
        parse=pair,
        split=apart("[^\\s,=]+="),
    )
    groups: tuple[str, ...] = listed(
        HOSTS, "Only hosts of these groups and their subgroups.", "GROUP", name="group"
    )
    contributor: tuple[str, ...] = listed(HOSTS, "Only devices of these contributors (code or key).", "CODE")
    shard: Shard | None = option(
        None, HOSTS, "Only part I of N of the fleet, for N jobs.", metavar="I/N", parse=Shard.parse
    )
    workers: int | None = number(
        None,
        TUNING,
        "Devices that each worker reads at the same time.",
        least=1,
        shown_default="the inventory's, else 20",
    )
    runner: Runner | None = option(
        None,
        TUNING,
        "Read devices in threads, one by one, or on a Dask cluster.",
        shown_default="the inventory's, else threaded",
    )
    scheduler: str | None = option(
        None,
        TUNING,
        "Dask scheduler, tls://HOST:PORT or tcp://HOST:PORT.",
        metavar="ADDRESS",
        shown_default="Dask's configuration, else --processes",
    )
    processes: int | None = number(
        None, TUNING, "Processes of --runner dask.", least=1, shown_default="one for each core"
    )
    device_timeout_s: float = duration(25, DEVICES, "Time limit for reading one device.")
    identity_check: bool = option(True, DEVICES, "Require the public_ip onchain as router-id.")
    tls_verify: bool | None = option(
        None,
        DEVICES,
        "Send passwords only to devices that prove their identity.",
        shown_default="as the inventory says",
    )
    tls_ca_file: Path | None = option(
        None, DEVICES, "CA certificate (PEM); implies --tls-verify.", metavar="PATH"
    )
    tls_insecure: bool = option(False, DEVICES, "Send passwords without checking the certificate.")
    proxy: bool = option(True, LEDGER, "Use HTTPS_PROXY, ALL_PROXY and NO_PROXY.")
    max_ledger_lag_s: float = duration(60, TUNING, "Maximum gap between RPC time and local clock.")
