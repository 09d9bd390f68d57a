"""The simulated fleet and ledger: `dzbgp lab`, and what --lab puts in the place of a network."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from dzbgp.cli.errors import reporting_errors
from dzbgp.cli.options import takes
from dzbgp.cli.own_options import LabChoice, Logging
from dzbgp.console.option import DAILY, number, option
from dzbgp.errors import UsageError
from dzbgp.run.request import NO_STATE, SetupRequest

_HIGHEST_PORT = 65_535

Request = TypeVar("Request", bound=SetupRequest)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > _HIGHEST_PORT:
        raise ValueError(f"invalid port {text!r}: expected 0 to {_HIGHEST_PORT}")
    return int(text)


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    directory: Path = option(
        Path(".lab"),
        DAILY,
        "Directory for keypairs and inventory while the lab runs.",
        name="dir",
        metavar="PATH",
    )
    port: int = option(
        8899,
        DAILY,
        "Port of the ledger on 127.0.0.1; 0: a free port.",
        metavar="NUMBER",
        parse=_port,
    )
    seed: int = number(1, DAILY, "Seed of the simulated fleet; the same seed, the same fleet.", least=0)


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""

    @app.command("lab")
    @takes(_Wanted, Logging)
    def lab_command(
        wanted: _Wanted,
        logging: Logging,
        action: Annotated[
            list[str] | None,
            typer.Argument(
                metavar="[ACTION]",
                help="Change the running lab in --dir: flap HOST [PEER], mass-down HOST, "
                "recover HOST, rpc freeze, rpc thaw.",
            ),
        ] = None,
    ) -> None:
        """Start simulated devices and a local ledger, print how to use them, and run until interrupted."""
        with reporting_errors(logging):
            from dzbgp.console.stdout import print_text  # noqa: PLC0415 - slow

            if action:
                from dzbgp.lab.control import send  # noqa: PLC0415 - slow

                print_text(send(wanted.directory, action))
                return
            from dzbgp.lab.serve import serve_lab  # noqa: PLC0415 - slow

            serve_lab(wanted.directory, port=wanted.port, seed=wanted.seed, say=print_text)


@contextlib.contextmanager
def lab_for(request: Request, choice: LabChoice) -> Iterator[Request]:
    """Yield the request, or with --lab a request for a lab that runs inside the block. Raises a DzbgpError."""
    if not choice.lab:
        yield request
        return
    from dzbgp.fleet.from_ledger.source import is_ledger_url  # noqa: PLC0415 - slow
    from dzbgp.lab.lab import Lab  # noqa: PLC0415 - slow

    taken = [
        ("--rpc-url", request.rpc_urls),
        ("--keypair", request.keypairs),
        ("--program-id", request.program_id),
    ]
    for name, value in taken:
        if value:
            raise UsageError(f"{name} cannot be combined with --lab, which has its own")
    inventory = request.inventory
    if inventory is not None and is_ledger_url(inventory):
        raise UsageError(
            "--inventory dz:// cannot be combined with --lab; expected the directory of an inventory"
        )
    with Lab.start(addresses=None if inventory is None else _addresses(inventory)) as lab:
        # The lab's devices can prove their identity, so it is required unless the request says otherwise.
        verified = request.tls_verify is False or request.tls_ca_file is not None
        yield replace(
            request,
            inventory=inventory or lab.inventory,
            env=lab.network.name,
            rpc_urls=lab.network.rpc_urls,
            program_id=str(lab.network.program_id),
            keypairs=(lab.keypairs,),
            tls_ca_file=request.tls_ca_file if verified else lab.ca_file,
            # Each lab is a new world: there is nothing to remember.
            state=request.state or NO_STATE,
        )


def _addresses(inventory: Path) -> dict[str, tuple[str, int]]:
    """Return the addresses of the lab's devices in an inventory, by device code."""
    from dzbgp.eos.connection import CONNECTION  # noqa: PLC0415 - slow
    from dzbgp.fleet.fleet import Fleet  # noqa: PLC0415 - slow
    from dzbgp.fleet.load import load_inventory  # noqa: PLC0415 - slow
    from dzbgp.lab.world.world import World  # noqa: PLC0415 - slow

    everything = Fleet(load_inventory(inventory))
    devices = {spec.device.pubkey: spec.device for spec in World.build().devices}
    addresses = {}
    for name, device in everything.match(devices).items():
        connection = everything.hosts[name].get_connection_parameters(CONNECTION)
        if device is not None and connection.hostname and connection.port:
            addresses[device.code] = (connection.hostname, connection.port)
    return addresses
