"""The options of `dzbgp users`, `dzbgp devices` and `dzbgp audit` that no other command has."""

from pathlib import Path
from typing import Annotated

import typer

from dzbgp.cli.options import _duration as duration
from dzbgp.cli.options import _option as option
from dzbgp.console.formats import AuditFormat, Format

_SHOW, _REPORT, _LEDGER = "Which ones", "Report", "Ledger"


def _names(name: str, metavar: str, help_text: str) -> typer.models.OptionInfo:
    found: typer.models.OptionInfo = option(name, panel=_SHOW, metavar=f"{metavar},...", help=help_text)
    return found


Device = Annotated[str, _names("--device", "CODE", "Only these devices (code or key).")]
Location = Annotated[str, _names("--location", "CODE", "Only these locations (code or name).")]
Exchange = Annotated[str, _names("--exchange", "CODE", "Only these exchanges.")]
Contributor = Annotated[str, _names("--contributor", "CODE", "Only these contributors.")]
ClientIp = Annotated[str, _names("--client-ip", "ADDRESS", "Only users with these addresses.")]
Status = Annotated[str, _names("--status", "STATUS", "Only these, such as activated.")]
BgpStatus = Annotated[str, _names("--bgp-status", "STATUS", "Only users that are up, down or unknown.")]
UserType = Annotated[str, _names("--user-type", "TYPE", "Only these types of users, such as ibrl.")]
DeviceType = Annotated[str, _names("--type", "TYPE", "Only these types of devices, such as hybrid.")]
Tenant = Annotated[str, _names("--tenant", "CODE", "Only users of these tenants (code or key), or none.")]
StaleAfter = Annotated[
    float,
    option(
        "--stale-after",
        panel=_SHOW,
        metavar="DURATION",
        parser=duration,
        help="A report that is older is stale.",
    ),
]
DownFor = Annotated[
    float,
    option(
        "--down-for",
        panel=_SHOW,
        metavar="DURATION",
        parser=duration,
        help="A user that is Down and was last Up longer ago is odd.",
    ),
]
Sort = Annotated[
    str,
    option(
        "--sort",
        panel=_REPORT,
        metavar="COLUMN,...",
        help="Sort by these, with - before a name in descending order.",
    ),
]
Columns = Annotated[
    str,
    option(
        "--columns", panel=_REPORT, metavar="COLUMN,...", help="Table and CSV show only these, in this order."
    ),
]
Output = Annotated[Format, option("--output", "-o", panel=_REPORT, help="What stdout gets.")]
AuditOutput = Annotated[AuditFormat, option("--output", "-o", panel=_REPORT, help="What stdout gets.")]
ExitCodeOption = Annotated[
    bool, option("--exit-code", panel=_REPORT, help="Exit with 5 when anything odd was found.")
]
Keypair = Annotated[
    list[Path] | None,
    option(
        "--keypair",
        panel=_LEDGER,
        metavar="PATH",
        help="Tell of which publishers the keys are here: a Solana CLI keypair file, or a directory of them. "
        "Repeatable. Nothing is signed.",
    ),
]
