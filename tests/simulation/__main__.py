"""Runs simulations: `make simulate MINUTES=10`, or `make simulate SEED=4711` for one with everything it says.

First come the seeds that ever failed (seeds.txt), then fresh ones until the time is over. A seed that fails is
shrunk, and printed with its schedule. The exit code is 1 when one did.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FAILED = HERE / "seeds.txt"
SHRINKING_S = 60.0
HANGS_S = 120


def main(words: list[str]) -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m simulation", description="Runs simulations.")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to run fresh seeds")
    parser.add_argument("--seed", type=int, help="run this one only, and show all of it")
    parser.add_argument("--first", type=int, help="the first fresh seed (default: by the clock)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first seed that fails")
    parser.add_argument(
        "--planted", nargs="*", metavar="BUG", help="look for these planted bugs; none: for all"
    )
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    asked = parser.parse_args(words)
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of sets of strings is a part of the history.
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "simulation", *words])
    if asked.seed is not None:
        return _show(asked.seed)
    if asked.planted is not None:
        return _hunt(asked.planted, asked.seconds, asked.first or 1)
    if asked.worker is not None:
        return _work(json.loads(asked.worker))
    return _run_all(asked)


def _run_all(asked: argparse.Namespace) -> int:
    first = asked.first if asked.first is not None else int(time.time()) % 10**9 * 1000
    started = time.monotonic()
    known = [
        int(line.split()[0]) for line in FAILED.read_text().splitlines() if line.strip() and line[0] != "#"
    ]
    workers = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "simulation",
                "--worker",
                json.dumps(
                    {
                        "known": known[number :: asked.jobs],
                        "first": first + number,
                        "step": asked.jobs,
                        "seconds": asked.seconds,
                        "keep_going": asked.keep_going,
                        "parent": os.getpid(),
                    }
                ),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(asked.jobs)
    ]
    totals: Counter[str] = Counter()
    names: Counter[str] = Counter()
    failed = []
    for worker in workers:
        out, _ = worker.communicate()
        lines = out.splitlines()
        if worker.returncode != 0 or not lines:
            failed.append({"seed": "?", "text": f"a worker ended with {worker.returncode}:\n{out[-4000:]}"})
            continue
        told: dict[str, Any] = json.loads(lines[-1])
        totals.update(told["totals"])
        names.update(told["names"])
        failed += told["failed"]
    for one in failed:
        _say(f"\n{one['text']}")
    late = totals["late_landings"] / max(1, totals["landings"])
    seconds = time.monotonic() - started
    _say(
        f"{totals['seeds']} seeds from {first} in {seconds:.0f} s ({totals['seeds'] / seconds:.1f} a second), "
        f"{totals['virtual_s'] / 3600:.0f} h of virtual time, {totals['passes']} passes, "
        f"{totals['requests']} requests, {totals['signatures']} signatures; {totals['landings']} writes landed, "
        f"{late:.2%} of them later than the world they were signed for"
    )
    if names:
        _say(
            f"known to be broken still: {', '.join(f'{name} ({count} seeds)' for name, count in names.most_common())}"
        )
    _say(f"failed: {', '.join(str(one['seed']) for one in failed)}" if failed else "every invariant held")
    return 1 if failed else 0


def _hunt(names: list[str], seconds: float, first: int) -> int:
    """Look for planted bugs, one after another, each for so long; print how many seeds each took."""
    from simulation import planted, simulate  # noqa: PLC0415 - not before the hash seed is right
    from simulation.kernel import real_monotonic  # noqa: PLC0415

    missed = []
    for name in names or planted.BUGS:
        bug, seed, found = planted.BUGS[name], first, ""
        started = real_monotonic()
        with bug.planted():
            while not found and real_monotonic() - started < seconds:
                result = simulate.run_seed(seed)
                found = next((one.name for one in result.findings if one.name in bug.findings), "")
                seed += 1
        took = f"{seed - first} seeds, {real_monotonic() - started:.0f} s"
        _say(f"{bug.section:25} {name:16} {found or 'NOT FOUND':20} {took:18} {bug.words}")
        missed += [] if found else [name]
    sys.stdout.flush()
    os._exit(1 if missed else 0)


def _work(asked: dict[str, Any]) -> int:
    import faulthandler  # noqa: PLC0415

    from simulation import simulate  # noqa: PLC0415 - not before the hash seed is right
    from simulation.kernel import real_monotonic  # noqa: PLC0415

    ends = real_monotonic() + asked["seconds"]
    totals: Counter[str] = Counter()
    names: Counter[str] = Counter()
    failed: list[dict[str, Any]] = []
    known, seed = list(asked["known"]), asked["first"]
    while known or real_monotonic() < ends:
        if os.getppid() != asked["parent"]:
            break  # it was ended: nobody waits for this
        if known:
            one = known.pop(0)
        else:
            one, seed = seed, seed + asked["step"]
        faulthandler.dump_traceback_later(HANGS_S, exit=True)
        result = simulate.run_seed(one)
        totals.update(
            seeds=1,
            virtual_s=int(result.virtual_s),
            passes=result.passes,
            requests=result.requests,
            signatures=result.signatures,
            landings=result.landings,
            late_landings=result.late_landings,
        )
        broken = {finding.name for finding in result.findings}
        names.update(broken & simulate.NOT_YET)
        if broken - simulate.NOT_YET:
            faulthandler.cancel_dump_traceback_later()
            # Others go on, perhaps for hours: who waits for them can begin with this one.
            print(f"seed {one} fails: {', '.join(sorted(broken))}", file=sys.stderr, flush=True)  # noqa: T201
            failed.append({"seed": one, "text": _shrunk(result)})
            if not asked["keep_going"]:
                break
    faulthandler.cancel_dump_traceback_later()
    _say(json.dumps({"totals": totals, "names": names, "failed": failed}))
    sys.stdout.flush()
    # Threads that carry the kernel's are waiting for work: there is nothing to wait for.
    os._exit(0)


def _shrunk(result: Any) -> str:
    from simulation import simulate  # noqa: PLC0415
    from simulation.kernel import real_monotonic  # noqa: PLC0415

    wanted = {finding.name for finding in result.findings} - simulate.NOT_YET
    ends = real_monotonic() + SHRINKING_S

    def fails(schedule: Any) -> bool:
        if real_monotonic() > ends:
            return False
        return bool(wanted & {finding.name for finding in simulate.run_schedule(schedule).findings})

    smaller = simulate.run_schedule(simulate.shrunk(result.schedule, fails))
    findings = [str(one) for one in smaller.findings if one.name not in simulate.NOT_YET]
    return "\n".join(
        [
            f"SEED {result.schedule.seed} FAILS (`make simulate SEED={result.schedule.seed}` shows all)",
            f"shrunk from {len(result.schedule.events)} to {len(smaller.schedule.events)} events:",
            str(smaller.schedule),
            *smaller.log[-60:],
            *findings,
        ]
    )


def _show(seed: int) -> int:
    from simulation import simulate  # noqa: PLC0415

    result = simulate.run_seed(seed)
    _say("\n".join([str(result.schedule), *result.log, *map(str, result.findings)]))
    sys.stdout.flush()
    os._exit(1 if {finding.name for finding in result.findings} - simulate.NOT_YET else 0)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the command's output


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
