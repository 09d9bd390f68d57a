"""`dzbgp history`, `dzbgp status` and `dzbgp release`: what the state file says, and its one row to change."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from dzbgp.cli.errors import reporting_errors
from dzbgp.cli.options import takes
from dzbgp.cli.own_options import ListingFormat, Logging
from dzbgp.console.option import REPORT, option
from dzbgp.fleet.options import ProgramRequest
from dzbgp.listing.query import HistoryQuery, Record
from dzbgp.state.options import StateChoice

if TYPE_CHECKING:
    from dzbgp.state.store import Store


@dataclass(frozen=True, kw_only=True)
class _StatusFormat:
    json: bool = option(False, REPORT, "Print JSON instead of five lines.")


def register(app: typer.Typer) -> None:
    """Add the three commands to `app`."""

    @app.command()
    @takes(ProgramRequest, StateChoice, HistoryQuery, ListingFormat, Logging)
    def history(
        request: ProgramRequest,
        choice: StateChoice,
        query: HistoryQuery,
        wanted: ListingFormat,
        logging: Logging,
        record: Annotated[
            Record | None,
            typer.Argument(
                help="What to list. Default: passes, or transitions if an option is about them.",
                show_default=False,
            ),
        ] = None,
    ) -> None:
        """Shows earlier passes, session transitions or writes from the state file. Only that file is read.

        Exit codes: 0 done; 2 usage, or no state file; 3 the result could not be printed.
        """
        with reporting_errors(logging):
            from dzbgp.listing.history import list_history  # noqa: PLC0415 - slow
            from dzbgp.listing.history_output import print_history  # noqa: PLC0415 - slow

            output = wanted.format
            with _opened(request, choice) as store:
                found = list_history(store, query, record)
            code = print_history(found, output, is_wide=wanted.wide, as_rows=wanted.json)
        raise typer.Exit(code)

    @app.command()
    @takes(ProgramRequest, StateChoice, _StatusFormat, Logging)
    def status(request: ProgramRequest, choice: StateChoice, wanted: _StatusFormat, logging: Logging) -> None:
        """Shows the last pass of the state file in five lines and exits with its exit code. Nothing is written.

        Exit codes: those of `dzbgp run`; also 2 without a state file or a pass in it, 3 if nothing could be printed.
        """
        with reporting_errors(logging):
            from dzbgp.console.stdout import print_text  # noqa: PLC0415 - slow
            from dzbgp.listing.status import read_status, render_json, render_text  # noqa: PLC0415 - slow

            with _opened(request, choice) as store:
                found = read_status(store)
            code = print_text((render_json if wanted.json else render_text)(found)) or found.exit_code
        raise typer.Exit(code)

    @app.command()
    @takes(ProgramRequest, StateChoice, Logging)
    def release(
        request: ProgramRequest,
        choice: StateChoice,
        logging: Logging,
        host: Annotated[
            str | None,
            typer.Argument(
                help="Only Downs held on this device (host, code or key).", show_default="every device"
            ),
        ] = None,
    ) -> None:
        """Releases the Downs that the guard holds now. The next pass of a watch, timer or cron job writes them.

        Writes to the state file only. Downs that the guard holds later are not released.
        Exit codes: 0 done, or nothing was held; 2 usage, or the state file cannot be written.
        """
        with reporting_errors(logging):
            from dzbgp.console.stdout import print_text  # noqa: PLC0415 - slow
            from dzbgp.run.release import release_held  # noqa: PLC0415 - slow

            with _opened(request, choice, read_only=False) as store:
                code = print_text("\n".join(release_held(store, host)))
        raise typer.Exit(code)


def _opened(request: ProgramRequest, choice: StateChoice, *, read_only: bool = True) -> "Store":
    from dzbgp.ledger.networks import network  # noqa: PLC0415 - slow
    from dzbgp.state.past import open_past  # noqa: PLC0415 - slow

    program_id = network(request.env, program_id=request.program_id).program_id
    return open_past(choice.state, program_id, read_only=read_only)
