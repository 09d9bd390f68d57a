"""Any Nornir task on the workers of a real Dask cluster: as with threads, but for where it runs."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cluster_tasks as tasks
import pytest
from dask_cluster import Cluster, cluster
from e2e_lab import DEADLINE_S
from nornir import InitNornir
from nornir.core import Nornir
from nornir.core.inventory import Host
from nornir.core.task import AggregatedResult, MultiResult, Result, Task
from waiting import until

from dzbgp.errors import ClusterError, UsageError
from dzbgp.fleet.dask.runner import DaskRunner

CANARY = "canary-of-the-devices-41c7"
HOSTS = [f"h{number:02}" for number in range(24)]


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("cluster"), workers=3) as running:
        yield running
        assert CANARY not in running.said()


def nornir(directory: Path) -> Nornir:
    lines = [
        f"{name}: {{hostname: 127.0.0.1, username: {name}, password: {CANARY}, data: {{site: ams}}}}\n"
        for name in HOSTS
    ]
    (directory / "hosts.yaml").write_text("".join(lines), encoding="utf-8")
    plurals = {"host": "hosts", "group": "groups", "defaults": "defaults"}
    names = {f"{kind}_file": str(directory / f"{plural}.yaml") for kind, plural in plurals.items()}
    return InitNornir(
        inventory={"plugin": "SimpleInventory", "options": names},
        runner={"plugin": "threaded", "options": {"num_workers": 10}},
        logging={"enabled": False},
    )


@pytest.fixture
def threads(tmp_path: Path) -> Nornir:
    return nornir(tmp_path)


@pytest.fixture
def workers(tmp_path: Path, three: Cluster) -> Iterator[Nornir]:
    yield from on(three, nornir(tmp_path))


def on(running: Cluster, where: Nornir, most: int = 4, patience_s: float = 5.0) -> Iterator[Nornir]:
    runner = DaskRunner(running.address, num_workers=most, patience_s=patience_s)
    yield where.with_runner(runner)
    runner.close()


def told(results: AggregatedResult) -> dict[str, list[tuple[object, ...]]]:
    """All that a caller can see of results."""
    return {
        name: [
            (
                one.name,
                one.result,
                one.changed,
                one.diff,
                one.failed,
                one.severity_level,
                repr(one.exception),
                one.host.name if one.host else None,
                getattr(one, "note", None),
            )
            for one in of_host
        ]
        for name, of_host in results.items()
    }


def test_every_worker_asks_hosts_with_an_inventory_of_its_own(workers: Nornir) -> None:
    results = workers.run(task=tasks.where)
    assert list(results) == HOSTS
    assert {of_host[0].result[1:] for of_host in results.values()} == {(name, name, "ams") for name in HOSTS}
    processes = {of_host[0].result[0] for of_host in results.values()}
    assert len(processes) == 3
    assert os.getpid() not in processes
    assert all(of_host[0].host is workers.inventory.hosts[name] for name, of_host in results.items())


@pytest.mark.parametrize(
    ("task", "params"),
    [
        (tasks.outer, {}),
        (tasks.failing, {}),
        (tasks.with_arguments, {"own": {"h03": [3]}, "shared": "x"}),
    ],
    ids=["subtasks", "exceptions", "arguments"],
)
def test_a_task_comes_to_the_same_as_with_threads(
    threads: Nornir, workers: Nornir, task: Any, params: dict[str, Any]
) -> None:
    by_threads, by_workers = (told(where.run(task=task, **params)) for where in (threads, workers))
    if task is tasks.outer:
        for of_host in (*by_threads.values(), *by_workers.values()):
            of_host[1] = (of_host[1][0], *of_host[1][2:])  # without the process that asked
    assert by_workers == by_threads
    assert (
        workers.data.failed_hosts
        == threads.data.failed_hosts
        == ({*HOSTS} if task is tasks.failing else set())
    )


def test_a_host_in_a_result_is_the_host_of_here(workers: Nornir) -> None:
    results = workers.run(task=tasks.its_host)
    assert all(of_host[0].result is workers.inventory.hosts[name] for name, of_host in results.items())


def test_a_task_that_no_worker_can_import_travels_by_value(workers: Nornir) -> None:
    step = 7

    def local(task: Task) -> int:
        return len(task.host.name) + step

    assert {of_host[0].result for of_host in workers.run(task=local).values()} == {10}


@pytest.mark.parametrize("task", [tasks.its_connections, tasks.unpicklable])
def test_what_does_not_leave_a_worker_fails_the_host_and_says_why(workers: Nornir, task: Any) -> None:
    results = workers.run(task=task)
    assert results.failed
    for of_host in results.values():
        assert "the result cannot be sent back by the worker" in of_host[0].result
        assert CANARY not in str(of_host[0].result)


class Told:
    """A processor that writes down what it is told, and opens a gate for `task` when the first host is done."""

    def __init__(self, gate: Path) -> None:
        self.events: list[tuple[str, str]] = []
        self._gate = gate

    def task_started(self, task: Task) -> None:
        self.events.append(("started", task.name))

    def task_completed(self, task: Task, result: AggregatedResult) -> None:
        self.events.append(("completed", task.name))

    def task_instance_started(self, task: Task, host: Host) -> None:
        self.events.append(("begun", host.name))

    def task_instance_completed(self, task: Task, host: Host, result: MultiResult) -> None:
        assert task.results is result
        assert result[0].result == f"{host.name} passed"
        self.events.append(("done", host.name))
        self._gate.touch()

    def subtask_instance_started(self, task: Task, host: Host) -> None:
        raise AssertionError("there is no subtask")

    def subtask_instance_completed(self, task: Task, host: Host, result: MultiResult) -> None:
        raise AssertionError("there is no subtask")


def test_progress_is_told_host_by_host_while_others_are_still_asked(workers: Nornir, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    seen = Told(gate)

    def waits(task: Task, gate: str, first: str) -> Result:
        ends = time.monotonic() + 30
        while task.host.name != first and not Path(gate).exists():
            assert time.monotonic() < ends, "nobody was told of the first host"
            time.sleep(0.01)
        return Result(host=task.host, result=f"{task.host.name} passed")

    results = workers.with_processors([seen]).run(task=waits, gate=str(gate), first=HOSTS[0])
    assert not results.failed
    assert seen.events[0] == ("started", "waits")
    assert seen.events[-1] == ("completed", "waits")
    for kind in ("begun", "done"):
        assert sorted(name for what, name in seen.events if what == kind) == HOSTS
    assert next(name for what, name in seen.events if what == "done") == HOSTS[0]


class OpensLast(Told):
    """Opens the gate when all hosts but one are done."""

    def task_instance_completed(self, task: Task, host: Host, result: MultiResult) -> None:
        self.events.append(("done", host.name))
        if len([what for what, _ in self.events if what == "done"]) == len(HOSTS) - 1:
            self._gate.touch()


def test_a_slow_host_does_not_hold_up_those_that_were_sent_with_it(tmp_path: Path) -> None:
    def last(task: Task, gate: str) -> str:
        ends = time.monotonic() + 30
        while task.host.name == "h02" and not Path(gate).exists():
            assert time.monotonic() < ends, "the others were not told of"
            time.sleep(0.01)
        return "ok"

    runner = DaskRunner(num_workers=4, processes=1)
    try:
        where = nornir(tmp_path).with_runner(runner)
        # The first time in several shares, then in one: the process has connections to all of them.
        for gate in (tmp_path / "first", tmp_path / "second"):
            results = where.with_processors([OpensLast(gate)]).run(task=last, gate=str(gate))
            assert not results.failed
    finally:
        runner.close()


def test_a_worker_has_no_more_hosts_at_once_than_it_should(three: Cluster, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()

    def crowd(task: Task, directory: str) -> int:
        mine = Path(directory, f"{os.getpid()}.{task.host.name}")
        mine.touch()
        time.sleep(0.1)
        seen = len(list(Path(directory).glob(f"{os.getpid()}.*")))
        mine.unlink()
        return seen

    for where in on(three, nornir(tmp_path), most=2):
        crowds = {of_host[0].result for of_host in where.run(task=crowd, directory=str(marks)).values()}
        assert crowds <= {1, 2}
        assert 2 in crowds


def asked(marks: Path) -> dict[str, list[int]]:
    """Which processes asked which host, by the marks that they left."""
    found: dict[str, list[int]] = {name: [] for name in HOSTS}
    for mark in marks.iterdir():
        name, _, process = mark.name.partition(".")
        found[name].append(int(process))
    return found


def test_what_a_lost_worker_had_is_asked_by_others_and_nothing_else_twice(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    with cluster(tmp_path / "cluster", workers=3) as running:
        lost = running.workers[1].pid

        def kill_when_busy() -> None:
            until(lambda: any(lost in processes for processes in asked(marks).values()))
            running.kill_worker(1)

        killer = threading.Thread(target=kill_when_busy)
        killer.start()
        for where in on(running, nornir(tmp_path), most=2):
            results = where.run(task=tasks.slow, directory=str(marks), seconds=0.5)
        killer.join(DEADLINE_S)
        assert not results.failed
        assert list(results) == HOSTS
        by = {name: int(of_host[0].result) for name, of_host in results.items()}
        again = [name for name, processes in asked(marks).items() if len(processes) > 1]
        assert again
        assert all(lost in asked(marks)[name] for name in again)
        assert lost not in {by[name] for name in again}
        assert set(by.values()) - {lost} == {running.workers[number].pid for number in (0, 2)}


def test_a_host_that_ends_every_worker_is_given_up_and_the_others_are_not(tmp_path: Path) -> None:
    # To Dask, what waits on a lost worker is as suspicious as what ran there: here nothing waits on any.
    allowed = {
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
        "DASK_DISTRIBUTED__SCHEDULER__WORKER_SATURATION": "1.0",
    }
    with cluster(tmp_path / "cluster", workers=4, settings=allowed) as running:
        for where in on(running, nornir(tmp_path), most=1):
            results = where.run(task=tasks.deadly, host="h05")
        assert list(results.failed_hosts) == ["h05"]
        assert results["h05"][0].result == (
            "each worker that asked 'h05' was lost; the scheduler does not retry"
        )
        assert sum(process.poll() is not None for process in running.workers) == 2


def test_without_a_worker_a_run_ends_after_its_patience(tmp_path: Path) -> None:
    with cluster(tmp_path / "cluster", workers=0) as running:
        for where in on(running, nornir(tmp_path), patience_s=1.5):
            with pytest.raises(ClusterError, match=r"no worker for 1\.5 s"):
                where.run(task=tasks.where)
        running.add_worker()
        for where in on(running, nornir(tmp_path), patience_s=DEADLINE_S):
            assert not where.run(task=tasks.where).failed


def test_when_the_last_worker_is_lost_the_rest_of_the_hosts_fail_and_say_so(tmp_path: Path) -> None:
    class OpensAfterNine(Told):
        def task_instance_completed(self, task: Task, host: Host, result: MultiResult) -> None:
            self.events.append(("done", host.name))
            if len([what for what, _ in self.events if what == "done"]) == 9:
                self._gate.touch()

    def last(task: Task, gate: str) -> str:
        if task.host.name == "h09":
            ends = time.monotonic() + 30
            while not Path(gate).exists() and time.monotonic() < ends:
                time.sleep(0.01)
            os._exit(1)
        return "ok"

    gate = tmp_path / "gate"
    with cluster(tmp_path / "cluster", workers=1) as running:
        for where in on(running, nornir(tmp_path), most=1, patience_s=1.5):
            results = where.with_processors([OpensAfterNine(gate)]).run(task=last, gate=str(gate))
    assert [name for name, of_host in results.items() if of_host.failed] == HOSTS[9:]
    assert "no worker for 1.5 s" in results["h09"][0].result


def test_when_the_scheduler_is_lost_the_rest_of_the_hosts_fail_and_say_so(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    with cluster(tmp_path / "cluster", workers=2) as running:

        def kill_in_the_middle() -> None:
            until(lambda: sum(map(bool, asked(marks).values())) >= 10)
            running.scheduler.kill()

        killer = threading.Thread(target=kill_in_the_middle)
        killer.start()
        for where in on(running, nornir(tmp_path), most=2, patience_s=2):
            results = where.run(task=tasks.slow, directory=str(marks), seconds=0.3)
        killer.join(DEADLINE_S)
    assert list(results) == HOSTS
    failed = [of_host[0].result for of_host in results.values() if of_host.failed]
    assert 0 < len(failed) < len(HOSTS)
    assert all("the connection is lost" in words for words in failed)


def test_a_worker_whose_inventory_lacks_a_host_leaves_it_to_the_others(tmp_path: Path) -> None:
    where = nornir(tmp_path)
    with cluster(tmp_path / "cluster", workers=1) as running:
        for one in on(running, where):
            assert not one.run(task=tasks.where).failed
            # The worker has its inventory, which knows nothing of this one.
            where.inventory.hosts["new"] = Host("new")
            results = one.run(task=tasks.where)
            assert list(results.failed_hosts) == ["new"]
            assert "its inventory has no host 'new'" in results["new"][0].result


def test_nobody_at_the_address_is_told_in_one_line(tmp_path: Path) -> None:
    for address, error, words in [
        ("tcp://127.0.0.1:9", ClusterError, "cannot be reached"),
        ("tls://127.0.0.1:9", UsageError, "Dask refuses it"),
        ("nonsense://x", UsageError, "Dask refuses it"),
    ]:
        runner = DaskRunner(address, patience_s=1)
        with pytest.raises(error) as raised:
            nornir(tmp_path).with_runner(runner).run(task=tasks.where)
        assert words in str(raised.value)
        assert address in str(raised.value)
        assert "\n" not in str(raised.value)


def test_without_an_address_the_runner_starts_processes_of_its_own_and_replaces_those_that_end(
    tmp_path: Path,
) -> None:
    runner = DaskRunner(num_workers=4, processes=2)
    try:
        where = nornir(tmp_path).with_runner(runner)
        results = where.run(task=tasks.deadly, host="h05")
        assert list(results.failed_hosts) == ["h05"]
        processes = {of_host[0].result[0] for of_host in where.run(task=tasks.where).values()}
        assert os.getpid() not in processes
        assert runner.joined is not None
        assert runner.joined.startswith("tls://127.0.0.1:")
    finally:
        runner.close()


def test_a_scheduler_that_hangs_is_not_waited_for_without_end(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    with cluster(tmp_path / "cluster", workers=1) as running:

        def stop_in_the_middle() -> None:
            until(lambda: sum(map(bool, asked(marks).values())) >= 5)
            running.scheduler.send_signal(signal.SIGSTOP)

        stopper = threading.Thread(target=stop_in_the_middle)
        stopper.start()
        runner = DaskRunner(running.address, num_workers=2, patience_s=2)
        results = nornir(tmp_path).with_runner(runner).run(task=tasks.slow, directory=str(marks), seconds=0.3)
        stopper.join(DEADLINE_S)
        # So that what is left of the client can end too.
        running.scheduler.send_signal(signal.SIGCONT)
        runner.close()
    failed = [of_host[0].result for of_host in results.values() if of_host.failed]
    assert 0 < len(failed) < len(HOSTS)
    assert all("the connection is lost" in words for words in failed)
