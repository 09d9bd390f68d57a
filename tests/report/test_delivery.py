import io
import json
import sys
from pathlib import Path

import pytest
from report_builders import key, mixed

from dzbgp.console.destinations import Destination, check_files, destinations
from dzbgp.console.formats import Output
from dzbgp.errors import UsageError
from dzbgp.report.delivery import deliver, rendered
from dzbgp.report.html import page as html


@pytest.mark.parametrize(
    ("outputs", "places"),
    [
        ([], [("", None)]),
        (["json"], [("json", None)]),
        (["table"], [("table", None)]),
        (["html=r.html"], [("html", "r.html"), ("", None)]),
        (["markdown", "html=r.html", "json=r=1.json"],
         [("html", "r.html"), ("json", "r=1.json"), ("markdown", None)]),
        (["json=a", "json=b"], [("json", "a"), ("json", "b"), ("", None)]),
    ],
)  # fmt: skip
def test_outputs_are_files_and_at_last_stdout(
    outputs: list[str], places: list[tuple[str, str | None]]
) -> None:
    found = destinations(outputs, Output)
    assert [(place.output, place.file and str(place.file)) for place in found] == places


def test_the_report_file_is_one_more_json_file() -> None:
    found = destinations(["markdown"], Output, Path("r.json"))
    assert [(place.output, place.option) for place in found] == [
        ("json", "--report-file r.json"),
        ("markdown", "--output markdown"),
    ]


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (["json", "markdown"], "--output json and --output markdown: stdout takes one format"),
        (["table", "table"], "stdout takes one format"),
        (
            ["pdf"],
            "--output pdf: unknown format 'pdf': expected one of table, tsv, json, markdown, html, junit",
        ),
        (["=r.html"], "unknown format ''"),
        (["html="], "--output html=: the file is missing: expected FORMAT=FILE"),
        (
            ["html=r", "json=./r"],
            "--output html=r and --output json=./r: both name the same file: give each its own",
        ),
    ],
)
def test_outputs_that_make_no_sense_are_usage_errors(outputs: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        destinations(outputs, Output)
    assert message in str(caught.value)


@pytest.mark.parametrize("path", ["/no/where/r.html", "/", "/dev/null"])
def test_a_file_that_could_not_be_written_is_found_out_before_the_pass(path: str) -> None:
    with pytest.raises(UsageError, match=f"--output html={path}: the file cannot be written"):
        check_files(destinations([f"html={path}"], Output))


def test_a_file_that_can_be_written_is_left_alone_until_then(tmp_path: Path) -> None:
    old = tmp_path / "old.html"
    old.write_text("old", encoding="ascii")
    check_files(destinations([f"html={old}", f"json={tmp_path / 'new.json'}", "markdown"], Output))
    assert [file.name for file in tmp_path.iterdir()] == ["old.html"]
    assert old.read_text(encoding="ascii") == "old"


def test_every_format_reaches_its_file_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = mixed(dry_run=False)
    outputs = [f"{name}={tmp_path / name}" for name in Output]
    assert deliver(report, destinations([*outputs, "markdown"], Output), show_all=True)
    for name in Output:
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert text == rendered(report, name, show_all=True) + "\n"
        assert "\x1b" not in text
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(Output)
    assert capsys.readouterr().out == rendered(report, Output.MARKDOWN, show_all=True) + "\n"


def test_a_link_in_the_place_of_a_report_is_replaced_and_what_it_leads_to_is_not(tmp_path: Path) -> None:
    victim, file = tmp_path / "victim", tmp_path / "r.json"
    victim.write_bytes(b"mine")
    file.symlink_to(victim)
    assert deliver(mixed(dry_run=True), destinations([f"json={file}"], Output), show_all=False)
    assert victim.read_bytes() == b"mine"
    assert json.loads(file.read_text(encoding="ascii"))["dry_run"] is True


def test_one_file_that_fails_keeps_no_other_from_its_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone" / "r.html"
    good = tmp_path / "r.json"
    assert not deliver(
        mixed(dry_run=True), destinations([f"html={gone}", f"json={good}"], Output), show_all=False
    )
    assert caplog.messages[0] == f"--output html={gone}: No such file or directory"
    assert json.loads(good.read_text(encoding="ascii"))["dry_run"] is True
    assert str(key("user 1")) in capsys.readouterr().out


def test_a_fault_of_a_format_does_not_end_a_run_that_has_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> str:
        raise KeyError("oops")

    monkeypatch.setattr(html, "render", broken)
    assert not deliver(mixed(dry_run=False), destinations([f"html={tmp_path / 'r'}"], Output), show_all=False)
    assert "internal error (KeyError)" in caplog.messages[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("output", [Output.MARKDOWN, Output.HTML])
def test_a_stdout_that_knows_only_ascii_gets_references(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    assert deliver(mixed(dry_run=True), [Destination(output)], show_all=False)
    sys.stdout.flush()
    assert b"up &#8594; down" in raw.getvalue()
