"""Runs the benchmarks: `python -m tests.bench` all of them, `python -m tests.bench fetch submit` some.

A benchmark is a module bench_<name>.py in this directory with a function `bench() -> Table`.
"""

import importlib
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main(names: list[str]) -> int:
    sys.path.insert(0, str(HERE))
    known = sorted(file.stem.removeprefix("bench_") for file in HERE.glob("bench_*.py"))
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)  # noqa: T201
        return 2
    missed = []
    for name in names or known:
        table = importlib.import_module(f"bench_{name}").bench()
        print(f"{table}\n", flush=True)  # noqa: T201
        if table.missed:
            missed.append(name)
    if missed:
        print(f"goals missed: {', '.join(missed)}")  # noqa: T201
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
