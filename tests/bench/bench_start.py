"""How soon the command line answers, beside the import of what it is made of."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

from goals import Row, Table

ROUNDS = 15
SCRIPT = str(Path(sys.executable).with_name("dzbgp"))
BASE = [sys.executable, "-c", "import typer, rich.console"]
EMPTY = (
    "import typer\napp = typer.Typer()\n@app.command()\ndef one(): ...\n@app.command()\ndef two(): ...\napp()"
)
"""A Typer program that does nothing."""


def bench() -> Table:
    empty = [sys.executable, "-c", EMPTY, "--help"]
    calls = {"base": BASE, "empty": empty, "--help": [SCRIPT, "--help"], "--version": [SCRIPT, "--version"]}
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, words in calls.items():
            started = time.monotonic()
            subprocess.run(words, capture_output=True, check=True)
            taken[name].append(time.monotonic() - started)
    base, least = (statistics.median(taken.pop(name)) for name in ("base", "empty"))
    table = Table("Start", f"whole processes, medians of {ROUNDS}, in turn")
    table.rows = [
        Row("import typer, rich.console", f"{base * 1000:.0f} ms"),
        Row("--help of an empty Typer program", f"{least * 1000:.0f} ms, {least / base:.2f} x"),
    ]
    for name, seconds in taken.items():
        ratio = statistics.median(seconds) / base
        shown = f"{statistics.median(seconds) * 1000:.0f} ms, {ratio:.2f} x"
        table.rows.append(Row(f"dzbgp {name} / import typer, rich.console", shown, "1.5 x", ratio <= 1.5))
    return table
