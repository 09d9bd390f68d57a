"""`dzbgp inventory`: writes the ledger's devices as a Nornir inventory, and keeps one up to date."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dzbgp.cli import listing_options as read_options
from dzbgp.cli import options
from dzbgp.errors import ExitCode, one_line

if TYPE_CHECKING:
    from dzbgp.fleet.from_ledger.directory import Plan
    from dzbgp.fleet.from_ledger.selection import Selection
    from dzbgp.ledger.networks import Network

Reporting = Callable[..., AbstractContextManager[Any]]
"""Turns what ends a command into one line and an exit code: the command line's own."""

_INVENTORY = "Inventory"

Directory = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        # DZBGP_OUTPUT is the format of a report.
        envvar="DZBGP_INVENTORY_DIR",
        metavar="DIR",
        help="Where hosts.yaml, groups.yaml, defaults.yaml and config.yaml are, or shall be.",
        rich_help_panel=_INVENTORY,
    ),
]
Hostname = Annotated[
    str,
    read_options.option(
        "--hostname",
        panel=_INVENTORY,
        metavar="TEMPLATE",
        help="What a device is reached at, such as {code}.mgmt.example.net.",
    ),
]
Prune = Annotated[
    bool,
    read_options.option(
        "--prune",
        panel=_INVENTORY,
        help="Remove hosts that have left the ledger, and groups of its own left empty.",
    ),
]
DryRun = Annotated[
    bool, read_options.option("--dry-run", panel=_INVENTORY, help="Show what would change; write nothing.")
]
ExitCodeOption = Annotated[
    bool,
    read_options.option("--exit-code", panel=_INVENTORY, help="Exit with 5 when a dry run finds a change."),
]
Metro = Annotated[
    str,
    read_options.option(
        "--metro",
        panel="Which ones",
        metavar="CODE,...",
        help="Only these metros (the exchange's code or name).",
    ),
]
Code = Annotated[
    str,
    read_options.option(
        "--code", panel="Which ones", metavar="PATTERN,...", help="Only devices called so, such as 'ams-*'."
    ),
]


def register(app: typer.Typer, reporting_errors: Reporting) -> None:
    """Gives `app` the command."""

    @app.command()
    def inventory(
        directory: Directory,
        env: options.Env = "mainnet-beta",
        rpc_url: options.RpcUrl = None,
        program_id: options.ProgramId = None,
        hostname: Hostname = "{public_ip}",
        contributor: read_options.Contributor = "",
        metro: Metro = "",
        location: read_options.Location = "",
        status: read_options.Status = "",
        code: Code = "",
        prune: Prune = False,
        dry_run: DryRun = False,
        exit_code: ExitCodeOption = False,
        verbose: options.Verbose = 0,
        quiet: options.Quiet = False,
        log_format: options.LogFormatOption = options.LogFormat.TEXT,
    ) -> None:
        """Writes the ledger's devices as a Nornir inventory, or brings one up to date. No device is touched.

        Run again, it changes what the ledger knows and keeps everything else, comments too.

        Exit codes: 0 done; 1 the ledger could not be read; 2 usage, or a file that is malformed; 3 the changes
        could not be printed; 5 a dry run with changes (with --exit-code).
        """
        with reporting_errors(verbose=verbose, quiet=quiet, log_format=log_format):
            from dzbgp.console.logs import silence_retry_logs  # noqa: PLC0415
            from dzbgp.fleet.from_ledger.selection import Selection  # noqa: PLC0415 - slow
            from dzbgp.ledger.networks import network  # noqa: PLC0415

            silence_retry_logs()
            selection = Selection(
                contributor=options.names(contributor),
                metro=options.names(metro),
                location=options.names(location),
                status=options.names(status),
                code=options.names(code),
                hostname=hostname,
            )
            net = network(env, tuple(rpc_url or ()), program_id)
            result = sync(directory, net, selection, prune=prune, dry_run=dry_run)
            if result is ExitCode.CHANGES_PENDING and not exit_code:
                result = ExitCode.OK
        raise typer.Exit(result)


def sync(
    directory: Path, net: "Network", selection: "Selection", *, prune: bool = False, dry_run: bool = False
) -> ExitCode:
    """Brings the inventory in `directory` up to date and prints what changed. Raises a DzbgpError.

    Gives CHANGES_PENDING for a dry run with any, PARTIAL when they could not be printed.
    """
    import logging  # noqa: PLC0415

    from dzbgp.console.stdout import print_result  # noqa: PLC0415
    from dzbgp.fleet.from_ledger.directory import plan_update  # noqa: PLC0415 - slow
    from dzbgp.fleet.from_ledger.facts import facts_of  # noqa: PLC0415
    from dzbgp.ledger.program.snapshot import take_snapshot  # noqa: PLC0415

    selection.check()
    snapshot = take_snapshot(net, with_users=False)
    for sentence in snapshot.data.skipped:
        logging.getLogger(__name__).warning("%s", sentence)
    plan = plan_update(
        directory, net.name, facts_of(snapshot.data.devices, snapshot.names), selection, prune=prune
    )
    if not dry_run:
        plan.carry_out()
    head = f"{net.name}, slot {snapshot.data.slot}: {len(snapshot.data.devices)} devices"

    def show(console: Any) -> None:
        for line in _lines(plan, head, dry_run=dry_run):
            console.print(one_line(line), markup=False, highlight=False, soft_wrap=True)

    code = print_result(show)
    return ExitCode.CHANGES_PENDING if code is ExitCode.OK and dry_run and plan.files else code


def _lines(plan: "Plan", head: str, *, dry_run: bool) -> Iterator[str]:
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
    counts = [f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds)]
    more = [
        (tally.unchanged, "unchanged"),
        (tally.not_chosen, "of them not chosen by these filters"),
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
