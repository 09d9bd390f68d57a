"""The commands by what they are for, and where each is defined: one is imported only when it is asked for.

Whoever asks for help or completion does not wait for the other commands.
"""

import importlib
from dataclasses import dataclass

import typer

SET_UP, RUN, LOOK, TRY = "Set up", "Run", "Look: nothing is written", "Try"


@dataclass(frozen=True, slots=True)
class Entry:
    """A command as the overview shows it; `module` registers it."""

    group: str
    module: str
    help: str
    """What it does, and what it writes."""


ENTRIES = {
    "init": Entry(SET_UP, "init", "Set up inventory, configuration, schedule. Writes files."),
    "check": Entry(SET_UP, "check", "Test everything a run needs. Writes nothing."),
    "inventory": Entry(SET_UP, "inventory", "Make an inventory of the ledger's devices. Writes files."),
    "config": Entry(SET_UP, "config", "Show each option's value and its source. Writes nothing."),
    "run": Entry(RUN, "run", "Run one pass. Writes onchain; with --dry-run nothing."),
    "watch": Entry(RUN, "run", "Run a pass every --interval until stopped. Writes onchain."),
    "release": Entry(RUN, "history", "Release held Downs. Writes to the state file."),
    "status": Entry(LOOK, "history", "The last pass in five lines, and its exit code."),
    "users": Entry(LOOK, "listing", "The ledger's users, and how old their reports are."),
    "devices": Entry(LOOK, "listing", "The ledger's devices, with counts of their users."),
    "explain": Entry(LOOK, "explain", "One user: status, reasons, and what to do next."),
    "history": Entry(LOOK, "history", "Earlier passes, transitions and writes."),
    "audit": Entry(LOOK, "audit", "Inconsistencies on the ledger and with the devices."),
    "lab": Entry(TRY, "lab", "Simulated devices and a local ledger. Writes to --dir."),
}


def registered(name: str) -> typer.Typer:
    """Import the module of this command, and return a Typer program of what it registers."""
    program = typer.Typer()
    importlib.import_module(f"dzbgp.cli.{ENTRIES[name].module}").register(program)
    return program
