import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from report_builders import DOWN, NYC, UP, decision, key, mixed, report, signature

from dzbgp.models.decision import Action
from dzbgp.models.ledger import SkippedAccount
from dzbgp.models.report import Report
from dzbgp.models.session import Observed
from dzbgp.models.submission import Outcome, Submission
from dzbgp.report.json import render

NULL = type(None)
Shape = dict[str, set[type]]
REPORT: Shape = {
    "schema_version": {int}, "dry_run": {bool}, "env": {str}, "program_id": {str}, "slot": {int},
    "started_at": {str}, "duration_s": {float}, "exit": {dict}, "notes": {list}, "devices": {list}, "users": {list},
    "skipped_accounts": {list}, "summary": {dict},
}  # fmt: skip
DEVICE: Shape = {
    "host": {str}, "code": {str, NULL}, "pubkey": {str, NULL}, "result": {str}, "error": {str, NULL},
    "sessions": {int}, "established": {int}, "users": {int},
}  # fmt: skip
USER: Shape = {
    "user": {str}, "device": {str}, "host": {str}, "client_ip": {str}, "tunnel_net": {str},
    "user_type": {str}, "vrf": {str, NULL}, "peer_ip": {str, NULL}, "observed": {str},
    "onchain": {str}, "status": {str, NULL}, "action": {str}, "reason": {str}, "detail": {str},
    "rtt_ns": {int}, "result": {str, NULL}, "signature": {str, NULL}, "error": {str, NULL},
}  # fmt: skip
SUMMARY: Shape = {
    "devices": {int}, "devices_failed": {int}, "users": {int}, "up": {int}, "down": {int}, "absent": {int},
    "unknown": {int}, "to_submit": {int}, "changes": {int}, "refreshes": {int}, "submitted": {int}, "failed": {int},
    "held": {int}, "transactions": {int}, "rpc_requests": {int},
}  # fmt: skip


def rendered(what: Report) -> dict[str, Any]:
    document = json.loads(render(what))
    assert isinstance(document, dict)
    return document


def assert_shape(document: dict[str, Any], shape: Shape) -> None:
    """Exactly these keys, in this order, with these types (a bool does not count as an int)."""
    assert list(document) == list(shape)
    for name, value in document.items():
        assert type(value) in shape[name], name


@pytest.mark.parametrize(
    "what", [report(), mixed(dry_run=True), mixed(dry_run=False)], ids=["empty", "dry run", "real run"]
)
def test_every_key_of_schema_1_is_there_with_its_type_and_no_other(what: Report) -> None:
    document = rendered(what)
    assert document["schema_version"] == 1
    assert_shape(document, REPORT)
    assert_shape(document["summary"], SUMMARY)
    for device in document["devices"]:
        assert_shape(device, DEVICE)
    for user in document["users"]:
        assert_shape(user, USER)


def test_a_user_that_was_written_has_all_its_values() -> None:
    due = decision(1, NYC, DOWN, UP, rtt_ns=5_500_000)
    sent = Submission(due.observation.user.pubkey, Outcome.FINALIZED, signature(1), slot=7)
    assert rendered(report(due, submissions=(sent,), dry_run=False))["users"] == [
        {
            "user": str(key("user 1")),
            "device": "nyc-dz01",
            "host": "nyc-dz01",
            "client_ip": "203.0.113.1",
            "tunnel_net": "169.254.0.2/31",
            "user_type": "ibrl-with-allocated-ip",
            "vrf": "vrf1",
            "peer_ip": "169.254.0.3",
            "observed": "established",
            "onchain": "down",
            "status": "up",
            "action": "submit",
            "reason": "changed",
            "detail": "Neighbor 169.254.0.3 is Established; onchain it is down.",
            "rtt_ns": 5_500_000,
            "result": "finalized",
            "signature": signature(1),
            "error": None,
        }
    ]


def test_a_user_that_nothing_is_known_of_has_no_status_and_no_result() -> None:
    unknown = decision(1, NYC, UP, None, action=Action.SKIP, observed=Observed.UNKNOWN, reason="no-vrf")
    (user,) = rendered(report(unknown))["users"]
    assert (user["observed"], user["onchain"], user["status"]) == ("unknown", "up", None)
    assert (user["result"], user["signature"], user["error"]) == (None, None, None)


def test_a_failed_write_tells_its_error() -> None:
    due = decision(1, NYC, DOWN, UP)
    failed = Submission(due.observation.user.pubkey, Outcome.FAILED, error="Custom(8)")
    document = rendered(report(due, submissions=(failed,), dry_run=False))
    (user,) = document["users"]
    assert (user["status"], user["result"], user["error"]) == ("up", "failed", "Custom(8)")
    assert (document["summary"]["submitted"], document["summary"]["failed"]) == (0, 1)


def test_devices_count_their_neighbors_and_their_decisions() -> None:
    devices = {device["host"]: device for device in rendered(mixed(dry_run=True))["devices"]}
    assert devices["nyc-dz01"] == {
        "host": "nyc-dz01",
        "code": "nyc-dz01",
        "pubkey": str(key("nyc-dz01")),
        "result": "ok",
        "error": None,
        "sessions": 5,
        "established": 4,
        "users": 7,
    }
    assert (devices["fra-dz01"]["result"], devices["fra-dz01"]["users"]) == ("failed", 2)
    assert (devices["tokyo-1"]["result"], devices["tokyo-1"]["code"]) == ("suspect", "tyo-dz01")
    spare = devices["spare-1"]
    assert (spare["result"], spare["code"], spare["pubkey"], spare["users"]) == ("unmatched", None, None, 0)


def test_the_summary_of_a_dry_run_and_of_a_real_run_agree_but_for_what_was_sent() -> None:
    dry, real = (rendered(mixed(dry_run=dry_run))["summary"] for dry_run in (True, False))
    assert dry == {
        "devices": 5,
        "devices_failed": 2,
        "users": 13,
        "up": 6,
        "down": 4,
        "absent": 0,
        "unknown": 3,
        "to_submit": 5,
        "changes": 4,
        "refreshes": 1,
        "submitted": 0,
        "failed": 0,
        "held": 2,
        "transactions": 0,
        "rpc_requests": 9,
    }
    assert real == {**dry, "submitted": 3, "failed": 1, "transactions": 3}


def test_the_document_tells_why_its_exit_code_is_what_it_is_and_what_a_person_should_know() -> None:
    document = rendered(mixed(dry_run=False))
    assert document["exit"] == {
        "code": 4,
        "reasons": ["held", "devices-failed", "hosts-unmatched", "writes-failed", "writes-pending"],
    }
    assert document["notes"] == ["2 accounts could not be read and were skipped."]


def test_an_account_that_was_skipped_is_there_with_its_key_and_why() -> None:
    what = replace(report(), skipped_accounts=(SkippedAccount(key("broken"), "user", "cut short"),))
    assert rendered(what)["skipped_accounts"] == [{"pubkey": str(key("broken")), "why": "user: cut short"}]


def test_up_down_absent_and_unknown_of_the_summary_add_up_to_the_users() -> None:
    absent = decision(50, NYC, DOWN, None, action=Action.SKIP, observed=Observed.ABSENT, reason="absent")
    counted = rendered(report(*mixed(dry_run=True).decisions, absent))["summary"]
    assert counted["absent"] == 1
    assert sum(counted[name] for name in ("up", "down", "absent", "unknown")) == counted["users"] == 14
    document = rendered(mixed(dry_run=False))
    statuses = [user["status"] for user in document["users"]]
    assert document["summary"]["up"] == statuses.count("up")
    assert document["summary"]["down"] == statuses.count("down")


def test_the_start_is_utc_in_whole_seconds_whatever_the_time_zone() -> None:
    eastern = datetime(2026, 3, 1, 7, 0, 5, tzinfo=timezone(timedelta(hours=-5)))
    for moment in (eastern, eastern.astimezone(UTC)):
        what = report()
        object.__setattr__(what, "started_at", moment)
        assert rendered(what)["started_at"] == "2026-03-01T12:00:05Z"


def test_the_duration_is_a_number_with_milliseconds() -> None:
    assert rendered(report())["duration_s"] == 3.457


def test_text_from_devices_can_not_break_the_document_or_its_encoding() -> None:
    nasty = 'quote " backslash \\ escape \x1b newline \n snowman \u2603 surrogate \udc80'
    text = render(report(decision(1, NYC, DOWN, UP, detail=nasty)))
    assert text.isascii()
    assert json.loads(text)["users"][0]["detail"] == nasty
