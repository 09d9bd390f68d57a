"""`dzbgp users` and `dzbgp devices`: what the ledger says. No device is touched, and nothing that could is loaded."""

from typing import TYPE_CHECKING

import typer

from dzbgp.cli.errors import reporting_errors
from dzbgp.cli.options import takes
from dzbgp.cli.own_options import ListingFormat, Logging
from dzbgp.fleet.options import HeldKeys, NetworkRequest
from dzbgp.listing.query import DeviceQuery, UserQuery

if TYPE_CHECKING:
    from dzbgp.ledger.program.snapshot import Snapshot


def register(app: typer.Typer) -> None:
    """Add the two commands to `app`."""

    @app.command()
    @takes(NetworkRequest, UserQuery, ListingFormat, Logging)
    def users(request: NetworkRequest, query: UserQuery, wanted: ListingFormat, logging: Logging) -> None:
        """Shows the ledger's users, and how old each user's report is. No device is contacted.

        Exit codes: 0 done; 1 the ledger could not be read; 2 usage; 3 the result could not be printed.
        """
        with reporting_errors(logging):
            from dzbgp.listing.output import print_listing  # noqa: PLC0415 - slow
            from dzbgp.listing.users import list_users  # noqa: PLC0415 - slow

            output = wanted.format
            listing = list_users(_snapshot(request), query)
            code = print_listing(listing, output, is_wide=wanted.wide, as_rows=wanted.json)
        raise typer.Exit(code)

    @app.command()
    @takes(NetworkRequest, HeldKeys, DeviceQuery, ListingFormat, Logging)
    def devices(
        request: NetworkRequest, keys: HeldKeys, query: DeviceQuery, wanted: ListingFormat, logging: Logging
    ) -> None:
        """Shows the ledger's devices, with their publishers and the counts of their users. No device is contacted.

        Exit codes: 0 done; 1 the ledger could not be read; 2 usage; 3 the result could not be printed.
        """
        with reporting_errors(logging):
            from dzbgp.ledger.submit.signers import load_signers  # noqa: PLC0415 - slow
            from dzbgp.listing.devices import list_devices  # noqa: PLC0415 - slow
            from dzbgp.listing.output import print_listing  # noqa: PLC0415 - slow

            output = wanted.format
            held = frozenset(load_signers(keys.keypairs).keypairs) if keys.keypairs else None
            listing = list_devices(_snapshot(request), query, held)
            code = print_listing(listing, output, is_wide=wanted.wide, as_rows=wanted.json)
        raise typer.Exit(code)


def _snapshot(request: NetworkRequest) -> "Snapshot":
    from dzbgp.ledger.networks import network  # noqa: PLC0415 - slow
    from dzbgp.ledger.program.snapshot import take_snapshot  # noqa: PLC0415 - slow

    return take_snapshot(network(request.env, request.rpc_urls, request.program_id))
