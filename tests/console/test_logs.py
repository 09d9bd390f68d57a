"""What the lines on stderr look like, and who may speak."""

import io
import json
import logging
from datetime import datetime, timedelta

import pytest
from rich.console import Console

from dzbgp.console import logs


def console(stream: io.StringIO) -> Console:
    return Console(file=stream, width=40, force_terminal=False)


def fail() -> None:
    try:
        json.loads("{")
    except ValueError:
        logging.getLogger("dzbgp.run.job").exception("pass %d", 3)


def test_as_json_each_line_is_one_object_with_time_level_logger_and_message() -> None:
    stream = io.StringIO()
    logs.configure(console(stream), verbose=0, quiet=False, as_json=True)
    logging.getLogger("dzbgp.run.watch").info("reloaded: %d hosts, %s", 8, "x" * 100)
    fail()
    logs.say("error: it is [bold]so[/bold]")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["level"] for line in lines] == ["info", "error", "critical"]
    assert lines[0]["logger"] == "dzbgp.run.watch"
    assert lines[0]["message"] == "reloaded: 8 hosts, " + "x" * 100
    assert lines[1]["message"] == "pass 3"
    assert lines[1]["exception"].startswith("Traceback")
    assert "JSONDecodeError: " in lines[1]["exception"]
    assert lines[2]["message"] == "error: it is [bold]so[/bold]"
    assert {datetime.fromisoformat(line["time"]).utcoffset() for line in lines} == {timedelta(0)}


def test_as_text_what_ends_a_command_stands_alone_on_its_line() -> None:
    stream = io.StringIO()
    logs.configure(console(stream), verbose=0, quiet=True)
    logging.getLogger("dzbgp").warning("not heard")
    logs.say("error: no such file")
    assert stream.getvalue() == "error: no such file\n"


@pytest.mark.parametrize(
    ("verbose", "heard"),
    [
        (0, []),
        (1, ["dzbgp debug", "nornir error", "pyeapi error"]),
        (2, ["dzbgp debug", "nornir debug", "nornir error", "pyeapi error"]),
    ],
)
def test_the_libraries_speak_when_they_are_asked_to_and_those_with_secrets_never(
    verbose: int, heard: list[str]
) -> None:
    stream = io.StringIO()
    logs.configure(console(stream), verbose=verbose, quiet=False)
    logging.getLogger("dzbgp.fleet.fleet").debug("dzbgp debug")
    logging.getLogger("nornir.core").debug("nornir debug")
    logging.getLogger("nornir.core").error("nornir error")
    logging.getLogger("pyeapi.eapilib").debug("pyeapi request with the enable password")
    logging.getLogger("pyeapi.eapilib").error("pyeapi error")
    logging.getLogger("httpx2").error("url with a token")
    said = [line.split(" ", 2)[2] for line in stream.getvalue().splitlines()]
    assert said == heard


FORGED = "RPC: error\n12:00:00 INFO pass result=ok\x1b[2J\x07 end\u202e"


def test_text_of_a_device_or_an_rpc_can_neither_forge_a_line_nor_move_the_cursor() -> None:
    for as_json in (False, True):
        stream = io.StringIO()
        logs.configure(console(stream), verbose=0, quiet=False, as_json=as_json)
        logging.getLogger("dzbgp.run.job").warning("%s", FORGED)
        logs.say(f"error: {FORGED}")
        lines = stream.getvalue().splitlines()
        assert len(lines) == 2
        assert all(line.isprintable() for line in lines)
        assert all("RPC: error 12:00:00 INFO pass result=ok [2J end" in line for line in lines)


def test_a_traceback_keeps_its_lines_and_each_is_printable() -> None:
    stream = io.StringIO()
    logs.configure(console(stream), verbose=1, quiet=False)
    try:
        int(FORGED + "\n\x1b")
    except ValueError:
        logging.getLogger("dzbgp").exception("failed %s", FORGED)
    lines = stream.getvalue().splitlines()
    assert "Traceback (most recent call last):" in lines
    assert all(line.isprintable() for line in lines)
