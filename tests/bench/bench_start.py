"""How soon the command line answers, beside an empty Typer program."""

import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from big_world import big_world
from goals import Row, Table

from dzbgp.lab.solana.ledger import Ledger

ROUNDS = 15
SCRIPT = str(Path(sys.executable).with_name("dzbgp"))
EMPTY = (
    "import typer\napp = typer.Typer()\n@app.command()\ndef one(): ...\n@app.command()\ndef two(): ...\napp()"
)
"""A Typer program that does nothing."""
COLD_ROUNDS, LEAST_FILES = 5, 100
HELP_GOAL, COMPLETION_GOAL_S = 1.3, 0.15


@dataclass
class Call:
    """A command, and what it says if it does what it should."""

    words: list[str]
    says: str
    environ: dict[str, str] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def run(self) -> None:
        started = time.monotonic()
        done = subprocess.run(
            self.words, capture_output=True, check=True, text=True, env=os.environ | self.environ
        )
        self.seconds.append(time.monotonic() - started)
        assert self.says in done.stdout, done.stdout + done.stderr

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


LISTED = """
import contextlib, sys
sys.argv = ["dzbgp", *sys.argv[1:]]
from dzbgp.cli.app import app
with contextlib.suppress(SystemExit):
    app()
for module in list(sys.modules.values()):
    if file := getattr(module, "__cached__", None) or getattr(module, "__file__", None):
        print(file, file=sys.stderr)
"""
"""Runs a command, and prints the files of all that it has imported."""


def bench() -> Table:
    empty = Call([sys.executable, "-c", EMPTY, "--help"], "Usage")
    version = Call([SCRIPT, "--version"], "dzbgp ")
    helped = Call([SCRIPT, "--help"], "watch")
    completed = Call(
        [SCRIPT],
        "--ledger-interval",
        {"_DZBGP_COMPLETE": "complete_bash", "COMP_WORDS": "dzbgp watch --ledger", "COMP_CWORD": "2"},
    )
    for _ in range(ROUNDS):
        for call in (empty, version, helped, completed):
            call.run()
    warm, cold = listing()
    table = Table("Start", f"whole processes, medians of {ROUNDS}, in turn; a listing of {COLD_ROUNDS}")
    ratio = helped.median / empty.median
    table.rows = [
        Row("--help of an empty Typer program", f"{empty.median * 1000:.0f} ms"),
        Row("dzbgp --version", f"{version.median * 1000:.0f} ms"),
        Row(
            "dzbgp --help / --help of an empty Typer program",
            f"{helped.median * 1000:.0f} ms, {ratio:.2f} x",
            f"{HELP_GOAL} x",
            ratio <= HELP_GOAL,
        ),
        Row(
            "completion of an option",
            f"{completed.median * 1000:.0f} ms",
            f"{COMPLETION_GOAL_S * 1000:.0f} ms",
            completed.median <= COMPLETION_GOAL_S,
        ),
        Row("dzbgp users", f"{warm * 1000:.0f} ms"),
        Row("dzbgp users, none of its files in memory", f"{cold * 1000:.0f} ms, {cold / warm:.1f} x"),
    ]
    return table


def listing() -> tuple[float, float]:
    """The seconds of `dzbgp users` on a small ledger, with its files in memory and without."""
    world = big_world(4, 16)
    with Ledger.start(
        world.accounts(), program_id=world.program_id, balances={}, start_slot=world.now_slot
    ) as ledger:
        words = ["users", "--env", "localnet", "--rpc-url", ledger.url]
        told = subprocess.run(
            [sys.executable, "-c", LISTED, *words], capture_output=True, check=True, text=True
        )
        files = [Path(line) for line in told.stderr.splitlines() if Path(line).is_file()]
        assert len(files) > LEAST_FILES, told.stderr
        calls = [Call([SCRIPT, *words], world.devices[0].code) for _ in range(2)]
        for _ in range(COLD_ROUNDS):
            for call, is_cold in zip(calls, (False, True), strict=True):
                if is_cold:
                    forget(files)
                call.run()
    return calls[0].median, calls[1].median


def forget(files: list[Path]) -> None:
    """Let the system drop these files from memory."""
    for file in files:
        with file.open("rb") as stream:
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
