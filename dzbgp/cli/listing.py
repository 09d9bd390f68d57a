"""`dzbgp users` and `dzbgp devices`: what the ledger says. No device is touched, and nothing that could is loaded."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import typer

from dzbgp.cli import listing_options as read_options
from dzbgp.cli import options
from dzbgp.console.formats import Format

if TYPE_CHECKING:
    from dzbgp.ledger.program.snapshot import Snapshot

Reporting = Callable[..., AbstractContextManager[Any]]
"""Turns what ends a command into one line and an exit code: the command line's own."""


def register(app: typer.Typer, reporting_errors: Reporting) -> None:
    """Gives `app` the two commands."""

    @app.command()
    def users(
        env: options.Env = "mainnet-beta",
        rpc_url: options.RpcUrl = None,
        program_id: options.ProgramId = None,
        device: read_options.Device = "",
        location: read_options.Location = "",
        client_ip: read_options.ClientIp = "",
        status: read_options.Status = "",
        bgp_status: read_options.BgpStatus = "",
        user_type: read_options.UserType = "",
        tenant: read_options.Tenant = "",
        stale_after: read_options.StaleAfter = "12h",  # type: ignore[assignment]
        sort: read_options.Sort = "",
        columns: read_options.Columns = "",
        output: read_options.Output = Format.TABLE,
        verbose: options.Verbose = 0,
        quiet: options.Quiet = False,
        log_format: options.LogFormatOption = options.LogFormat.TEXT,
    ) -> None:
        """Shows the users of the ledger, and how fresh the report of each session is. No device is touched.

        Exit codes: 0 done; 1 the ledger could not be read; 2 usage; 3 the result could not be printed.
        """
        with reporting_errors(verbose=verbose, quiet=quiet, log_format=log_format):
            from dzbgp.listing.output import deliver  # noqa: PLC0415 - slow
            from dzbgp.listing.users import UserQuery, list_users  # noqa: PLC0415 - slow

            query = UserQuery(
                device=options.names(device),
                location=options.names(location),
                client_ip=options.names(client_ip),
                status=options.names(status),
                bgp_status=options.names(bgp_status),
                user_type=options.names(user_type),
                tenant=options.names(tenant),
                sort=options.names(sort),
                columns=options.names(columns),
                stale_after_s=stale_after,
            )
            code = deliver(list_users(_snapshot(env, rpc_url, program_id), query), output)
        raise typer.Exit(code)

    @app.command()
    def devices(
        env: options.Env = "mainnet-beta",
        rpc_url: options.RpcUrl = None,
        program_id: options.ProgramId = None,
        keypair: read_options.Keypair = None,
        device: read_options.Device = "",
        location: read_options.Location = "",
        exchange: read_options.Exchange = "",
        contributor: read_options.Contributor = "",
        status: read_options.Status = "",
        device_type: read_options.DeviceType = "",
        stale_after: read_options.StaleAfter = "12h",  # type: ignore[assignment]
        sort: read_options.Sort = "",
        columns: read_options.Columns = "",
        output: read_options.Output = Format.TABLE,
        verbose: options.Verbose = 0,
        quiet: options.Quiet = False,
        log_format: options.LogFormatOption = options.LogFormat.TEXT,
    ) -> None:
        """Shows the devices of the ledger, with their publishers and the counts of their users. None is touched.

        Exit codes: 0 done; 1 the ledger could not be read; 2 usage; 3 the result could not be printed.
        """
        with reporting_errors(verbose=verbose, quiet=quiet, log_format=log_format):
            from dzbgp.ledger.submit.signers import load_signers  # noqa: PLC0415 - slow
            from dzbgp.listing.devices import DeviceQuery, list_devices  # noqa: PLC0415 - slow
            from dzbgp.listing.output import deliver  # noqa: PLC0415 - slow

            query = DeviceQuery(
                device=options.names(device),
                location=options.names(location),
                exchange=options.names(exchange),
                contributor=options.names(contributor),
                status=options.names(status),
                device_type=options.names(device_type),
                sort=options.names(sort),
                columns=options.names(columns),
                stale_after_s=stale_after,
            )
            held = frozenset(load_signers(keypair).keypairs) if keypair else None
            code = deliver(list_devices(_snapshot(env, rpc_url, program_id), query, held), output)
        raise typer.Exit(code)


def _snapshot(env: str, rpc_url: list[str] | None, program_id: str | None) -> "Snapshot":
    from dzbgp.console.logs import silence_retry_logs  # noqa: PLC0415 - slow
    from dzbgp.ledger.networks import network  # noqa: PLC0415 - slow
    from dzbgp.ledger.program.snapshot import take_snapshot  # noqa: PLC0415 - slow

    silence_retry_logs()
    return take_snapshot(network(env, tuple(rpc_url or ()), program_id))
