"""Several reports of one run."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e_lab import E2eLab, dzbgp, started_lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[E2eLab]:
    with started_lab(tmp_path_factory.mktemp("lab")) as running:
        yield running


def test_one_run_gives_a_step_summary_a_page_and_a_document_that_agree(lab: E2eLab, tmp_path: Path) -> None:
    done = dzbgp(
        tmp_path, "run", *lab.args, "--dry-run", "--output", "markdown", "-o", "html=r.html", "-o", "json=r.json"
    )  # fmt: skip
    assert done.code == 3, done.err
    summary = json.loads((tmp_path / "r.json").read_text(encoding="ascii"))["summary"]
    assert summary["to_submit"] > 0
    assert "## dzbgp: Plan: " in done.out
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    tiles = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page))
    assert (tiles["To be written"], tiles["Up"], tiles["Down"]) == tuple(
        str(summary[name]) for name in ("to_submit", "up", "down")
    )
    assert len(list(tmp_path.iterdir())) == 2


def test_files_leave_stdout_its_lines(lab: E2eLab, tmp_path: Path) -> None:
    done = dzbgp(tmp_path, "run", *lab.args, "--dry-run", "--limit", lab.healthy, "--output", "html=r.html")
    assert done.code == 0, done.err
    assert all(len(line.split("\t")) == 18 for line in done.out.splitlines())
    assert (tmp_path / "r.html").exists()


def test_formats_can_come_from_the_environment(lab: E2eLab, tmp_path: Path) -> None:
    args = ["run", *lab.args, "--dry-run", "--limit", lab.healthy]
    done = dzbgp(tmp_path, *args, DZBGP_OUTPUT="json,html=my report.html")
    assert done.code == 0, done.err
    assert done.report["dry_run"] is True
    assert (tmp_path / "my report.html").exists()


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (["html=/no/where/r.html"], "--output html=/no/where/r.html: the file cannot be written"),
        (["json", "html"], "stdout takes one format"),
        (["pdf=r.pdf"], "unknown format 'pdf'"),
    ],
)
def test_a_report_without_a_place_is_found_out_before_anything_is_written(
    lab: E2eLab, tmp_path: Path, outputs: list[str], message: str
) -> None:
    before = lab.sent()
    done = dzbgp(tmp_path, "run", *lab.args, *(f"--output={each}" for each in outputs))
    assert done.code == 2
    assert message in done.error
    assert lab.sent() == before


def test_what_happens_between_two_passes_is_on_the_timeline(lab: E2eLab, tmp_path: Path) -> None:
    args = ["run", *lab.args, "--limit", "ams-dz-001", "--state", "state.sqlite"]
    before = dzbgp(tmp_path, *args, "--output", "json")
    assert before.code == 0, before.err
    up = next(user for user in before.report["users"] if user["observed"] == "established")
    lab.fleet.set_state("ams-dz-001", up["peer_ip"], "Active")
    done = dzbgp(tmp_path, *args, "--output", "html=r.html")
    assert done.code == 0, done.err
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    rows = [part for part in page.split("<tr ") if 'class="span"' in part and up["user"] in part]
    assert len(rows) == 1
    assert 'aria-label="1 transition; down from ' in rows[0]
    assert 'class="up inferred"' in rows[0]
