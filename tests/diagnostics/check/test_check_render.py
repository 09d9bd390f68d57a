"""How the results of a check look: in a table, in tabs, and as JUnit XML."""

import io
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from dzbgp.console.formats import FindingsOutput
from dzbgp.diagnostics.check.render import render_table, rendered
from dzbgp.diagnostics.check.results import CheckReport, CheckResults, CheckSection
from dzbgp.errors import ExitCode

HINT = "look at the device"


def some_report() -> CheckReport:
    ledger, devices = CheckResults(CheckSection.LEDGER), CheckResults(CheckSection.DEVICES)
    ledger.ok("http://127.0.0.1:8899", "reachable", "it answers")
    for check in ("reachable", "eos", "bgp"):
        devices.ok("ams-1", check, f"{check} of ams-1")
    devices.ok("fra-1", "reachable", "fra-1 answers")
    devices.warn("fra-1", "slow", "4.5 s of 5 s", "raise the timeout")
    for host in ("nyc-1", "lon-1"):
        devices.fail(host, "api", "no answer\x1b[2J in 5 s", HINT, ExitCode.PARTIAL)
    return CheckReport("testnet", "program", datetime(2026, 3, 1, tzinfo=UTC), 1.5, [*ledger, *devices])


def table(width: int, *, show_all: bool = False) -> list[str]:
    out = io.StringIO()
    render_table(some_report(), Console(file=out, width=width), show_all=show_all)
    return out.getvalue().splitlines()


def test_each_section_has_its_worst_results_first_and_a_hint_once() -> None:
    lines = table(80)
    devices = lines[lines.index("Devices") + 1 : -2]
    assert [line.split()[:3] for line in devices if not line.startswith("    ")] == [
        ["api", "fail", "nyc-1"],
        ["api", "fail", "lon-1"],
        ["slow", "warning", "fra-1"],
        ["device", "ok", "ams-1"],
    ]
    assert devices[1:3] == ["    no answer [2J in 5 s", f"    → {HINT}"]
    assert devices[5] == "    → as above"
    assert lines[-1] == "Not ready (exit code 3) · 2 fail · 1 warning · 5 ok · 1 second"


def test_the_names_of_the_checks_stand_in_one_column_at_the_start_of_the_line() -> None:
    verdicts = {
        line.index(verdict)
        for line in table(80, show_all=True)
        for verdict in ("  ok  ", "  fail  ", "  warning  ")
        if verdict in line and not line.startswith("    ")
    }
    assert len(verdicts) == 1


@pytest.mark.parametrize("width", [40, 60, 80, 160])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    assert all(len(line) <= width for line in table(width, show_all=True))


def test_in_a_pipe_each_result_is_one_line_of_tabs() -> None:
    rows = [line.split("\t") for line in rendered(some_report(), FindingsOutput.TSV).splitlines()]
    assert rows[0] == ["ok", "ledger", "reachable", "http://127.0.0.1:8899", "it answers", ""]
    assert rows[-1] == ["fail", "devices", "api", "lon-1", "no answer [2J in 5 s", HINT]
    assert {len(row) for row in rows} == {6}


def test_junit_has_a_suite_a_section_and_only_failures_fail() -> None:
    root = ET.fromstring(rendered(some_report(), FindingsOutput.JUNIT))
    assert [(suite.attrib["name"], suite.attrib["failures"]) for suite in root] == [
        ("dzbgp.check.ledger", "0"),
        ("dzbgp.check.devices", "2"),
    ]
    names = [case.attrib["name"] for case in root[1]]
    assert len(names) == len(set(names)) == 7
    assert root[1][-1][0].attrib == {"message": "no answer [2J in 5 s", "type": "api"}
