"""A signal ends what goes on wherever it comes: it breaks no lock of Python's, and is not lost."""

import subprocess
import sys

import pytest

_CAREFUL = """
import random, signal, sys, threading, time
from dzbgp.eos.deadline import begin
from dzbgp.fleet.rounds import _awaited
from dzbgp.run.interrupts import CarefulHandler

def interrupt():
    raise KeyboardInterrupt

signal.signal(signal.SIGUSR1, CarefulHandler(interrupt))
"""

_ROUNDS = """
sys.setswitchinterval(1e-6)  # threads take turns in the middle of everything
signal.signal(signal.SIGALRM, CarefulHandler(interrupt))

def signalled():
    signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 100e-6))

for _ in range(4000):
    try:
        running = begin(signalled, "device")
        _awaited(running, lambda: None, time.monotonic() + 5)
        # A sleep that begins as the signal comes is not ended by it.
        for _ in range(5000):
            time.sleep(0.001)
    except KeyboardInterrupt:
        continue
    raise SystemExit("an interrupt was lost")
print("all came")
"""

_WAITS = {
    "an event": "threading.Event().wait(60)",
    "a result": "begin(lambda: time.sleep(60), 'device').result()",
    "a thread": "ends = threading.Thread(target=time.sleep, args=(60,)); ends.start(); ends.join()",
    "a sleep": "time.sleep(60)",
}

_WAITING = """
threading.Timer(0.2, lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)).start()
try:
    {wait}
except KeyboardInterrupt:
    import os
    print("all came", flush=True)
    os._exit(0)
"""

_FREEING = """
class Freed:
    def __del__(self):
        signal.raise_signal(signal.SIGUSR1)
        until = time.monotonic() + 0.05
        while time.monotonic() < until:
            pass

try:
    Freed()
    time.sleep(5)
except KeyboardInterrupt:
    print("all came")
"""


def _run(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _CAREFUL + script],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_interrupts_that_come_while_threads_begin_and_end_are_nothing_but_interrupts() -> None:
    done = _run(_ROUNDS)
    assert (done.stdout, done.stderr, done.returncode) == ("all came\n", "", 0)


@pytest.mark.parametrize("wait", _WAITS.values(), ids=_WAITS)
def test_an_interrupt_ends_whatever_is_waited_for(wait: str) -> None:
    done = _run(_WAITING.format(wait=wait))
    assert (done.stdout, done.stderr, done.returncode) == ("all came\n", "", 0)


def test_an_interrupt_that_comes_while_an_object_is_freed_is_not_lost() -> None:
    done = _run(_FREEING)
    assert (done.stdout, done.stderr, done.returncode) == ("all came\n", "", 0)
