"""The same targets under atheris, which is led by coverage: python tests/fuzz/atheris_fuzz.py eapi -max_total_time=60.

It takes libFuzzer's options; what it found is written to a file, whose name as argument runs it again.
"""

import logging
import sys
from pathlib import Path

import atheris

INSTRUMENTED = (
    "dzbgp.ledger.program.accounts",
    "dzbgp.ledger.rpc.client",
    "dzbgp.ledger.program.cache",
    "dzbgp.ledger.rpc.pool",
    "dzbgp.models.ledger",
    "dzbgp.decision.policy",
    "dzbgp.decision.resolver",
    "dzbgp.eos.bgp",
    "dzbgp.eos.decoding",
    "dzbgp.eos.eapi",
)


def main() -> None:
    here = Path(__file__).resolve()
    sys.path[:0] = [str(here.parent), str(here.parents[1]), str(here.parents[2])]
    with atheris.instrument_imports(include=list(INSTRUMENTED)):
        import targets  # noqa: PLC0415 - as it is imported, it is instrumented
    logging.disable(logging.ERROR)
    name = sys.argv.pop(1) if len(sys.argv) > 1 else ""
    if name not in targets.TARGETS:
        sys.exit(f"expected one of {', '.join(targets.TARGETS)}")
    atheris.Setup(sys.argv, targets.TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
