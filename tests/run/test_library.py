"""One pass from Python, in another program's process."""

import asyncio
import gc
import json
import logging
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import prometheus_client
import prometheus_client.metrics
import pyeapi.client
import pytest
import stamina
from metrics_lab import lab_request
from nornir import InitNornir
from nornir.core.task import Result, Task

import dzbgp
from dzbgp import DzbgpError, Report, RunRequest, run_once
from dzbgp.errors import ExitCode, InventoryError, UsageError
from dzbgp.ledger.networks import NETWORKS
from dzbgp.metrics.registry import Metrics
from dzbgp.report.json import render
from dzbgp.run import job
from dzbgp.state.records import passes, writes
from dzbgp.state.store import Store


@pytest.fixture(scope="module")
def request_() -> Iterator[RunRequest]:
    with lab_request() as made:
        yield replace(made, dry_run=True, limit=("ams-dz-001",))


def is_whole(report: Report) -> bool:
    return (
        report.dry_run and [one.host for one in report.devices] == ["ams-dz-001"] and bool(report.decisions)
    )


def test_a_pass_gives_a_report_whose_document_is_that_of_the_json_format(request_: RunRequest) -> None:
    report = run_once(request_)
    assert is_whole(report)
    assert report.to_dict()["schema_version"] == 1
    assert json.loads(render(report)) == report.to_dict()


def test_another_thread_may_do_it(request_: RunRequest) -> None:
    with ThreadPoolExecutor(1) as pool:
        assert is_whole(pool.submit(run_once, request_).result())


def test_it_works_inside_a_running_event_loop_and_in_a_thread_of_one(request_: RunRequest) -> None:
    async def both() -> list[Report]:
        return [run_once(request_), await asyncio.to_thread(run_once, request_)]

    assert all(is_whole(report) for report in asyncio.run(both()))


def test_it_works_in_a_nornir_script_beside_other_tasks(request_: RunRequest) -> None:
    inventory = request_.inventory
    assert inventory is not None
    files = {f"{name}_file": str(inventory / f"{name}s.yaml") for name in ("host", "group")}
    files["defaults_file"] = str(inventory / "defaults.yaml")
    nornir = InitNornir(
        inventory={"plugin": "SimpleInventory", "options": files}, logging={"enabled": False}
    ).filter(name="ams-dz-001")

    def before(task: Task) -> Result:
        return Result(task.host, result=task.host.name)

    reports = []

    def around(task: Task) -> Result:
        reports.append(run_once(request_))
        return Result(task.host, result="done")

    assert nornir.run(task=before)["ams-dz-001"].result == "ams-dz-001"
    assert nornir.run(task=around)["ams-dz-001"].result == "done"
    assert nornir.run(task=before)["ams-dz-001"].result == "ams-dz-001"
    assert is_whole(reports[0])


def settings() -> dict[str, Any]:
    """What belongs to the whole process."""
    loggers = {None: logging.getLogger()} | {
        name: one
        for name, one in logging.Logger.manager.loggerDict.items()
        if isinstance(one, logging.Logger)
    }
    return {
        "transports": dict(pyeapi.client.TRANSPORTS),
        "hooks": stamina.instrumentation.get_on_retry_hooks(),
        "created": prometheus_client.metrics._use_created,
        "collectors": set(prometheus_client.REGISTRY._collector_to_names),
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "gc": gc.get_threshold(),
        "logging": {name: (one.level, tuple(one.handlers)) for name, one in loggers.items()},
        "threads": {one.name for one in threading.enumerate()},
    }


def test_the_process_is_afterwards_as_it_was(request_: RunRequest) -> None:
    run_once(request_)
    before = settings()
    run_once(replace(request_, dry_run=False))
    after = settings()
    after["logging"] = {name: one for name, one in after["logging"].items() if name in before["logging"]}
    assert after == before


def test_a_pass_that_ends_in_an_internal_error_after_a_write_is_not_noted_as_one_that_wrote_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "summary", lambda _: 1 / 0)
    with lab_request() as made, pytest.raises(ZeroDivisionError):
        run_once(replace(made, state=tmp_path / "state"))
    with Store.open(tmp_path / "state", NETWORKS["localnet"].program_id, read_only=True) as store:
        assert writes(store)
        (noted,) = passes(store)
    assert noted.exit_code == ExitCode.PARTIAL


def test_importing_the_metrics_changes_no_setting_of_prometheus() -> None:
    assert prometheus_client.metrics._use_created
    assert b"_created" not in Metrics().render()


@pytest.mark.parametrize(
    ("asked", "kind", "told"),
    [
        (RunRequest(), UsageError, "--inventory"),
        (RunRequest(inventory=Path("/no/where"), env="localnet"), InventoryError, "no such file"),
        (RunRequest(env="moonnet"), UsageError, "'moonnet'"),
    ],
)
def test_what_is_wrong_is_an_error_of_our_own_tree(
    asked: RunRequest, kind: type[DzbgpError], told: str
) -> None:
    with pytest.raises(DzbgpError, match=told) as raised:
        run_once(asked)
    assert isinstance(raised.value, kind)


def test_the_names_of_the_library_are_few_and_there() -> None:
    assert [name for name in dir(dzbgp) if not name.startswith("_")] == [
        "DzbgpError",
        "Report",
        "Rules",
        "RunRequest",
        "run_once",
    ]
    for name in dzbgp.__all__:
        assert getattr(dzbgp, name)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        dzbgp.nothing  # noqa: B018
