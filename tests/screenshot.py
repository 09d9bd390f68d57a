"""Makes the README's screenshot: rich's SVG export of a real run on the lab.

python -m tests.screenshot docs/run.svg
"""

import io
import sys
from pathlib import Path

from rich.console import Console

from dzbgp.cli.lab import lab_for
from dzbgp.cli.own_options import LabChoice
from dzbgp.console import logs
from dzbgp.report import table
from dzbgp.run.once import run_once
from dzbgp.run.request import RunRequest

COMMAND = "dzbgp run --inventory inventory --lab --limit ams-dz-001,nyc-dz-001,tyo-dz-001"
WIDTH = 100
"""What a page shows without making it smaller than can be read."""


def main(target: Path) -> None:
    """Runs on the lab and writes the SVG to `target`."""
    request = RunRequest(
        inventory=Path("inventory"),
        limit=("ams-dz-001", "nyc-dz-001", "tyo-dz-001"),
    )
    stderr = Console(stderr=True)
    logs.configure(stderr, verbose=0, quiet=True)
    with lab_for(request, LabChoice(lab=True)) as asked:
        report = run_once(asked)
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    table.render(report, console)
    target.parent.mkdir(exist_ok=True)
    target.write_text(console.export_svg(title=COMMAND), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
