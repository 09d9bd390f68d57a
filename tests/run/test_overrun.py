"""What is said of passes that take longer than the interval, and when."""

import time
from types import SimpleNamespace

import pytest
from waiting import until

from dzbgp.run.overrun import Overrun


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records]


def test_it_is_said_once_while_the_first_such_pass_runs_and_once_when_they_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    overrun = Overrun(interval_s=1.0)
    begun = "the pass is taking longer than the interval of 1 s: passes that are due meanwhile are skipped"
    overrun.begin()
    until(lambda: said(caplog) == [begun])
    overrun.cancel()
    overrun.begin()
    time.sleep(1.1)
    overrun.cancel()
    assert said(caplog) == [begun]
    overrun.begin()
    overrun.cancel()
    assert said(caplog) == [begun, "a pass took less than the interval of 1 s again, after 1 s"]
    overrun.begin()
    until(lambda: said(caplog)[2:] == [begun])
    overrun.cancel()


def test_of_passes_that_end_in_time_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    overrun = Overrun(interval_s=0.3)
    overrun.begin()
    overrun.cancel()
    time.sleep(0.4)
    assert said(caplog) == []


def test_a_wait_that_was_asked_for_does_not_count(caplog: pytest.LogCaptureFixture) -> None:
    overrun = Overrun(interval_s=0.3)
    overrun.begin()
    overrun.pause(60)
    time.sleep(0.4)
    overrun.cancel()
    assert said(caplog) == []
    assert overrun.paused_s == 60


def test_the_time_for_which_the_process_was_stopped_does_not_count(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrun = Overrun(interval_s=0.3)
    overrun.begin()
    real = time.monotonic
    monkeypatch.setattr("dzbgp.run.overrun.time", SimpleNamespace(monotonic=lambda: real() + 600))
    until(lambda: overrun.paused_s > 0)
    overrun.cancel()
    assert said(caplog) == []
    assert overrun.paused_s == pytest.approx(600, abs=5)
