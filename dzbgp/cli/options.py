"""The options of the commands, as Typer types. Every one has an environment variable DZBGP_<NAME>.

Only light imports: this is read for `--help` too.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from dzbgp.console.formats import Output
from dzbgp.console.words import parse_duration
from dzbgp.errors import UsageError


class LogFormat(StrEnum):
    """How the lines on stderr look."""

    TEXT = "text"
    JSON = "json"


class Commitment(StrEnum):
    """How safe a write must be before it counts as done."""

    CONFIRMED = "confirmed"
    FINALIZED = "finalized"


def _duration(text: str | float) -> float:
    if isinstance(text, float):
        return text
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def names(text: str) -> tuple[str, ...]:
    """Gives the names of a comma-separated list."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def pairs(texts: list[str] | None) -> tuple[tuple[str, str], ...]:
    """Gives the (key, value) of each KEY=VALUE. Raises UsageError."""
    found = []
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise UsageError(f"--filter: {text!r} is no filter; expected KEY=VALUE")
        found.append((key, value))
    return tuple(found)


def _share(text: str | float) -> float:
    """Gives the share, from 0 to 1, of `30%` or `0.3`."""
    if isinstance(text, float):
        return text
    try:
        share = float(text.removesuffix("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise typer.BadParameter(f"{text!r} is no share; expected for example 30% or 0.3")
    return share


def _option(*names: str, panel: str, help: str, **more: Any) -> Any:  # noqa: A002 - Typer's own name
    envvar = "DZBGP_" + names[0].split("/")[0].removeprefix("--").upper().replace("-", "_")
    return typer.Option(*names, envvar=envvar, help=help, rich_help_panel=panel, **more)


_FLEET, _LEDGER, _DECISION, _REPORT = "Fleet", "Ledger", "Decision", "Report"

Inventory = Annotated[
    Path | None,
    _option(
        "--inventory",
        panel=_FLEET,
        metavar="PATH",
        help="A directory with hosts.yaml (groups.yaml, defaults.yaml), a Nornir configuration file, or the "
        "ledger: dz://NETWORK?contributor=CODE&extra=FILE.",
    ),
]
Limit = Annotated[
    str,
    _option(
        "--limit",
        panel=_FLEET,
        metavar="HOST,...",
        help="Ask these hosts only.",
    ),
]
Filter = Annotated[
    list[str] | None,
    _option(
        "--filter",
        panel=_FLEET,
        metavar="KEY=VALUE",
        help="Ask only hosts whose data (a__b: nested), group or attribute is so; != for is not; "
        "a__startswith, a__contains, a__in as Nornir has them. Repeatable.",
    ),
]
GroupNames = Annotated[
    str,
    _option(
        "--group",
        panel=_FLEET,
        metavar="GROUP,...",
        help="Ask only hosts of these groups, or of groups of theirs.",
    ),
]
ShardOption = Annotated[
    str,
    _option(
        "--shard",
        panel=_FLEET,
        metavar="I/N",
        help="Ask part I of N of the fleet only, by a hash of the devices' pubkeys: N jobs share a fleet so.",
    ),
]
Workers = Annotated[
    int | None,
    _option(
        "--workers",
        panel=_FLEET,
        min=1,
        help="Devices asked at once, on a cluster by each worker (default: the inventory's, else 20).",
    ),
]


class Runner(StrEnum):
    """Where the devices are asked from."""

    THREADED = "threaded"
    SERIAL = "serial"
    DASK = "dask"


RunnerOption = Annotated[
    Runner | None,
    _option(
        "--runner",
        panel=_FLEET,
        help="Nornir's runner: threads, one device after the other, or the workers of a Dask cluster (default: the "
        "inventory's, else threaded).",
    ),
]
Scheduler = Annotated[
    str | None,
    _option(
        "--scheduler",
        panel=_FLEET,
        metavar="ADDRESS",
        help="The Dask cluster's scheduler, tls://HOST:PORT or tcp://HOST:PORT, with --runner dask (default: as Dask's "
        "own configuration says).",
    ),
]
IdentityCheck = Annotated[
    bool,
    _option(
        "--identity-check/--no-identity-check",
        panel=_FLEET,
        help="Believe a device only when the router-id of its unicast VRFs is its onchain public_ip.",
    ),
]
TlsVerify = Annotated[
    bool | None,
    _option(
        "--tls-verify/--no-tls-verify",
        panel=_FLEET,
        help="Devices must prove who they are before they are told the password: https certificates, ssh host keys.",
        show_default="as the inventory says",
    ),
]
TlsCaFile = Annotated[
    Path | None,
    _option(
        "--tls-ca-file",
        panel=_FLEET,
        metavar="PATH",
        help="The CA's certificate (PEM) that devices prove themselves by; implies --tls-verify.",
    ),
]
Lab = Annotated[
    bool,
    _option(
        "--lab",
        panel=_FLEET,
        help="Start simulated devices and a local ledger for this one run, and use them.",
    ),
]
Env = Annotated[
    str,
    _option("--env", panel=_LEDGER, metavar="NAME", help="mainnet-beta, testnet, devnet or localnet."),
]
PassEnv = Annotated[
    str,
    _option(
        "--env",
        panel=_LEDGER,
        metavar="NAME",
        help="mainnet-beta, testnet, devnet or localnet.",
        show_default="that of the inventory, else mainnet-beta",
    ),
]
RpcUrl = Annotated[
    list[str] | None,
    _option(
        "--rpc-url",
        panel=_LEDGER,
        metavar="URL",
        help="The ledger's RPC instead of the network's own. Repeatable: the next is tried when one is down.",
    ),
]
ProgramId = Annotated[
    str | None,
    _option("--program-id", panel=_LEDGER, metavar="KEY", help="The program instead of the network's own."),
]
GenesisHash = Annotated[
    str | None,
    _option(
        "--genesis-hash",
        panel=_LEDGER,
        metavar="HASH",
        help="Write only to the cluster that has this genesis hash.",
    ),
]
Keypair = Annotated[
    list[Path] | None,
    _option(
        "--keypair",
        panel=_LEDGER,
        metavar="PATH",
        help="A Solana CLI keypair file, or a directory of them. Repeatable. The one that is a device's "
        "metrics publisher signs for it. Default: ~/.config/doublezero/id.json, ~/.config/solana/id.json.",
    ),
]
CommitmentLevel = Annotated[
    Commitment,
    _option("--commitment", panel=_LEDGER, help="How safe a write must be before it counts as done."),
]
PriorityFee = Annotated[
    int, _option("--priority-fee", panel=_LEDGER, min=0, help="Micro-lamports per compute unit.")
]
LowBalance = Annotated[
    float,
    _option("--low-balance", panel=_LEDGER, min=0, metavar="SOL", help="Warn about publishers with less."),
]
Verify = Annotated[
    bool,
    _option("--verify/--no-verify", panel=_LEDGER, help="Read back what was written and compare it."),
]
SubmitTimeout = Annotated[
    float,
    _option(
        "--submit-timeout",
        panel=_LEDGER,
        metavar="DURATION",
        parser=_duration,
        help="Send nothing more after this; what is under way then is reported as pending.",
    ),
]
DryRun = Annotated[
    bool, _option("--dry-run", panel=_DECISION, help="Show what would be written; send nothing.")
]
RefreshInterval = Annotated[
    float,
    _option(
        "--refresh-interval",
        panel=_DECISION,
        metavar="DURATION",
        parser=_duration,
        help="Write an unchanged status again when its report is this old.",
    ),
]
RefreshSpread = Annotated[
    float,
    _option(
        "--refresh-spread",
        panel=_DECISION,
        metavar="SHARE",
        parser=_share,
        help="Refresh by up to this share of the interval early, each user at a time of its own.",
    ),
]
DownGracePeriod = Annotated[
    float,
    _option(
        "--down-grace-period",
        panel=_DECISION,
        metavar="DURATION",
        parser=_duration,
        help="A session seen up less than this ago still counts as Up.",
    ),
]
ConfirmDown = Annotated[
    float,
    _option(
        "--confirm-down",
        panel=_DECISION,
        metavar="DURATION",
        parser=_duration,
        help="Look a second time after this before an Up turns Down; 0s: don't.",
    ),
]
MaxDown = Annotated[
    float,
    _option(
        "--max-down",
        panel=_DECISION,
        metavar="SHARE",
        parser=_share,
        help="Hold the Downs of a device, or of the fleet, that would lose more of its Up users.",
    ),
]
MaxDownMin = Annotated[
    int, _option("--max-down-min", panel=_DECISION, min=1, help="Hold nothing below this many Downs.")
]
GuardPasses = Annotated[
    int,
    _option(
        "--guard-passes", panel=_DECISION, min=1, help="Believe a Down held in this many passes in a row."
    ),
]
GuardWindow = Annotated[
    float,
    _option(
        "--guard-window",
        panel=_DECISION,
        metavar="DURATION",
        parser=_duration,
        help="Downs written this recently count in the guard as if they were of this pass.",
    ),
]
Force = Annotated[bool, _option("--force", panel=_DECISION, help="Write what the guard would hold.")]
FlapLimit = Annotated[
    int,
    _option(
        "--flap-limit",
        panel=_DECISION,
        min=0,
        help="Damp users with more transitions than this within the flap window; 0: none.",
    ),
]
FlapWindow = Annotated[
    float,
    _option(
        "--flap-window",
        panel=_DECISION,
        metavar="DURATION",
        parser=_duration,
        help="Count transitions over this.",
    ),
]
Cooldown = Annotated[
    float,
    _option(
        "--cooldown",
        panel=_DECISION,
        metavar="DURATION",
        parser=_duration,
        help="Write a damped user at most this often.",
    ),
]
State = Annotated[
    Path | None,
    _option(
        "--state",
        panel=_DECISION,
        metavar="PATH",
        help="What is remembered from run to run. Default: a file for each network in ~/.local/state/dzbgp.",
    ),
]
Interval = Annotated[
    float,
    _option(
        "--interval",
        panel=_DECISION,
        metavar="DURATION",
        parser=_duration,
        help="How often to look at the fleet.",
    ),
]
MetricsAddr = Annotated[
    str | None,
    _option(
        "--metrics-addr",
        panel=_REPORT,
        metavar="HOST:PORT",
        help="Serve Prometheus metrics at http://HOST:PORT/metrics.",
    ),
]
Outputs = Annotated[
    list[str] | None,
    _option(
        "--output",
        "-o",
        panel=_REPORT,
        metavar="FORMAT[=FILE]",
        help="table (the default), json, markdown or html, to stdout or to a file. Repeatable.",
        autocompletion=lambda: list(Output),
    ),
]
ReportFile = Annotated[
    Path | None,
    _option("--report-file", panel=_REPORT, metavar="PATH", help="Write the JSON report to this file too."),
]
MetricsTextfile = Annotated[
    Path | None,
    _option(
        "--metrics-textfile",
        panel=_REPORT,
        metavar="PATH.prom",
        help="Write Prometheus metrics to this file too, for node_exporter's textfile collector.",
    ),
]
All = Annotated[bool, _option("--all", panel=_REPORT, help="Show users that nothing is done about, too.")]
ExitCodeOption = Annotated[
    bool,
    _option("--exit-code", panel=_REPORT, help="Exit with 5 when a dry run finds something to write."),
]
Verbose = Annotated[
    int,
    _option(
        "--verbose",
        "-v",
        panel=_REPORT,
        count=True,
        metavar="",
        help="Log everything, with the tracebacks of failures; -vv: all that the libraries say, too.",
        show_default=False,
    ),
]
LogFormatOption = Annotated[
    LogFormat,
    _option("--log-format", panel=_REPORT, help="How the lines on stderr look; json: one object a line."),
]
Quiet = Annotated[bool, _option("--quiet", "-q", panel=_REPORT, help="Log errors only; no progress bar.")]
