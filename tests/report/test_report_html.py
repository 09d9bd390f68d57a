import base64
import hashlib
import re
import time
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from day_builders import END, HOUR, eventful, memory
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from report_builders import (
    AMS,
    DOWN,
    NYC,
    UP,
    decision,
    fleet_of_changes,
    key,
    mixed,
    reading,
    report,
    signature,
)
from test_report_markdown import hostile

from dzbgp.models.decision import Action
from dzbgp.models.report import Report
from dzbgp.models.session import Observed
from dzbgp.report.html.page import render
from dzbgp.report.html.timeline import MOST_SHOWN

VOID = {"meta", "link", "br", "hr", "img", "input"}
WHOLE_KEY = re.compile(r"<code>([1-9A-HJ-NP-Za-km-z]{32,44})</code>")


class Checked(HTMLParser):
    """Reads a document and minds that every element is closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.data: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, names)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        self.data.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.data).split())


def section(text: str, title_id: str) -> str:
    found = re.search(rf'<section[^>]* aria-labelledby="{title_id}">.*?</section>', text, re.DOTALL)
    assert found, title_id
    return found[0]


REPORTS = [
    pytest.param(report(), id="empty"),
    pytest.param(mixed(dry_run=True), id="dry run"),
    pytest.param(eventful(), id="real run with history"),
]


@pytest.mark.parametrize("what", REPORTS)
@pytest.mark.parametrize("show_all", [False, True])
def test_the_document_is_well_formed_and_names_each_id_once(what: Report, show_all: bool) -> None:
    text = render(what, show_all=show_all)
    assert text.startswith("<!DOCTYPE html>")
    document = Checked(text)
    ids = [value for _, name, value in document.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {value for _, name, value in document.attributes if name == "aria-labelledby"} <= set(ids)
    assert document.tags.count("h1") == 1


@pytest.mark.parametrize("what", REPORTS)
def test_the_file_loads_nothing_and_runs_nothing(what: Report) -> None:
    document = Checked(render(what, show_all=True))
    text = render(what, show_all=True)
    assert not re.search(r"https?://", text)
    assert "@import" not in text
    assert set(re.findall(r"url\(([^)]*)\)", text)) <= {"#stripes", "#dots"}
    assert "script" not in document.tags
    for tag, name, value in document.attributes:
        assert name not in {"src", "srcset", "style", "action"}, (tag, name)
        assert not name.startswith("on"), (tag, name)
        if name == "href":
            assert (tag, value) == ("link", "data:,")


def test_the_policy_allows_the_one_style_by_its_hash_and_nothing_else() -> None:
    text = render(mixed(dry_run=True))
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:" in text


def test_every_change_is_there_once_with_all_its_facts() -> None:
    changes = section(render(mixed(dry_run=False)), "changes")
    users = WHOLE_KEY.findall(changes)
    assert sorted(users) == sorted(str(key(f"user {number}")) for number in (1, 2, 3, 5))
    row = next(part for part in changes.split("<tr ") if str(key("user 1")) in part)
    for fact in ("nyc-dz01", "203.0.113.1 · 169.254.0.2/31 · vrf1", "down → up", "5.50 ms", "#1",
                 "Neighbor 169.254.0.3 is Established; onchain it is down."):  # fmt: skip
        assert fact in row


def test_the_tiles_are_the_numbers_of_the_summary() -> None:
    text = render(mixed(dry_run=False))
    tiles = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", text))
    assert tiles == {
        "Devices answered": "2 of 5", "Users": "13", "Up": "6", "Down": "4", "Unknown": "3",
        "Written": "3 of 5", "Failed": "1", "Pending": "1", "Held": "2",
    }  # fmt: skip
    dry = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", render(mixed(dry_run=True))))
    assert (dry["To be written"], "Written" in dry, "Failed" in dry) == ("5", False, False)


def test_a_devices_bar_says_in_words_what_it_shows() -> None:
    devices = section(render(mixed(dry_run=False)), "devices")
    assert 'aria-label="nyc-dz01: 4 up, 2 down, 1 unknown"' in devices
    assert 'aria-label="spare-1: no users"' in devices
    row = next(part for part in devices.split("<tr ") if ">nyc-dz01<" in part)
    assert re.findall(r'class="number">([^<]*)<', row) == ["4", "2", "0", "1", "4 of 5"]


def test_a_bar_is_filled_from_end_to_end() -> None:
    devices = section(render(mixed(dry_run=False)), "devices")
    row = next(part for part in devices.split("<tr ") if ">nyc-dz01<" in part)
    parts = re.findall(r'x="([0-9.]+)%" width="([0-9.]+)%" height="100%"><title>', row)
    ends = [float(x) + float(width) for x, width in parts]
    assert float(parts[0][0]) == 0
    assert [float(x) for x, _ in parts[1:]] == pytest.approx(ends[:-1], abs=0.01)
    assert ends[-1] == pytest.approx(100, abs=0.01)


def test_held_failures_unknown_and_notes_are_told() -> None:
    document = Checked(render(mixed(dry_run=False)))
    for fact in (
        "HELD", "Too many would turn Down at once, so nothing was written for them.",
        "it is another device: router-id 192.0.2.9 in vrf1",
        "the program refused it: Custom(8), NotAllowed [not the metrics publisher]",
        "3 users with unknown state", "2 accounts could not be read and were skipped.", signature(3),
    ):  # fmt: skip
        assert fact in document.text


def test_unchanged_users_appear_only_when_all_are_asked_for() -> None:
    calm = str(key("user 30"))
    assert calm not in render(mixed(dry_run=True))
    assert render(mixed(dry_run=True), show_all=True).count(calm) == 1


def test_every_header_cell_has_its_scope() -> None:
    text = render(eventful(), show_all=True)
    headers = re.findall(r"<th\b[^>]*>", text)
    assert headers
    assert all(re.search(r'scope="(col|row)"', header) for header in headers)


def timeline_of(text: str, user: int) -> str:
    whole = str(key(f"user {user}"))
    return next(part for part in section(text, "day").split("<tr ") if whole in part)


def test_a_flapping_user_has_its_transitions_and_comes_first() -> None:
    text = render(eventful())
    first = section(text, "day").split("<tr ")[2]
    assert first == timeline_of(text, 50)
    assert first.endswith('class="number">42</td>\n</tr>\n')
    assert len(re.findall(r'<rect class="down"', first)) == 21


def test_a_bounce_between_two_passes_is_a_mark() -> None:
    row = timeline_of(render(eventful()), 51)
    assert row.count('<line class="mark"') == 3
    assert "<title>down and up again before 03:00 UTC</title>" in row


def test_nothing_is_drawn_where_nothing_is_known() -> None:
    row = timeline_of(render(eventful()), 52)
    bars = [
        (kind, float(x), float(width))
        for kind, x, width in re.findall(r'<rect class="([a-z ]+)" x="([0-9.]+)%" width="([0-9.]+)%"', row)
    ]
    hour = 100 / 24
    assert [kind for kind, _, _ in bars] == ["down", "up", "down"]
    assert [edge for _, *edges in bars for edge in edges] == pytest.approx(
        [0, 4 * hour, 4 * hour, 9 * hour, 13 * hour, 8 * hour], abs=0.01
    )


def test_what_was_before_the_first_transition_is_drawn_as_inferred() -> None:
    assert '<rect class="down inferred" x="0.0%"' in timeline_of(render(eventful()), 2)


def test_only_users_with_transitions_or_a_change_have_a_timeline_and_no_more_than_the_bound() -> None:
    changes = [decision(number, NYC, UP, DOWN) for number in range(MOST_SHOWN + 7)]
    calm = decision(900, AMS, UP, UP)
    whole = report(*changes, calm)
    memories = {item.observation.user.pubkey: memory(NYC, up=False, ago=[2 * HOUR]) for item in changes} | {
        calm.observation.user.pubkey: memory(AMS, up=True, ago=[30 * HOUR])
    }
    text = section(render(replace(whole, memories=memories)), "day")
    assert text.count('class="span"') == MOST_SHOWN
    assert "… and 7 users with fewer transitions." in text
    assert str(key("user 900")) not in text


@pytest.mark.parametrize(("known_s", "drawn"), [(60, False), (3_600, True)])
def test_a_change_without_transitions_is_drawn_when_enough_is_known_of_it(
    known_s: float, drawn: bool
) -> None:
    change = decision(1, NYC, UP, DOWN)
    remembered = structs.replace(memory(NYC, up=False), down_since=END - known_s)
    text = render(replace(report(change), memories={change.observation.user.pubkey: remembered}))
    assert ('id="day"' in text) is drawn


def test_memory_of_another_device_says_nothing_of_this_one() -> None:
    moved = decision(1, NYC, UP, DOWN)
    remembered = {moved.observation.user.pubkey: memory(AMS, up=False, ago=[HOUR])}
    assert 'id="day"' not in render(replace(report(moved), memories=remembered))


NASTY = st.text(st.one_of(st.sampled_from("<>&\"'{}%#-/\n\0 "), st.characters()), min_size=1, max_size=40)
SCRIPTS = st.sampled_from(
    [
        "<script>alert(1)</script>",
        "</style><script>",
        "{{ 7*7 }}",
        '"><img src=x onerror=alert(1)>',
        "<!--",
        "]]>",
    ]
)


@settings(deadline=None)
@given(st.one_of(NASTY, SCRIPTS))
def test_text_from_outside_never_becomes_markup(text: str) -> None:
    document = Checked(render(hostile(text), show_all=True))
    assert "script" not in document.tags
    assert "img" not in document.tags
    assert "49" not in document.data
    wanted = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    assert wanted in document.text or not wanted.isprintable() or "\xa0" in wanted


def test_a_big_run_renders_fast_and_folds_what_is_long() -> None:
    whole = fleet_of_changes(5_000)
    remembered = {item.observation.user.pubkey: memory(NYC, up=False, ago=[HOUR]) for item in whole.decisions}
    began = time.perf_counter()
    text = render(replace(whole, memories=remembered))
    assert time.perf_counter() - began < 5
    changes = section(text, "changes")
    assert len(set(WHOLE_KEY.findall(changes))) == len(WHOLE_KEY.findall(changes)) == 5_000
    assert "<summary>4,900 more</summary>" in changes


def contrast(one: str, other: str) -> float:
    """WCAG's contrast of two colors, #rrggbb."""

    def luminance(color: str) -> float:
        parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", range(3), ids=["light", "dark", "print"])
def test_text_has_the_contrast_that_wcag_aa_asks_for(scheme: int) -> None:
    roots = re.findall(r":root \{(.*?)\}", render(report()), re.DOTALL)
    colors = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", roots[scheme]))
    for ink, ground in (
        ("ink", "paper"), ("ink", "card"), ("soft", "paper"), ("soft", "card"), ("up-ink", "up-tint"),
        ("down-ink", "down-tint"), ("bad", "bad-tint"), ("bad", "card"), ("ink", "bad-tint"),
        ("up-ink", "card"), ("down-ink", "card"),
    ):  # fmt: skip
        assert contrast(colors[ink], colors[ground]) >= 4.5, (ink, ground)
    for mark in ("up", "down"):
        assert contrast(colors[mark], colors["card"]) >= 3, mark


def test_every_down_and_unknown_user_is_listed_changed_or_not_the_longest_first() -> None:
    calm = decision(60, NYC, DOWN, DOWN, action=Action.SKIP, reason="unchanged")
    short = decision(61, NYC, UP, DOWN)
    known = structs.replace(calm.observation.user, last_bgp_up_at=312_345_678 - 9_000)
    calm = structs.replace(calm, observation=structs.replace(calm.observation, user=known))
    recent = structs.replace(short.observation.user, last_bgp_up_at=312_345_678 - 150)
    short = structs.replace(short, observation=structs.replace(short.observation, user=recent))
    unknown = decision(62, NYC, UP, None, action=Action.SKIP, observed=Observed.UNKNOWN, reason="no-vrf")
    up = decision(63, NYC, DOWN, UP)
    listed = section(render(report(short, up, calm, unknown, devices=(reading(NYC),))), "down")
    assert WHOLE_KEY.findall(listed) == [str(key(f"user {number}")) for number in (62, 60, 61)]
    assert re.findall(r"</span> (never Up|[0-9.]+ \w+) <code>", listed) == ["never Up", "60 min", "60 s"]
