"""What goes to stderr, so that neither --quiet nor `> /dev/null` silences it."""

import io
import logging
import sys
from dataclasses import replace

import pytest
from report_builders import DOWN, FRA, NYC, UP, decision, mixed, reading, report

from dzbgp.console.destinations import Destination, destinations
from dzbgp.console.formats import Output
from dzbgp.models.decision import Action
from dzbgp.models.session import DeviceReading, DeviceResult
from dzbgp.report.delivery import deliver
from dzbgp.report.digest import Digest
from dzbgp.report.problems import bounded, problems


def test_each_problem_of_a_pass_is_a_line() -> None:
    lines = [problem.line for problem in problems(mixed(dry_run=False))]
    assert [line.split(":")[0] for line in lines] == [
        "fra-dz01", "tokyo-1 (tyo-dz01)", "spare-1", "HELD", "write pending", "write failed",
    ]  # fmt: skip
    assert lines[0] == "fra-dz01: failed: no answer within 30 s"


@pytest.mark.parametrize(
    ("dry_run", "has_state", "way"),
    [
        (False, True, "`dzbgp release ams-dz002` lets it through at the next pass, --force at once."),
        (
            True,
            True,
            "--force writes it at once, and `dzbgp release ams-dz002` after a run that writes has held it.",
        ),
        (False, False, "--force writes it at once."),
        (True, False, "--force writes it at once."),
    ],
)
def test_only_what_a_run_has_noted_as_held_is_said_to_be_released(
    *, dry_run: bool, has_state: bool, way: str
) -> None:
    held = replace(mixed(dry_run=dry_run), has_state=has_state)
    (line,) = [one.line for one in problems(held) if one.line.startswith("HELD")]
    assert line.endswith(f"If it is correct, {way}")


def test_what_is_due_and_not_written_is_a_line_for_each_reason() -> None:
    users = [decision(number, NYC, UP, DOWN, action=Action.SKIP, reason="no-signer") for number in range(3)]
    assert [problem.line for problem in problems(report(*users, devices=(reading(NYC),)))] == [
        f"not written: 3 users: no-signer: {users[0].detail}"
    ]


def test_a_pass_without_problems_has_no_line() -> None:
    assert not list(problems(report(decision(1, NYC, DOWN, UP), devices=(reading(NYC),))))


def test_of_very_many_failed_devices_the_rest_is_a_number() -> None:
    failed = tuple(DeviceReading(f"h{number}", DeviceResult.FAILED, FRA, "no") for number in range(100))
    lines = list(bounded([problem.line for problem in problems(report(devices=failed))]))
    assert len(lines) == 21
    assert lines[-1] == "and 80 more lines"


class _Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("outputs", "is_terminal", "is_on_stderr"),
    [
        ([], True, False),
        (["table"], True, False),
        (["json"], True, True),
        ([], False, True),
        (["table"], False, True),
    ],
)
def test_problems_go_to_stderr_unless_the_table_on_a_terminal_has_them(
    outputs: list[str], is_terminal: bool, is_on_stderr: bool,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr(sys, "stdout", _Tty() if is_terminal else io.StringIO())
    assert deliver(mixed(dry_run=True), destinations(outputs, Output), show_all=False)
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert bool(errors) is is_on_stderr


def test_without_an_output_a_terminal_gets_the_table_and_a_pipe_tabs(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, wanted in ((_Tty(), "table"), (io.StringIO(), "tsv")):
        monkeypatch.setattr(sys, "stdout", stream)
        assert Destination("").format == wanted


def test_hosts_of_other_platforms_are_one_row_and_no_problem() -> None:
    others = tuple(
        DeviceReading(f"jnx{number}", DeviceResult.UNSUPPORTED, error="junos") for number in range(3)
    )
    what = report(devices=(reading(NYC), *others))
    assert Digest(what).left_out() == [("jnx0 and 2 more", "unsupported", "junos")]
    assert not list(problems(what))


def test_what_is_held_for_another_writer_is_said_apart_from_what_the_guard_holds() -> None:
    held = [
        decision(number, NYC, UP, DOWN, action=Action.HOLD, reason=reason)
        for number, reason in enumerate(["guard", "guard", "other-writer"])
    ]
    assert Digest(report(*held)).why_held == (
        "2 users. Too many would turn Down at once, so nothing would be written for them. If it is correct, --force "
        "writes it. 1 user. Another writer reports on their devices, so nothing would be written for them. "
        "--take-over writes it."
    )
