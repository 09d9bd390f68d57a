"""Which reasons a pass has for its exit code, and which of them wins."""

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from report_builders import AMS, DOWN, NYC, UP, decision, key, reading, report

from dzbgp.errors import PRECEDENCE, ExitCode, first_of
from dzbgp.models.decision import Action, Decision
from dzbgp.models.exit import ExitReason, exit_code_of, exit_reasons
from dzbgp.models.ledger import SkippedAccount
from dzbgp.models.report import Report
from dzbgp.models.session import DeviceReading, DeviceResult, Observed
from dzbgp.models.submission import Outcome, Submission

WRITE = decision(1, NYC, DOWN, UP)
HELD = decision(2, NYC, UP, DOWN, action=Action.HOLD, reason="guard")
GOOD = reading(NYC)


def skipped(reason: str) -> Decision:
    return decision(3, NYC, UP, None, action=Action.SKIP, observed=Observed.UNKNOWN, reason=reason)


def written(outcome: Outcome) -> Report:
    sent = Submission(WRITE.observation.user.pubkey, outcome)
    return report(WRITE, devices=(GOOD,), submissions=(sent,), dry_run=False)


def bad(result: DeviceResult) -> DeviceReading:
    return DeviceReading("ams", result, None if result is DeviceResult.UNMATCHED else AMS, "why")


def with_skipped_user(device: Any) -> Report:
    account = SkippedAccount(key("broken"), "user", "cut short", None if device is None else device.pubkey)
    return replace(report(devices=(GOOD,)), skipped_accounts=(account,))


@pytest.mark.parametrize(
    ("passed", "reasons", "code"),
    [
        (report(devices=(GOOD,)), [], 0),
        (written(Outcome.CONFIRMED), [], 0),
        (written(Outcome.FINALIZED), [], 0),
        (written(Outcome.FAILED), ["writes-failed"], 3),
        (written(Outcome.PENDING), ["writes-pending"], 3),
        (report(devices=(bad(DeviceResult.FAILED),)), ["devices-failed"], 3),
        (replace(report(), ledger_doubt="the ledger did not answer"), ["ledger-not-believed"], 3),
        (report(devices=(bad(DeviceResult.SUSPECT),)), ["devices-failed"], 3),
        (report(devices=(bad(DeviceResult.UNMATCHED),)), ["hosts-unmatched"], 3),
        (report(HELD), ["held"], 4),
        (report(WRITE, dry_run=True), [], 0),
        (replace(report(WRITE), signals_changes=True), ["changes-pending"], 5),
        (replace(report(), signals_changes=True), [], 0),
        (replace(written(Outcome.CONFIRMED), signals_changes=True), [], 0),
        (replace(written(Outcome.CONFIRMED), is_interrupted=True), ["interrupted"], 3),
        (with_skipped_user(NYC), ["accounts-skipped"], 3),
        (with_skipped_user(AMS), [], 0),
        (with_skipped_user(None), [], 0),
    ],
)
def test_a_pass_has_its_reasons_and_its_code(passed: Report, reasons: list[str], code: int) -> None:
    assert exit_reasons(passed) == reasons
    assert exit_code_of(passed) == code


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        *(
            (reason, 3)
            for reason in (
                "no-signer",
                "stale-ledger",
                "in-flight",
                "expired",
                "no-tenant",
                "no-vrf",
                "wrong-vrf",
                "odd-neighbor",
            )
        ),
        *((reason, 0) for reason in ("unchanged", "absent", "grace", "damped", "ambiguous", "wrong-side")),
    ],
)
def test_a_user_that_is_due_and_not_written_counts_and_a_standing_oddity_does_not(
    reason: str, code: int
) -> None:
    assert exit_code_of(report(skipped(reason), devices=(GOOD,))) == code


def test_what_is_held_is_never_hidden_by_a_dead_device_and_both_are_listed() -> None:
    passed = report(HELD, skipped("no-vrf"), devices=(bad(DeviceResult.FAILED),))
    assert exit_code_of(passed) is ExitCode.HELD
    assert exit_reasons(passed) == ["held", "devices-failed", "not-written"]


def test_a_report_that_reached_nobody_is_done_in_part() -> None:
    assert exit_reasons(report(), is_delivered=False) == [ExitReason.NOT_DELIVERED]
    assert exit_code_of(report(), is_delivered=False) is ExitCode.PARTIAL


def test_held_beats_partial_beats_changes_pending() -> None:
    for failed, held, pending in product((False, True), repeat=3):
        decisions = [HELD] * held + [WRITE] * pending
        devices = (bad(DeviceResult.FAILED),) if failed else ()
        passed = replace(report(*decisions, devices=devices), signals_changes=True)
        wanted = [number for number, is_so in ((4, held), (3, failed), (5, pending)) if is_so]
        assert exit_code_of(passed) == next(iter(wanted), 0)


def test_every_code_but_ok_has_its_place_in_the_order() -> None:
    assert [int(code) for code in PRECEDENCE] == [1, 2, 4, 3, 5]
    assert set(PRECEDENCE) == set(ExitCode) - {ExitCode.OK}
    assert first_of([]) is ExitCode.OK
    assert first_of([ExitCode.OK, ExitCode.PARTIAL, ExitCode.HELD]) is ExitCode.HELD
