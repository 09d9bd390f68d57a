"""How soon the command line answers, beside an empty Typer program."""

import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from goals import Row, Table

ROUNDS = 15
SCRIPT = str(Path(sys.executable).with_name("dzbgp"))
EMPTY = (
    "import typer\napp = typer.Typer()\n@app.command()\ndef one(): ...\n@app.command()\ndef two(): ...\napp()"
)
"""A Typer program that does nothing."""
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
    table = Table("Start", f"whole processes, medians of {ROUNDS}, in turn")
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
    ]
    return table
