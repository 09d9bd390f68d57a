"""Runs the benchmarks: `python -m tests.bench` all of them, `python -m tests.bench fetch submit` some.

With `--page FILE`, as often as wanted, the figures are also written into that page. A benchmark is a module
bench_<name>.py in this directory with a function `bench() -> Table`.
"""

import argparse
import importlib
import inspect
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main(words: list[str]) -> int:
    sys.path.insert(0, str(HERE))
    from marks import replaced  # noqa: PLC0415 - beside this file

    known = sorted(file.stem.removeprefix("bench_") for file in HERE.glob("bench_*.py"))
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Runs the benchmarks.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(known)}; none: all")
    parser.add_argument("--page", action="append", default=[], type=Path, help="keep this page's figures")
    parser.add_argument("--seconds", type=float, help="how long truth goes on (default: 300)")
    asked = parser.parse_args(words)
    unknown = [name for name in asked.names if name not in known]
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(known)}")
    tables = {}
    for name in asked.names or known:
        started = time.monotonic()
        bench = importlib.import_module(f"bench_{name}").bench
        has_length = asked.seconds is not None and "seconds" in inspect.signature(bench).parameters
        table = tables[name] = bench(asked.seconds) if has_length else bench()
        print(f"{name}: {table}\n(took {time.monotonic() - started:.0f} s)\n", flush=True)  # noqa: T201
    for page in asked.page:
        page.write_text(replaced(page.read_text(encoding="utf-8"), tables), encoding="utf-8")
    missed = [name for name, table in tables.items() if table.missed]
    if missed:
        print(f"goals missed: {', '.join(missed)}")  # noqa: T201
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
