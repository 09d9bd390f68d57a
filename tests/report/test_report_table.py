import io
import re
from dataclasses import replace

import pytest
from report_builders import (
    AMS,
    DOWN,
    FRA,
    NEVER,
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
from rich.cells import cell_len
from rich.console import Console

from dzbgp.models.decision import Action
from dzbgp.models.ledger import DeviceStatus
from dzbgp.models.report import Report
from dzbgp.models.session import DeviceReading, DeviceResult, Observed
from dzbgp.models.submission import Outcome, Submission
from dzbgp.report.table import render

WIDTHS = [pytest.param(width, id=f"{width} columns") for width in (80, 100, 120, 200)]


def printed(what: Report, width: int = 80, *, show_all: bool = False) -> str:
    out = io.StringIO()
    render(what, Console(file=out, width=width), show_all=show_all)
    return out.getvalue()


def as_one_line(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 160, 200, 300])
@pytest.mark.parametrize("show_all", [False, True])
@pytest.mark.parametrize("dry_run", [False, True])
def test_no_line_is_wider_than_the_console_but_a_signature(width: int, show_all: bool, dry_run: bool) -> None:
    for line in printed(mixed(dry_run=dry_run), width, show_all=show_all).splitlines():
        assert cell_len(line) <= width or re.fullmatch(r"[1-9A-HJ-NP-Za-km-z]{88}", line), line
        assert line == line.rstrip()


@pytest.mark.parametrize("width", WIDTHS)
def test_every_fact_of_a_change_is_there_at_any_width(width: int) -> None:
    text = as_one_line(printed(mixed(dry_run=True), width))
    for fact in ("nyc-dz01", "203.0.113.1", "169.254.0.2/31", "vrf1", "down → up", "5.50 ms"):
        assert fact in text
    assert "Neighbor 169.254.0.5 in vrf1 is not Established; onchain it is up." in text


def test_the_user_is_whole_on_a_wide_console_and_recognizable_on_a_narrow_one() -> None:
    whole = str(key("user 1"))
    assert whole in printed(mixed(dry_run=True), 200)
    narrow = printed(mixed(dry_run=True), 80)
    assert whole not in narrow
    assert f"{whole[:4]}..{whole[-4:]}" in narrow


def test_a_change_without_an_rtt_has_a_dash_in_its_column() -> None:
    text = printed(report(decision(1, NYC, UP, DOWN), devices=(reading(NYC),)), 200)
    assert re.search(r"up → down +- +Neighbor", text)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_changes_come_first_then_held_then_failed_then_unknown_then_totals(width: int) -> None:
    text = printed(mixed(dry_run=False), width)
    titles = ["Wrote 3 of 5 users: 1 failed, 1 pending", "Transactions", "HELD: 2 users", "Devices left out",
              "Writes that did not go through", "Unchanged: 3 users", "Notes",
              "5 devices"]  # fmt: skip
    places = [text.index(title) for title in titles]
    assert places == sorted(places)


def test_what_turns_down_comes_before_what_turns_up_and_refreshes_come_last() -> None:
    rows = [
        line
        for line in printed(mixed(dry_run=True), 200, show_all=True).splitlines()
        if " → " in line and "169." in line
    ]
    changes = [re.search(r"(\w+ → \w+)", line) for line in rows]
    assert [change and change[0] for change in changes] == [
        "up → down", "up → down", "unknown → up", "down → up", "up → up", "up → down", "up → down",
    ]  # fmt: skip


@pytest.mark.parametrize("width", WIDTHS)
def test_unchanged_users_appear_only_when_all_are_asked_for(width: int) -> None:
    calm = str(key("user 30"))[:4]
    assert calm not in printed(mixed(dry_run=True), width)
    everything = printed(mixed(dry_run=True), width, show_all=True)
    assert calm in everything
    assert "No write due: 6 users" in everything
    assert "3 unchanged" in printed(mixed(dry_run=True), width)


@pytest.mark.parametrize("width", WIDTHS)
def test_signatures_are_whole_and_copyable_with_result_and_number_of_users(width: int) -> None:
    text = printed(mixed(dry_run=False), width)
    for number in (1, 2, 3):
        assert signature(number) in text.split()
    listing = as_one_line(text[text.index("Transactions") : text.index("HELD")])
    assert f"#1 confirmed 2 users {signature(1)}" in listing
    assert f"#2 finalized 1 user {signature(2)}" in listing
    assert f"#3 pending 1 user {signature(3)}" in listing


def test_a_write_points_to_its_transaction_and_a_failed_one_says_so() -> None:
    lines = printed(mixed(dry_run=False), 200).splitlines()
    tx = {
        number: next(line for line in lines if str(key(f"user {number}")) in line) for number in range(1, 6)
    }
    assert " #1 " in tx[1]
    assert " #1 " in tx[2]
    assert " #2 " in tx[3]
    assert " #3 pending " in tx[4]
    assert " failed " in tx[5]


def test_a_dry_run_says_so_and_speaks_of_no_transaction() -> None:
    text = printed(mixed(dry_run=True))
    assert text.startswith("dzbgp dry run, nothing is written · testnet · slot 312345678")
    assert "Plan: 2 up, 2 down, 1 refresh, 3 unknown, 2 held\n" in text
    assert "5 to submit" in text
    assert "Transactions" not in text
    assert "Tx" not in text


def test_a_write_that_was_due_and_never_sent_is_told() -> None:
    text = printed(report(decision(1, NYC, UP, DOWN), devices=(reading(NYC),), dry_run=False))
    assert "Wrote 0 of 1 user: 1 not sent" in text


def test_a_run_that_wrote_everything_says_it_without_ado() -> None:
    text = printed(fleet_of_changes(3))
    assert "Wrote 3 users\n" in text
    assert "failed" not in text


def test_devices_left_out_have_one_entry_each_with_the_cause() -> None:
    text = as_one_line(printed(mixed(dry_run=True)))
    assert "fra-dz01 failed no answer within 30 s" in text
    assert "tokyo-1 (tyo-dz01) suspect it is another device: router-id 192.0.2.9" in text
    assert "spare-1 unmatched no device on the ledger matches it" in text
    assert "5 devices (2 failed, 1 unmatched)" in text


def test_a_failed_write_tells_user_device_and_error() -> None:
    text = as_one_line(printed(mixed(dry_run=False), 200))
    assert (
        f"{key('user 5')} nyc-dz01 the program refused it: Custom(8), NotAllowed [not the metrics publisher]"
        in text
    )


def test_a_pending_write_with_a_known_cause_tells_it() -> None:
    due = decision(1, NYC, UP, DOWN)
    sent = Submission(due.observation.user.pubkey, Outcome.PENDING, signature(1), "not seen within 60 s")
    text = printed(report(due, devices=(reading(NYC),), submissions=(sent,), dry_run=False))
    assert "pending: not seen within 60 s" in text


def test_users_that_nothing_is_known_of_are_counted_by_device_and_reason() -> None:
    text = as_one_line(printed(mixed(dry_run=True), 200))
    assert "fra-dz01 2 users no-answer" in text
    assert "nyc-dz01 1 user ambiguous: its tunnel net 169.254.0.84/31 overlaps" in text


def test_a_device_with_many_ambiguous_users_has_one_line() -> None:
    users = [
        decision(number, NYC, UP, None, action=Action.SKIP, observed=Observed.UNKNOWN, reason="ambiguous",
                 detail=f"Its net overlaps that of user {number}.")
        for number in range(10)
    ]  # fmt: skip
    text = printed(report(*users, devices=(reading(NYC),)), 120)
    assert "10 users  ambiguous: Its net overlaps that of user 0. (and 9 more like it)" in text


def test_held_users_are_loud_in_a_dry_run_and_in_a_real_one() -> None:
    for dry_run, words in ((True, "nothing would be written"), (False, "nothing was written")):
        text = as_one_line(printed(mixed(dry_run=dry_run), 120))
        assert f"HELD: 2 users. Too many would turn Down at once, so {words} for them." in text
        assert "2 HELD" in text


def test_an_empty_fleet_has_a_short_report() -> None:
    assert printed(report(), 100).splitlines() == [
        "dzbgp dry run, nothing is written · testnet · slot 312345678 · 2026-03-01 12:00:05 UTC",
        "",
        "Nothing to write: no device was asked",
        "",
        "0 devices · 0 users: 0 up, 0 down · 0 to submit · 9 RPC requests · 3.5 s",
    ]


def test_a_fleet_of_which_nobody_answered_names_every_device() -> None:
    failed = tuple(
        DeviceReading(item.code, DeviceResult.FAILED, item, "no answer") for item in (NYC, AMS, FRA)
    )
    text = printed(report(devices=failed, dry_run=False))
    assert "Nothing to write: no device gave a credible answer" in text
    assert all(f"{item.code}  " in text for item in (NYC, AMS, FRA))
    assert "3 devices (3 failed) · 0 users: 0 up, 0 down · 0 submitted" in text


@pytest.mark.parametrize("width", WIDTHS)
def test_what_looks_like_markup_is_printed_as_it_is(width: int) -> None:
    odd = device("[red]nyc[/red]")
    bad = DeviceReading("[bold]host", DeviceResult.FAILED, odd, "[/] closed [link=http://example.com]here")
    what = report(
        decision(1, odd, UP, DOWN, detail="said [blink]no[/blink] \\[x]"),
        devices=(bad,),
        notes=("[dim]note",),
    )
    text = as_one_line(printed(what, width))
    for piece in ("[red]nyc[/red]", "[bold]host", "[/] closed [link=http://example.com]here",
                  "said [blink]no[/blink] \\[x]", "[dim]note"):  # fmt: skip
        assert piece in text


def test_control_characters_from_a_device_never_reach_the_terminal() -> None:
    bad = DeviceReading("nyc", DeviceResult.FAILED, NYC, "a\x1b[2Jb\rc\nd\x07e\u202ef\tg")
    out = io.StringIO()
    render(report(devices=(bad,)), Console(file=out, width=80, force_terminal=True, color_system=None))
    assert "a [2Jb c d e f g" in out.getvalue()
    assert "\x1b[2J" not in out.getvalue()


def test_there_is_no_escape_sequence_when_the_output_is_no_terminal() -> None:
    assert "\x1b" not in printed(mixed(dry_run=False), show_all=True)


def test_a_terminal_gets_colour_and_the_same_text() -> None:
    out = io.StringIO()
    render(mixed(dry_run=False), Console(file=out, width=80, force_terminal=True, color_system="standard"))
    coloured = out.getvalue()
    assert "\x1b[31mup → down" in coloured
    assert "\x1b[32mdown → up" in coloured
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == printed(mixed(dry_run=False))


def test_a_console_that_can_not_encode_the_nice_characters_gets_ascii() -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    what = report(decision(1, NYC, DOWN, UP, detail="café \u2603"), devices=(reading(NYC),), notes=("日本",))
    render(what, Console(file=out, width=80))
    out.flush()
    text = raw.getvalue().decode("ascii")
    assert "down -> up" in text
    assert "caf\\xe9 \\u2603" in text


def test_wide_characters_wrap_within_the_console() -> None:
    bad = DeviceReading("東京" * 5, DeviceResult.FAILED, None, "接続できません " * 20)
    for line in printed(report(devices=(bad,)), 60).splitlines():
        assert cell_len(line) <= 60


@pytest.mark.parametrize("width", WIDTHS)
def test_names_of_any_length_are_folded_and_never_cut(width: int) -> None:
    long = device("_" * 150)
    lines = printed(report(decision(1, long, NEVER, UP), devices=(reading(long),)), width).splitlines()
    assert all(cell_len(line) <= width for line in lines)
    assert sum(line.count("_") for line in lines) == 150


def test_a_device_without_a_code_is_known_by_its_key() -> None:
    nameless = replace(device("some"), code="")
    assert f"{str(nameless.pubkey)[:4]}.." in printed(report(decision(1, nameless, UP, DOWN)))


@pytest.mark.parametrize("width", [80, 200])
def test_five_thousand_changes_are_all_printed(width: int) -> None:
    text = printed(fleet_of_changes(5_000), width)
    assert text.count("up → down") == 5_000
    assert "Wrote 5,000 users" in text
    assert "50 transactions" in text


def test_refreshes_are_one_line_until_they_are_asked_for_and_those_that_failed_are_shown() -> None:
    refresh = str(key("user 4"))
    assert refresh not in printed(mixed(dry_run=True), 200)
    assert "Refreshes: 1 user (--all lists them)" in printed(mixed(dry_run=True), 200)
    assert refresh in printed(mixed(dry_run=True), 200, show_all=True)
    pending = printed(mixed(dry_run=False), 200)
    assert re.search(rf"{refresh} .* #3 pending ", pending)


def test_a_drained_device_is_marked_wherever_it_is_named() -> None:
    drained = replace(NYC, status=DeviceStatus.DRAINED)
    failed = DeviceReading("ams", DeviceResult.FAILED, replace(AMS, status=DeviceStatus.DRAINED), "no answer")
    text = as_one_line(printed(report(decision(1, drained, UP, DOWN), devices=(failed,)), 200))
    assert "nyc-dz01 (drained) 203.0.113.1" in text
    assert "ams (ams-dz002) (drained) failed no answer" in text


def test_an_interrupted_run_says_so_first() -> None:
    due = decision(1, NYC, UP, DOWN)
    what = replace(report(due, devices=(reading(NYC),), dry_run=False), is_interrupted=True)
    assert "Interrupted. Wrote 0 of 1 user: 1 not sent\n" in printed(what)
