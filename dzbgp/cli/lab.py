"""`dzbgp lab`: the simulated fleet and ledger, for trying things out."""

from pathlib import Path
from typing import Annotated

import typer

from dzbgp.cli import options
from dzbgp.cli.errors import reporting_errors


def register(app: typer.Typer) -> None:
    """Gives `app` the command."""

    @app.command("lab")
    def lab_command(
        directory: Annotated[
            Path,
            typer.Option(
                "--dir", envvar="DZBGP_DIR", metavar="PATH", help="Where the keypairs go while the lab runs."
            ),
        ] = Path(".lab"),
        port: Annotated[
            int,
            typer.Option(
                "--port",
                envvar="DZBGP_PORT",
                min=0,
                max=65535,
                help="The ledger's port on 127.0.0.1, 0 for a free one.",
            ),
        ] = 8899,
        seed: Annotated[
            int, typer.Option("--seed", envvar="DZBGP_SEED", help="The same seed gives the same world.")
        ] = 1,
        verbose: options.Verbose = 0,
        log_format: options.LogFormatOption = options.LogFormat.TEXT,
    ) -> None:
        """Starts simulated devices and a local ledger, says how to use them, and runs until it is interrupted."""
        with reporting_errors(verbose=verbose, quiet=False, log_format=log_format):
            from dzbgp.lab.serve import serve_lab  # noqa: PLC0415 - slow

            serve_lab(directory, port=port, seed=seed, say=typer.echo)
