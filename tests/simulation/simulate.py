"""Runs one seed: the world, the program in it, what happens to them, and what the oracle says in the end."""

import gc
import logging
import random
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from simulation import program as installed
from simulation.kernel import simulated
from simulation.oracle import Finding
from simulation.program import Ended, Program, at_work
from simulation.rpc import FORGED
from simulation.schedule import Event, Schedule, draw
from simulation.world import World, made, secrets

installed.install()
# What a killed process leaves behind is swept up some time, and objects to it.
sys.unraisablehook = lambda _: None

NOT_YET: frozenset[str] = frozenset()
"""Invariants that the program is known to break; a seed that breaks no other does not fail."""

RESTART_S = 5.0
"""As systemd's RestartSec."""
SETTLING_PASSES, SETTLING_S = 8, 60.0
LONGEST_RUN_S = 900.0


@dataclass
class Result:
    """The result of a seed."""

    schedule: Schedule
    findings: list[Finding]
    virtual_s: float
    signatures: int
    landings: int
    late_landings: int
    requests: int
    passes: int
    log: list[str] = field(default_factory=list)


def run_seed(seed: int) -> Result:
    """Simulate the schedule of a seed."""
    return run_schedule(draw(seed))


def run_schedule(schedule: Schedule) -> Result:
    """Simulate a schedule."""
    gc.disable()
    random.seed(schedule.seed)
    try:
        with simulated(schedule.seed) as kernel, made(kernel, schedule) as world:
            return _Stage(world).play()
    finally:
        # What killed processes left behind ends now, and may say so.
        logging.getLogger().handlers[:] = [logging.NullHandler()]
        gc.collect()
        gc.enable()


class _Stage:
    def __init__(self, world: World) -> None:
        self.world, self.kernel = world, world.kernel
        self.program = Program(world, self.ended, self.say)
        self.passes = 0
        self.is_over = False
        self.last: Ended | None = None
        self.lines: list[str] = []
        world.start = self.program.start
        at_work(world)

    def say(self, line: str) -> None:
        self.lines.append(f"{self.kernel.now:8.2f} {line}")
        if "internal error" in line:
            self.world.oracle.find("fault", line)
        if not line.isprintable() or line.startswith(FORGED):
            self.world.oracle.find("unprintable", repr(line))

    def play(self) -> Result:
        """Run all of it, and check it."""
        schedule, kernel = self.world.schedule, self.kernel
        for event in schedule.events:
            if event.at < schedule.duration_s:
                kernel.at(event.at, lambda event=event: self._happen(event))  # type: ignore[misc]
        if schedule.mode == "watch":
            kernel.at(0, self.program.watch)
        else:
            kernel.at(0, self._tick)
        kernel.sleep(schedule.duration_s)
        self.world.calm()
        if schedule.mode == "watch":
            kernel.sleep(max(SETTLING_PASSES * schedule.interval_s, SETTLING_PASSES * SETTLING_S))
        else:
            # A run that was stopped goes on late, and until it ends others are kept away from its devices.
            stopped, ends_at = set(self.world.processes), kernel.now + LONGEST_RUN_S
            while stopped & set(self.world.processes) and kernel.now < ends_at:
                kernel.sleep(SETTLING_S / 10)
            kernel.sleep(SETTLING_PASSES * max(SETTLING_S, schedule.interval_s))
        self.is_over = True
        self._end_all()
        self._check_rest()
        self._check_secrets("\n".join(self.lines), "stderr")
        return self._result()

    def _happen(self, event: Event) -> None:
        self.say(f"==== {event.kind} {' '.join(map(str, event.args))}")
        self.world.happen(event)

    def _tick(self) -> None:
        if self.is_over:
            return
        self.program.run()
        self.kernel.after(self.world.schedule.interval_s, self._tick)

    def ended(self, ended: Ended) -> None:
        world, name = self.world, ended.process.name
        self.say(f"==== {name} ended: {'killed' if ended.code is None else ended.code}")
        self.passes += 1
        if ended.fault is not None:
            trace = "".join(traceback.format_exception(ended.fault)[-4:])
            world.oracle.find("fault", f"{name} ended with {ended.fault!r}\n{trace}")
        self._check_secrets(ended.stdout, "stdout")
        took_s = ended.process.ended_at - ended.process.began_at
        if took_s > LONGEST_RUN_S and world.schedule.mode == "run":
            world.oracle.find("endless", f"{name} took {took_s:.0f} s")
        is_main = name.startswith(world.schedule.mode)
        if is_main:
            self.last = ended
        if name.startswith("watch") and not self.is_over:
            self.kernel.after(RESTART_S, lambda: None if self.is_over else self.program.watch())
        elif ended.code is not None and name.startswith("run"):
            reasons = {user["user"]: user["reason"] for user in (ended.report or {}).get("users", ())}
            world.check_pass(ended.process, ended.process.began_at, ended.code, reasons)
        held = [user for user in (ended.report or {}).get("users", ()) if user["action"] == "hold"]
        if held and ended.code not in {1, 2, 4}:
            world.oracle.find("hidden-hold", f"{name} held {len(held)} users; its exit code is {ended.code}")

    def _end_all(self) -> None:
        """Ask what still runs to end, and kill what does not."""
        self.world._on_term()
        self.kernel.sleep(90)
        for process in list(self.world.processes):
            self.world.oracle.find("endless", f"{process.name} did not end when told to")
            self.kernel.kill(process)
        self.kernel.sleep(1)

    def _check_rest(self) -> None:
        code = self.last.code if self.last else None
        for words in self.world.wrong_users():
            name = "silent-at-rest" if code == 0 and self.world.schedule.mode == "run" else "never-settles"
            self.world.oracle.find(name, f"{words}; the last exit code is {code}")

    def _check_secrets(self, text: str, where: str) -> None:
        for secret in secrets(self.world):
            if secret in text:
                line = next((line for line in text.splitlines() if secret in line), "")
                self.world.oracle.find("secret", f"{where} holds a secret: {line[:200]}")
                return

    def _result(self) -> Result:
        oracle = self.world.oracle
        if self.kernel.failure is not None:
            raise self.kernel.failure
        return Result(
            schedule=self.world.schedule,
            findings=oracle.findings,
            virtual_s=self.kernel.now,
            signatures=oracle.signatures,
            landings=oracle.landings,
            late_landings=oracle.late_landings,
            requests=self.world.pool.requests,
            passes=self.passes,
            log=self.lines,
        )


def shrunk(schedule: Schedule, fails: Callable[[Schedule], bool]) -> Schedule:
    """Return the schedule with as few events as still fail: leave out halves, then quarters, then single ones."""
    size = max(1, len(schedule.events) // 2)
    while size:
        start, is_smaller = 0, False
        while start < len(schedule.events):
            events = schedule.events[:start] + schedule.events[start + size :]
            smaller = replace(schedule, events=events)
            if fails(smaller):
                schedule, is_smaller = smaller, True
            else:
                start += size
        if not is_smaller or size == 1:
            if size == 1 and not is_smaller:
                break
            size = max(1, size // 2) if not is_smaller else size
    return schedule
