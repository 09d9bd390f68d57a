import logging
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from report_builders import NYC, TYO, mixed, reading, report
from typer.testing import CliRunner

from dzbgp.cli.app import app
from dzbgp.errors import ExitCode, UsageError
from dzbgp.ledger.errors import RpcTransportError
from dzbgp.metrics.gauges import MetricsState
from dzbgp.metrics.registry import Metrics
from dzbgp.metrics.textfile import MetricsTextfile, read_back
from dzbgp.models.report import Report
from dzbgp.models.session import DeviceReading, DeviceResult
from dzbgp.run import once

BOTH = report(devices=(reading(NYC, up=1), reading(TYO, up=1)))
ONE_SILENT = report(
    devices=(reading(NYC, up=1), DeviceReading("tyo-dz01", DeviceResult.FAILED, TYO, "silent"))
)


def value(file: Path, name: str, *labels: str) -> float | None:
    for family in text_string_to_metric_families(file.read_text(encoding="utf-8")):
        for sample in family.samples:
            if sample.name == name and set(labels) <= set(sample.labels.values()):
                return sample.value
    return None


def last_success(file: Path, code: str) -> float | None:
    return value(file, "dzbgp_device_last_success_timestamp_seconds", code)


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """The command line sends log lines to its own stderr, which is closed after a test."""
    root, ours = logging.getLogger(), logging.getLogger("dzbgp")
    handlers, levels = root.handlers[:], (root.level, ours.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "dzbgp.prom"


def run(file: Path, outcome: Report | BaseException, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """Runs `dzbgp run`, with a pass that comes to `outcome`; gives the exit code and stderr."""

    def run_once(*_: object) -> Report:
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    monkeypatch.setattr(once, "run_once", run_once)
    done = CliRunner().invoke(app, ["run", "--metrics-textfile", str(file)], env={"COLUMNS": "200"})
    return done.exit_code, done.stderr


def test_a_run_writes_the_file_with_the_word_for_its_exit_code(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _ = run(file, BOTH, monkeypatch)

    assert code == ExitCode.OK
    assert value(file, "dzbgp_last_pass_result", "ok") == 1

    code, _ = run(file, mixed(dry_run=False), monkeypatch)

    assert code == ExitCode.HELD
    assert value(file, "dzbgp_last_pass_result", "held") == 1
    assert value(file, "dzbgp_passes_total", "held") == 1


@pytest.mark.parametrize(
    ("error", "code", "word"),
    [
        (RpcTransportError("RPC http://ledger: no answer"), ExitCode.COULD_NOT_RUN, "could_not_run"),
        (UsageError("--inventory: expected a directory"), ExitCode.USAGE, "usage"),
        (KeyError("a fault"), ExitCode.COULD_NOT_RUN, "could_not_run"),
        (KeyboardInterrupt(), ExitCode.COULD_NOT_RUN, "could_not_run"),
    ],
)
def test_a_run_that_fails_as_a_whole_writes_the_file_too_and_exits_as_ever(
    file: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: ExitCode, word: str
) -> None:
    exit_code, _ = run(file, error, monkeypatch)

    assert exit_code == code
    assert value(file, "dzbgp_last_pass_result", word) == 1
    assert value(file, "dzbgp_last_complete_pass_timestamp_seconds") == 0


def test_a_file_that_can_not_be_written_at_the_end_is_an_error_line_and_exit_code_3(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Metrics, "write_textfile", refuse)
    code, said = run(file, BOTH, monkeypatch)

    assert code == ExitCode.PARTIAL
    assert "No space left on device" in said
    assert "--metrics-textfile" in said


def test_a_file_that_could_not_be_written_is_a_usage_error_before_there_is_a_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = AssertionError("there was a pass")
    for bad, words in (
        (tmp_path / "missing" / "dzbgp.prom", "expected a file in a directory that can be written to"),
        (tmp_path / "dzbgp.txt", "expected a name that ends in .prom"),
        (tmp_path / "directory.prom", "expected a file in a directory"),
    ):
        if bad.name == "directory.prom":
            bad.mkdir()
        code, said = run(bad, never, monkeypatch)
        assert code == ExitCode.USAGE
        assert words in said


def test_without_the_option_nothing_is_measured_and_nothing_written(tmp_path: Path) -> None:
    nothing = MetricsTextfile(None)

    assert nothing.metrics is None
    assert nothing.finish(BOTH, ExitCode.OK)
    with pytest.raises(KeyError), nothing.recording_failure():
        raise KeyError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("is_begun", "word"), [(False, "could_not_run"), (True, "partial")])
def test_a_run_that_failed_after_a_write_is_partial(tmp_path: Path, word: str, *, is_begun: bool) -> None:
    file = tmp_path / "dzbgp.prom"
    with pytest.raises(KeyError), MetricsTextfile(file).recording_failure(lambda: is_begun):
        raise KeyError
    assert f'dzbgp_last_pass_result{{result="{word}"}} 1.0' in file.read_text()


def test_the_next_run_remembers_when_a_device_last_answered(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(file, BOTH, monkeypatch)
    first = last_success(file, TYO.code)
    assert first

    run(file, ONE_SILENT, monkeypatch)

    assert last_success(file, TYO.code) == first
    assert (last_success(file, NYC.code) or 0) > first


def test_what_is_remembered_outlives_runs_that_fail_as_a_whole(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(file, BOTH, monkeypatch)
    first = last_success(file, TYO.code)
    complete = value(file, "dzbgp_last_complete_pass_timestamp_seconds")

    for _ in range(3):
        run(file, RpcTransportError("away"), monkeypatch)

    assert last_success(file, TYO.code) == first
    assert value(file, "dzbgp_last_complete_pass_timestamp_seconds") == complete
    assert (value(file, "dzbgp_last_pass_timestamp_seconds") or 0) > (complete or 0)
    assert value(file, "dzbgp_device_up", TYO.code) is None


def test_a_device_that_left_between_two_runs_is_gone_from_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(file, BOTH, monkeypatch)
    run(file, report(devices=(reading(NYC, up=1),)), monkeypatch)

    assert TYO.code not in file.read_text(encoding="utf-8")


def test_balances_are_read_back_too(file: Path) -> None:
    metrics = Metrics()
    metrics.observe_balances({NYC.metrics_publisher_pk: 1_500_000_000})
    metrics.write_textfile(file)

    assert read_back(file).balances == {str(NYC.metrics_publisher_pk): 1.5}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00",
        b"dzbgp_device_last_success_timestamp_seconds{device=",
        b'dzbgp_device_last_success_timestamp_seconds{device="a"} 1\n',
        b'dzbgp_publisher_balance_sol{publisher="a"} much\n',
        b"{" * 1000,
        random.Random(1).randbytes(4096),
    ],
)
def test_a_file_that_is_not_ours_is_begun_anew(
    file: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    file.write_bytes(content)

    assert read_back(file) == MetricsState()
    assert run(file, BOTH, monkeypatch)[0] == ExitCode.OK
    assert last_success(file, NYC.code)
