"""The simulated operating system keeps its promises: time jumps, one thread runs at a time, a killed one is gone."""

import pytest

from simulation.kernel import Kernel, Killed, Process, Stuck


def test_sleeping_threads_wake_in_the_order_of_their_times() -> None:
    kernel, told = Kernel(1), []
    for seconds in (3.0, 1.0, 2.0):

        def work(seconds: float = seconds) -> None:
            kernel.sleep(seconds)
            told.append((kernel.now, seconds))

        kernel.spawn(work, f"sleeps {seconds}")
    kernel.sleep(10)
    assert told == [(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)]


def test_what_a_killed_process_was_about_to_do_is_not_done() -> None:
    kernel, told = Kernel(1), []
    process = Process("victim")

    def work() -> None:
        try:
            kernel.sleep(5)
            told.append("woke")
        except Killed:
            told.append("killed")
            raise

    kernel.spawn(work, "main", process)
    kernel.at(2.0, lambda: kernel.kill(process))
    kernel.sleep(10)
    assert told == ["killed"]
    assert process.ended


def test_a_paused_process_goes_on_later_while_time_goes_on() -> None:
    kernel, told = Kernel(1), []
    process = Process("sleeper")

    def work() -> None:
        kernel.sleep(3)
        told.append(kernel.now)

    kernel.spawn(work, "main", process)
    kernel.at(1.0, lambda: kernel.pause(process, 60))
    kernel.sleep(100)
    assert told == [61.0]


def test_the_handler_of_a_signal_runs_where_the_thread_waits() -> None:
    kernel, told = Kernel(1), []

    def interrupt() -> None:
        raise KeyboardInterrupt

    def work() -> None:
        try:
            kernel.sleep(100)
        except KeyboardInterrupt:
            told.append(kernel.now)

    thread = kernel.spawn(work, "main", Process("program"))
    kernel.at(4.0, lambda: kernel.signal(thread, interrupt))
    kernel.sleep(10)
    assert told == [4.0]


def test_what_can_never_go_on_is_told() -> None:
    kernel = Kernel(1)
    with pytest.raises(Stuck):
        kernel.wait()


def test_a_fault_in_a_thread_ends_the_simulation() -> None:
    kernel = Kernel(1)

    def work() -> None:
        raise ValueError("a fault of the simulation's own")

    kernel.spawn(work, "faulty")
    with pytest.raises(ValueError, match="own"):
        kernel.sleep(1)
