import re
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from msgspec import structs
from report_builders import (
    AMS,
    DOWN,
    FRA,
    NYC,
    UP,
    decision,
    device,
    fleet_of_changes,
    key,
    mixed,
    reading,
    report,
    signature,
)

from dzbgp.models.decision import Action
from dzbgp.models.report import Report
from dzbgp.models.session import DeviceReading, DeviceResult
from dzbgp.report.markdown import escaped, render

MARKDOWN = MarkdownIt("commonmark").enable("table")
STEP_SUMMARY_BYTES = 1024 * 1024
KEY = re.compile(r"`[1-9A-HJ-NP-Za-km-z]{32,44}`")
CELL_BORDER = re.compile(r"(?<!\\)\|")


def section(text: str, title: str) -> str:
    """The lines from a heading that begins so until the next heading."""
    found = re.search(rf"^### {re.escape(title)}.*?(?=^### |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[0]


def shown(markdown: str) -> str:
    """The text that a reader sees."""
    html = MARKDOWN.render(markdown)
    text = re.sub(r"<[^>]+>", "", html)
    for entity, char in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&")):
        text = text.replace(entity, char)
    return text.strip()


def test_every_change_is_there_once_with_all_its_facts() -> None:
    text = render(mixed(dry_run=True))
    changes = section(text, "Changes: 4 users")
    for number in (1, 2, 3, 5):
        assert changes.count(f"`{key(f'user {number}')}`") == 1
    row = next(line for line in changes.splitlines() if str(key("user 1")) in line)
    assert row == (
        f"| **down → up** | `{key('user 1')}` | nyc-dz01 | 203.0.113.1 | 169.254.0.2/31 | vrf1 | 5.50 ms | "
        "Neighbor 169.254.0.3 is Established; onchain it is down. |"
    )


def test_the_totals_come_first_and_are_those_of_the_table() -> None:
    lines = render(mixed(dry_run=False)).splitlines()
    assert lines[0] == "## dzbgp: Wrote 3 of 5 users: 1 failed, 1 pending"
    assert lines[2] == "run · testnet · slot 312345678 · 2026-03-01 12:00:05 UTC"
    assert lines[4].startswith(
        "**5 devices (2 failed, 1 unmatched) · 13 users: 6 up, 4 down, 3 unknown · 3 submitted"
    )


def test_the_sections_have_their_order() -> None:
    text = render(mixed(dry_run=False), show_all=True)
    assert re.findall(r"^### (.*)", text, re.MULTILINE) == [
        "Changes: 4 users",
        "🛑 HELD",
        "❌ Devices left out: 3",
        "❌ Writes that did not go through: 1",
        "Down or unknown: 7 users",
        "Unchanged: 3 users with unknown state",
        "Notes",
        "No write due: 6 users",
    ]


def test_unchanged_users_appear_only_when_all_are_asked_for() -> None:
    calm = str(key("user 30"))
    assert calm not in render(mixed(dry_run=True))
    assert calm in render(mixed(dry_run=True), show_all=True)


def test_held_users_are_loud() -> None:
    held = section(render(mixed(dry_run=False)), "🛑 HELD")
    assert "> **2 users. Too many would turn Down at once, so nothing was written for them." in held
    assert len(KEY.findall(held)) == 2


def test_failures_and_unknown_users_tell_their_cause() -> None:
    text = render(mixed(dry_run=False))
    assert "| fra-dz01 | **failed** | no answer within 30 s |" in text
    assert "NotAllowed \\[not the metrics publisher\\] |" in text
    assert "| fra-dz01 | 2 | no-answer |" in text
    assert "- 2 accounts could not be read and were skipped." in text


def test_a_write_points_to_its_transaction_and_the_signatures_are_whole() -> None:
    text = render(mixed(dry_run=False))
    assert f"| 1 | confirmed | 2 | <code>{signature(1)}</code> |" in text
    assert "| **3 pending** |" in text
    assert "| **failed** |" in text
    assert " Tx " not in render(mixed(dry_run=True))


def test_a_pass_with_nothing_to_do_is_three_lines() -> None:
    calm = report(
        decision(1, NYC, UP, UP, action=Action.SKIP, reason="unchanged"), devices=(reading(NYC, up=1),)
    )
    assert render(calm).split("\n\n") == [
        "## dzbgp: Nothing to write",
        "dry run, nothing is written · testnet · slot 312345678 · 2026-03-01 12:00:05 UTC",
        "**1 device · 1 user: 1 up, 0 down · 0 to submit · 1 unchanged · 9 RPC requests · 3.5 s**",
    ]


def test_a_long_list_is_folded_and_a_short_one_is_not() -> None:
    assert "<summary>31 rows</summary>" in render(fleet_of_changes(31))
    assert "rows</summary>" not in render(fleet_of_changes(30))


@pytest.mark.parametrize("number", [500, 5_000, 20_000])
def test_a_big_run_fits_a_steps_summary_and_says_what_it_leaves_out(number: int) -> None:
    began = time.perf_counter()
    text = render(fleet_of_changes(number))
    assert time.perf_counter() - began < 5
    assert len(text.encode()) < STEP_SUMMARY_BYTES
    left_out = re.search(r"… and ([0-9,]+) more", section(text, "Changes"))
    rows = KEY.findall(section(text, "Changes"))
    assert len(set(rows)) == len(rows)
    assert len(rows) + (int(left_out[1].replace(",", "")) if left_out else 0) == number
    assert (left_out is None) == (number == 500)


def hostile(text: str) -> Report:
    """A report with this text wherever text comes from outside."""
    odd = device(text)
    change = decision(1, odd, UP, DOWN, detail=text)
    held = decision(2, odd, UP, DOWN, action=Action.HOLD, detail=text)
    whole = report(
        structs.replace(change, observation=structs.replace(change.observation, vrf=text)),
        held,
        devices=(DeviceReading(text, DeviceResult.FAILED, odd, text), reading(AMS), reading(FRA)),
        notes=(text,),
    )
    return replace(whole, env=text)


NASTY = st.text(
    st.one_of(st.sampled_from("|`<>&\\*_[]()#!~@$:./\"'\n\r\t -"), st.characters()), min_size=1, max_size=40
)


@given(NASTY)
def test_text_from_outside_never_ends_a_cell_nor_begins_html(text: str) -> None:
    for line in render(hostile(text)).splitlines():
        if line.startswith("| "):
            assert len(CELL_BORDER.findall(line)) in {4, 7, 9}, line
        assert not re.search(r"<(?!/?(details|summary|code)>)", line), line


@given(NASTY)
def test_escaped_text_is_shown_as_it_is(text: str) -> None:
    cell = escaped(text)
    assert "\n" not in cell
    wanted = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    assert " ".join(shown(f"| a |\n| --- |\n| {cell} |").split()) == " ".join(["a", *wanted.split()])


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("a|b", "a&#124;b"),
        ("`code`", "\\`code\\`"),
        ("[link](https://example.com)", "\\[link\\](https&#58;//example.com)"),
        ("www.example.com", "www&#46;example.com"),
        ("@everyone $x$", "&#64;everyone &#36;x&#36;"),
        ("two\nlines\x1b[31m", "two lines \\[31m"),
    ],
)
def test_what_means_something_to_github_is_escaped(text: str, cell: str) -> None:
    assert escaped(text) == cell
