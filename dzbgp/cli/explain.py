"""`dzbgp explain`: everything about one user. Nothing is written, anywhere."""

from dataclasses import dataclass
from typing import Annotated

import typer

from dzbgp.cli.errors import reporting_errors
from dzbgp.cli.lab import lab_for
from dzbgp.cli.options import takes
from dzbgp.cli.own_options import LabChoice, Logging
from dzbgp.console.option import REPORT, option
from dzbgp.run.request import RunRequest
from dzbgp.state.known import known_users


@dataclass(frozen=True, kw_only=True)
class _Format:
    json: bool = option(False, REPORT, "Print JSON instead of text.")


def _users(ctx: typer.Context, incomplete: str) -> list[str]:
    return [key for key in known_users(ctx.params) if key.startswith(incomplete)]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""

    @app.command()
    @takes(RunRequest, LabChoice, _Format, Logging)
    def explain(
        request: RunRequest,
        choice: LabChoice,
        wanted: _Format,
        logging: Logging,
        user: Annotated[
            str,
            typer.Argument(
                help="A user's key or its first characters, a client IP, or a tunnel address.",
                autocompletion=_users,
            ),
        ],
    ) -> None:
        """Explains one user: ledger, device, history, what a run would do now and why, and what to do next.

        Nothing is written. Without --inventory only the ledger and the state file are read.
        Exit codes: 0 done, whatever the result; 1 the ledger could not be read; 2 usage, or no such user;
        3 the result could not be printed.
        """
        with reporting_errors(logging) as stderr:
            from dzbgp.console.progress import progress_bar  # noqa: PLC0415 - slow
            from dzbgp.console.stdout import print_result, print_text  # noqa: PLC0415 - slow
            from dzbgp.diagnostics.explain.explain import run_explain  # noqa: PLC0415 - slow
            from dzbgp.diagnostics.explain.render import render_json, render_text  # noqa: PLC0415 - slow

            with (
                lab_for(request, choice) as asked,
                progress_bar(stderr, enabled=not logging.quiet) as progress,
            ):
                found = run_explain(asked, user, progress)
            if wanted.json:
                code = print_text(render_json(found))
            else:
                code = print_result(lambda console: render_text(found, console))
        raise typer.Exit(code)
