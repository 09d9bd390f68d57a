"""`dzbgp inventory`: writes the ledger's devices as a Nornir inventory, and says which certificates to trust."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dzbgp.cli.errors import reporting_errors
from dzbgp.cli.options import takes
from dzbgp.cli.own_options import Logging
from dzbgp.console.option import DAILY, ROWS, SET_UP, listed, option
from dzbgp.console.words import amount
from dzbgp.errors import ExitCode, UsageError, one_line
from dzbgp.fleet.options import NetworkRequest
from dzbgp.listing.query import DEVICE_STATUSES

if TYPE_CHECKING:
    from dzbgp.fleet.from_ledger.directory import InventoryUpdate
    from dzbgp.fleet.from_ledger.selection import Selection
    from dzbgp.ledger.networks import Network


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    directory: Path | None = option(
        None,
        DAILY,
        "Directory to write or update.",
        name="output",
        short="-o",
        key="inventory-dir",
        metavar="DIR",
    )
    hostname: str = option(
        "{public_ip}",
        SET_UP,
        "Template for hostnames, such as {code}.mgmt.example.net.",
        metavar="TEMPLATE",
    )
    prune: bool = option(
        False,
        DAILY,
        "Remove hosts that are not chosen or not on the ledger.",
    )
    dry_run: bool = option(False, DAILY, "Show changes; write nothing.")
    exit_code: bool = option(False, SET_UP, "Exit with 5 if a dry run has changes.")
    contributor: tuple[str, ...] = listed(DAILY, "Only these contributors (code or key).", "CODE")
    metro: tuple[str, ...] = listed(ROWS, "Only these metros (the exchange's code or name).", "CODE")
    location: tuple[str, ...] = listed(ROWS, "Only these locations (code or name).", "CODE")
    status: tuple[str, ...] = listed(
        ROWS,
        "Only these statuses, such as activated.",
        "STATUS",
        key="device-status",
        completion=lambda _: DEVICE_STATUSES,
    )
    code: tuple[str, ...] = listed(ROWS, "Only devices with these codes, such as 'ams-*'.", "PATTERN")


@dataclass(frozen=True, kw_only=True)
class _Trust(NetworkRequest):
    inventory: Path | None = option(None, SET_UP, "Inventory of the host, as for run.", metavar="PATH")
    state: Path | None = option(None, SET_UP, "State file, as for run.", metavar="PATH")


_COUNTED = {"gone": "to prune"}


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    group = typer.Typer()
    app.add_typer(group, name="inventory")
    _register_trust(group)

    @group.callback(invoke_without_command=True)
    @takes(NetworkRequest, _Wanted, Logging)
    def inventory(request: NetworkRequest, wanted: _Wanted, logging: Logging, *, ctx: typer.Context) -> None:
        """Writes the ledger's devices as a Nornir inventory, or updates one. No device is contacted.

        An update changes only data from the ledger and keeps everything else, including comments. Hosts that the
        filters do not choose are listed; --prune removes them.

        Exit codes: 0 done; 1 the ledger could not be read; 2 usage, or a malformed file; 3 the changes
        could not be printed; 5 a dry run with changes (with --exit-code).
        """
        if ctx.invoked_subcommand is not None:
            return
        with reporting_errors(logging):
            if wanted.directory is None:
                raise UsageError("--output: no directory was given; expected one for hosts.yaml")
            from dzbgp.fleet.from_ledger.selection import Selection  # noqa: PLC0415 - slow
            from dzbgp.ledger.networks import network  # noqa: PLC0415

            selection = Selection(
                contributor=wanted.contributor,
                metro=wanted.metro,
                location=wanted.location,
                status=wanted.status,
                code=wanted.code,
                hostname=wanted.hostname,
            )
            net = network(request.env, request.rpc_urls, request.program_id)
            result = sync(wanted.directory, net, selection, prune=wanted.prune, dry_run=wanted.dry_run)
            if result is ExitCode.CHANGES_PENDING and not wanted.exit_code:
                result = ExitCode.OK
        raise typer.Exit(result)


def _register_trust(group: typer.Typer) -> None:
    @group.command()
    @takes(_Trust, Logging)
    def trust(
        request: _Trust,
        logging: Logging,
        *,
        host: Annotated[str, typer.Argument(metavar="HOST", help="Name of the host in the inventory.")],
    ) -> None:
        """Shows the certificate or SSH host key that a host presents now, and trusts it from now on.

        No password is sent to the device. Compare the printed fingerprint with the device's own
        (`show management api http-commands`, `show management ssh hostkey`). Exit codes: 0 done; 1 the host does
        not answer; 2 usage.
        """
        with reporting_errors(logging):
            from dzbgp.console.stdout import print_text  # noqa: PLC0415
            from dzbgp.run.request import SetupRequest  # noqa: PLC0415
            from dzbgp.run.trust import trust as trust_host  # noqa: PLC0415 - slow

            given = {one.name: getattr(request, one.name) for one in fields(request)}
            found = trust_host(SetupRequest(**given), host)
            before = "" if found.before in {None, found.now} else f"It was {found.before}\n"
            result = print_text(f"{before}{host} ({found.address}): trusted {found.kind} {found.now}\n")
        raise typer.Exit(result)


def sync(
    directory: Path, net: "Network", selection: "Selection", *, prune: bool = False, dry_run: bool = False
) -> ExitCode:
    """Bring the inventory in `directory` up to date and print what changed. Raises a DzbgpError.

    Gives CHANGES_PENDING for a dry run with any, PARTIAL when they could not be printed.
    """
    import logging  # noqa: PLC0415

    from dzbgp.console.stdout import print_result  # noqa: PLC0415
    from dzbgp.fleet.from_ledger.directory import plan_update  # noqa: PLC0415 - slow
    from dzbgp.fleet.from_ledger.facts import facts_of  # noqa: PLC0415
    from dzbgp.ledger.program.snapshot import take_snapshot  # noqa: PLC0415

    selection.check()
    snapshot = take_snapshot(net, with_users=False)
    for sentence in snapshot.data.notes:
        logging.getLogger(__name__).warning("%s", sentence)
    plan = plan_update(
        directory, net.name, facts_of(snapshot.data.devices, snapshot.names), selection, prune=prune
    )
    if not dry_run:
        plan.carry_out()
    head = f"{net.name}, slot {snapshot.data.slot}: {amount(len(snapshot.data.devices), 'device')}"

    def show(console: Any) -> None:
        for line in _lines(plan, head, dry_run=dry_run):
            console.print(one_line(line), markup=False, highlight=False, soft_wrap=True)

    code = print_result(show)
    return ExitCode.CHANGES_PENDING if code is ExitCode.OK and dry_run and plan.files else code


def _lines(plan: "InventoryUpdate", head: str, *, dry_run: bool) -> Iterator[str]:
    tally = plan.tally
    signs = {"added": "+", "changed": "~", "gone": "!", "removed": "-"}
    for change in tally.changes:
        if change.noun == "host":
            yield f"{signs[change.kind]} host {change.name}: {change.detail}"
    for kind, sign in signs.items():
        groups = [item.name for item in tally.changes if item.noun == "group" and item.kind == kind]
        if groups:
            yield f"{sign} groups {', '.join(groups)}"
    kinds = [change.kind for change in tally.changes if change.noun == "host"]
    counts = [f"{kinds.count(kind)} {_COUNTED.get(kind, kind)}" for kind in dict.fromkeys(kinds)]
    more = [
        (tally.unchanged, "unchanged"),
        (tally.own, "no device of the ledger"),
        (tally.own_hostnames, "with a hostname of your own"),
    ]
    counts += [f"{count} {what}" for count, what in more if count]
    yield f"{head}. Hosts: {', '.join(counts)}."
    files = ", ".join(str(file) for file in plan.files)
    if not files:
        yield "Nothing to write."
    else:
        yield f"Would write {files}." if dry_run else f"Wrote {files}."
