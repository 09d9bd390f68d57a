"""The HTML report in a real browser."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from browser import Page, started_browser
from day_builders import eventful
from msgspec import structs
from report_builders import DOWN, NYC, UP, decision, device, fleet_of_changes, report

from dzbgp.models.report import Report
from dzbgp.models.session import DeviceReading, DeviceResult
from dzbgp.report.html.page import render

SIZES = [pytest.param(width, id=f"{width} px") for width in (320, 375, 768, 1280)]
SCHEMES = ("light", "dark")


def long_words() -> Report:
    """Text that can be broken nowhere, wherever text comes from outside."""
    word = "x" * 300
    odd = device(word)
    change = decision(1, odd, UP, DOWN, detail=word)
    change = structs.replace(change, observation=structs.replace(change.observation, vrf=word))
    left_out = DeviceReading(word, DeviceResult.FAILED, odd, word)
    return replace(report(change, decision(2, NYC, UP, DOWN), devices=(left_out,), notes=(word,)), env=word)


REPORTS = {
    "eventful": eventful(),
    "dry": eventful(dry_run=True),
    "empty": report(),
    "big": fleet_of_changes(1_000),
    "long words": long_words(),
}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with started_browser(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture(scope="module", params=REPORTS)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    file: Path = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(render(REPORTS[request.param], show_all=True), encoding="utf-8")
    return file.as_uri()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", SIZES)
def test_the_page_fits_says_nothing_on_the_console_and_loads_nothing(
    page: Page, url: str, width: int, scheme: str
) -> None:
    page.show(url, width, scheme=scheme)
    root = "document.documentElement"
    assert page.value(f"{root}.clientWidth") == width
    assert page.value(f"{root}.scrollWidth") <= width
    # Folded parts count too.
    page.value("document.querySelectorAll('details').forEach(item => item.open = true)")
    assert page.value(f"{root}.scrollWidth") <= width
    assert page.complaints == []
    assert [each for each in page.requests if not each.startswith("data:")] == [url]


def test_both_color_schemes_are_there(page: Page, url: str) -> None:
    grounds = []
    for scheme in SCHEMES:
        page.show(url, 1280, scheme=scheme)
        grounds.append(page.value("getComputedStyle(document.body).backgroundColor"))
    assert grounds == ["rgb(246, 247, 249)", "rgb(16, 21, 28)"]


def eventful_page(page: Page, tmp_path: Path, width: int) -> None:
    file = tmp_path / "report.html"
    file.write_text(render(eventful()), encoding="utf-8")
    page.show(file.as_uri(), width)


@pytest.mark.parametrize("width", SIZES)
def test_bars_and_timelines_are_drawn(page: Page, tmp_path: Path, width: int) -> None:
    eventful_page(page, tmp_path, width)
    bars = "[...document.querySelectorAll('svg.bar, svg.span')].map(each => each.getBoundingClientRect())"
    assert page.value(f"{bars}.length") > 10
    assert page.value(f"{bars}.every(box => box.width > 100 && box.height > 8)")
    rects = "[...document.querySelectorAll('svg.span rect')]"
    assert page.value(f"{rects}.every(each => getComputedStyle(each).fill !== 'rgb(0, 0, 0)')")


def test_on_a_phone_a_row_is_a_card_and_on_a_desktop_a_row(page: Page, tmp_path: Path) -> None:
    displays = {}
    for width in (375, 1280):
        eventful_page(page, tmp_path, width)
        displays[width] = page.value("getComputedStyle(document.querySelector('.cards tbody tr')).display")
    assert displays == {375: "grid", 1280: "table-row"}


def test_it_prints(page: Page, tmp_path: Path) -> None:
    eventful_page(page, tmp_path, 1280)
    assert page.pdf().startswith(b"%PDF-")
