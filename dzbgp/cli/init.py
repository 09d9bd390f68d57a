"""`dzbgp init`: what a scheduled job needs, in one directory: inventory, configuration, and a unit or a cron file."""

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import typer

from dzbgp.cli.errors import reporting_errors
from dzbgp.cli.init_files import Deployment, Schedule
from dzbgp.cli.inventory import sync
from dzbgp.cli.options import takes
from dzbgp.cli.own_options import Logging
from dzbgp.console.option import DAILY, DEVICES, SET_UP, listed, option, repeated
from dzbgp.errors import ExitCode, UsageError
from dzbgp.fleet.options import NetworkRequest


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    directory: Path = option(
        Path("/etc/dzbgp"),
        SET_UP,
        "Directory to write.",
        name="output",
        short="-o",
        metavar="DIR",
        key="init-dir",
    )
    contributor: tuple[str, ...] = listed(DAILY, "Contributor codes of your devices.", "CODE")
    keypairs: tuple[Path, ...] = repeated(
        DAILY,
        "Publisher keypair: file or directory. Repeatable.",
        "keypair",
        "PATH",
    )
    eos_username: str | None = option(None, DEVICES, "Username on the devices.", metavar="NAME")
    eos_password_file: Path | None = option(None, DEVICES, "File with the devices' password.", metavar="PATH")
    eos_password_command: str | None = option(
        None, DEVICES, "Command that prints the devices' password.", metavar="COMMAND"
    )
    tls_ca_file: Path | None = option(None, DEVICES, "CA certificate of the devices (PEM).", metavar="PATH")
    schedule: Schedule | None = option(
        None,
        SET_UP,
        "watch and timer: systemd units; cron: a file for /etc/cron.d.",
        shown_default="watch",
    )
    yes: bool = option(False, SET_UP, "Ask no questions: use the given options and the defaults.")


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""

    @app.command()
    @takes(NetworkRequest, _Wanted, Logging)
    def init(request: NetworkRequest, wanted: _Wanted, logging: Logging) -> None:
        """Writes an inventory, a configuration file and a schedule into a directory, and checks them.

        Asks for options that are missing. Nothing is written onchain. Exit codes: those of `dzbgp check`.
        """
        with reporting_errors(logging):
            from dzbgp.console.stdout import print_text  # noqa: PLC0415 - slow
            from dzbgp.fleet.from_ledger.selection import Selection  # noqa: PLC0415 - slow
            from dzbgp.ledger.networks import network  # noqa: PLC0415 - slow

            request, wanted = _completed(request, wanted)
            net = network(request.env, request.rpc_urls, request.program_id)
            job = Deployment(
                directory=wanted.directory.absolute(),
                env=net.name,
                rpc_urls=request.rpc_urls,
                program_id=request.program_id,
                keypairs=wanted.keypairs,
                eos_username=wanted.eos_username,
                eos_password_file=wanted.eos_password_file,
                eos_password_command=wanted.eos_password_command,
                tls_ca_file=wanted.tls_ca_file,
                schedule=wanted.schedule or Schedule.WATCH,
            )
            job.check()
            code = sync(job.inventory, net, Selection(contributor=wanted.contributor))
            for file in job.write():
                code = print_text(f"Wrote {file}.") or code
            code = _check(job) or code
            code = print_text(f"\nNext: dzbgp run --config {job.config} --dry-run") or code
            if job.steps:
                code = print_text("\n  ".join(["Then, as root:", *job.steps])) or code
        raise typer.Exit(code)


def _completed(request: NetworkRequest, wanted: _Wanted) -> tuple[NetworkRequest, _Wanted]:
    """Return the two with what was missing. Raises UsageError if an answer is missing."""
    if not wanted.yes and _can_ask():
        request, wanted = _asked_network(request), _asked_job(wanted)
    if not wanted.contributor:
        raise UsageError(
            "--contributor: it is missing; expected your contributor code. Without it your password "
            "would be sent to other contributors' devices"
        )
    if wanted.eos_password_file is not None and wanted.eos_password_command is not None:
        raise UsageError(
            "--eos-password-command: cannot be combined with --eos-password-file; expected one of the two"
        )
    return request, wanted


def _asked_network(request: NetworkRequest) -> NetworkRequest:
    if not request.env:
        request = replace(request, env=_asked("Environment", "mainnet-beta"))
    if not request.rpc_urls:
        url = _asked("URL of an RPC (empty: the network's own)", "")
        request = replace(request, rpc_urls=(url,) if url else ())
    return request


def _asked_job(wanted: _Wanted) -> _Wanted:
    if not wanted.contributor:
        codes = _asked("Contributor (its code on the ledger)").split(",")
        wanted = replace(wanted, contributor=tuple(code.strip() for code in codes if code.strip()))
    if not wanted.keypairs:
        path = _asked("Keypair file of the metrics publisher", "/etc/dzbgp/secrets/publisher.json")
        wanted = replace(wanted, keypairs=(Path(path),))
    if wanted.eos_username is None:
        wanted = replace(wanted, eos_username=_asked("User of the devices", "monitor"))
    if wanted.eos_password_file is None and wanted.eos_password_command is None:
        path = _asked("File with that user's password", "/etc/dzbgp/secrets/eos-password")
        wanted = replace(wanted, eos_password_file=Path(path))
    return wanted if wanted.schedule else replace(wanted, schedule=_asked_schedule())


def _can_ask() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _asked(what: str, default: str | None = None) -> str:
    return str(typer.prompt(what, default=default, err=True)).strip()


def _asked_schedule() -> Schedule:
    while True:
        answer = _asked(f"Schedule ({', '.join(Schedule)})", Schedule.WATCH)
        if answer in set(Schedule):
            return Schedule(answer)


def _check(job: Deployment) -> ExitCode:
    """Check the job as its schedule will run it: with the configuration file, in a process of its own."""
    sys.stdout.flush()
    command = [sys.executable, "-m", "dzbgp", "check", "--config", str(job.config)]
    code = subprocess.run(command, check=False).returncode  # noqa: S603 - this program
    return ExitCode(code) if code in set(ExitCode) else ExitCode.PARTIAL
