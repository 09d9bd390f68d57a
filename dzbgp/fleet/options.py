"""Which ledger and which hosts a command is about, and how they are asked: what run, watch, check and audit share.

Light: the command line reads these declarations for `--help` too.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from dzbgp.console.option import FLEET, LEDGER, duration, listed, number, option, pair, repeated
from dzbgp.fleet.shard import Shard

TIMEOUT = "dzbgp_device_timeout_s"
"""Where Nornir's configuration keeps FleetRequest.device_timeout_s, among what users define."""
UNSUPPORTED = "dzbgp_unsupported"
"""Where it keeps the chosen hosts that cannot be asked, each with the reason."""


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
        LEDGER,
        "mainnet-beta, testnet, devnet or localnet.",
        metavar="NAME",
        shown_default="the one the inventory names, else mainnet-beta",
    )
    program_id: str | None = option(
        None, LEDGER, "Program to use instead of the network's own.", metavar="KEY"
    )


@dataclass(frozen=True, kw_only=True)
class NetworkRequest(ProgramRequest):
    """Which ledger a command reads."""

    rpc_urls: tuple[str, ...] = repeated(
        LEDGER,
        "RPC to use instead of the network's own. Repeatable: the next one is asked when one fails.",
        "rpc-url",
        "URL",
    )


@dataclass(frozen=True, kw_only=True)
class HeldKeys:
    """Keypairs that nothing is signed with: what they are good for is reported."""

    keypairs: tuple[Path, ...] = repeated(
        LEDGER,
        "Report which publishers' keys are here: Solana CLI keypair file, or a directory of them. Repeatable. "
        "Nothing is signed.",
        "keypair",
        "PATH",
    )


@dataclass(frozen=True, kw_only=True)
class FleetRequest(NetworkRequest):
    """Which hosts to ask and how, and which ledger they belong to. Durations in seconds."""

    inventory: Path | None = option(
        None,
        FLEET,
        "A directory with hosts.yaml (groups.yaml, defaults.yaml), a Nornir configuration file, or the ledger: "
        "dz://NETWORK?contributor=CODE&extra=FILE.",
        metavar="PATH",
    )
    limit: tuple[str, ...] = listed(FLEET, "Only these hosts.", "HOST")
    filters: tuple[tuple[str, str], ...] = repeated(
        FLEET,
        "Only hosts whose data, group or attribute matches (nested keys: a__b); != excludes. Nornir's a__startswith, "
        "a__contains and a__in work too. Repeatable.",
        "filter",
        "KEY=VALUE",
        parse=pair,
    )
    groups: tuple[str, ...] = listed(
        FLEET, "Only hosts of these groups, or of groups inside them.", "GROUP", name="group"
    )
    shard: Shard | None = option(
        None,
        FLEET,
        "Only part I of N of the fleet, chosen by a hash of the devices' pubkeys, so that N jobs can share a fleet.",
        metavar="I/N",
        parse=Shard.parse,
    )
    workers: int | None = number(
        None,
        FLEET,
        "Devices asked at once; on a cluster, by each worker (default: the inventory's, else 20).",
        least=1,
    )
    runner: Runner | None = option(
        None,
        FLEET,
        "Nornir's runner: threads, one device after the other, or the workers of a Dask cluster (default: the "
        "inventory's, else threaded).",
    )
    scheduler: str | None = option(
        None,
        FLEET,
        "Address of the Dask scheduler for --runner dask, tls://HOST:PORT or tcp://HOST:PORT (default: from Dask's "
        "own configuration, else --processes).",
        metavar="ADDRESS",
    )
    processes: int | None = number(
        None,
        FLEET,
        "Ask the devices from this many processes of this machine, which --runner dask starts for the command "
        "(default with --runner dask and no scheduler: one for each core).",
        least=1,
    )
    device_timeout_s: float = duration(
        25, FLEET, "Stop waiting for a device after this. It counts as failed; the others go on."
    )
    identity_check: bool = option(
        True,
        FLEET,
        "Believe a device only if the router-id of its unicast VRFs does not contradict its onchain public_ip.",
    )
    tls_verify: bool | None = option(
        None,
        FLEET,
        "Send the password only to devices that prove their identity: https certificates, ssh host keys.",
        shown_default="as the inventory says",
    )
    tls_ca_file: Path | None = option(
        None,
        FLEET,
        "CA certificate (PEM) that the devices are verified with; implies --tls-verify.",
        metavar="PATH",
    )
    tls_insecure: bool = option(
        False,
        FLEET,
        "Send the password to devices whatever certificate or host key they show, a changed one too.",
    )
    proxy: bool = option(
        True,
        LEDGER,
        "Reach RPCs through the proxies that the environment names (HTTPS_PROXY, ALL_PROXY, NO_PROXY).",
    )
    max_ledger_lag_s: float = duration(
        60, LEDGER, "Believe an RPC only if its ledger's time differs from this machine's clock by less."
    )
