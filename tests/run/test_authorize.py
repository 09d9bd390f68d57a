"""What may be signed: nothing for a user that changed, and nothing old."""

from dataclasses import replace
from typing import Any

import pytest
from core_builders import key, make_user
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from dzbgp.ledger.program.instruction import Write
from dzbgp.ledger.submit.reread import Reread
from dzbgp.models.ledger import BgpStatus, Net, User, UserStatus
from dzbgp.models.moment import Moment
from dzbgp.models.session import Look
from dzbgp.run.authorize import authorizer, decision_age_s, refusal

UP, DOWN = BgpStatus.UP, BgpStatus.DOWN
SLOT, NOW, UPTIME, MAX_AGE_S, RATE = 1_000, 50_000.0, 300.0, 60.0, 0.4
ASKED = Moment(NOW, UPTIME)
USER = make_user(1, bgp_status=UP, last_bgp_reported_at=900)


def write(status: BgpStatus = DOWN, seen: User = USER, look: Look | None = None) -> Write:
    look = look or Look(SLOT, ASKED, NOW)
    return Write(seen.pubkey, seen.device_pk, key(2), status, seen=seen, look=look)


def reason(
    one: Write,
    now: User | None,
    at: float = NOW + 1,
    ledger_at: float | None = NOW + 1,
    uptime: float = UPTIME + 1,
) -> str | None:
    reread = Reread(SLOT + 3, ledger_at, {one.user: now})
    refused = refusal(one, reread, Moment(at, uptime), MAX_AGE_S, RATE)
    return refused.reason if refused else None


def test_a_user_that_is_as_it_was_may_be_written() -> None:
    assert reason(write(), USER) is None
    assert authorizer(now=lambda: ASKED)([write()], Reread(SLOT, NOW, {USER.pubkey: USER})) == {}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"status": UserStatus.BANNED}, "not-activated"),
        ({"status": UserStatus.DELETING}, "not-activated"),
        ({"device_pk": key(77)}, "moved"),
        ({"owner": key(78)}, "recreated"),
        ({"tunnel_net": Net(1, 31)}, "recreated"),
        ({"tunnel_id": 9_999}, "recreated"),
        ({"last_bgp_reported_at": 0, "bgp_status": BgpStatus.UNKNOWN}, "recreated"),
        ({"last_bgp_reported_at": SLOT + 1}, "newer-report"),
        ({"last_bgp_reported_at": SLOT, "bgp_status": DOWN}, "newer-report"),
        ({"last_bgp_reported_at": SLOT}, None),
        ({"bgp_rtt_ns": 5, "lamports": 7}, None),
    ],
)
def test_a_user_that_changed_since_is_refused_with_the_reason(changes: Any, expected: str | None) -> None:
    assert reason(write(), structs.replace(USER, **changes)) == expected


def test_an_account_that_is_gone_is_refused() -> None:
    assert reason(write(), None) == "gone"


def test_a_write_that_does_not_say_what_it_rests_on_is_refused() -> None:
    assert reason(replace(write(), look=None), USER) == "expired"
    assert reason(replace(write(), seen=None), USER) == "expired"


@pytest.mark.parametrize(
    ("at", "uptime", "ledger_at"),
    [
        (NOW + 61, UPTIME + 61, NOW + 1),
        (NOW + 61, UPTIME + 1, NOW + 1),
        (NOW - 500, UPTIME + 1, NOW + 61),
        (NOW - 60, UPTIME + 61, NOW + 1),
        (NOW + 61, UPTIME + 61, None),
    ],
    ids=[
        "stopped",
        "suspended",
        "suspended, clock set back",
        "clock set back, ledger that does not advance",
        "no ledger clock",
    ],
)
def test_a_decision_that_is_too_old_by_any_clock_is_refused(
    at: float, uptime: float, ledger_at: float | None
) -> None:
    assert reason(write(), USER, at, ledger_at, uptime) == "expired"


def test_without_the_ledgers_clock_its_slots_tell_the_age() -> None:
    look, now = Look(SLOT, ASKED), Moment(NOW + 1, UPTIME + 1)
    assert decision_age_s(look, Reread(SLOT + 200, None, {}), now, RATE) == 80
    assert decision_age_s(look, Reread(SLOT + 200, NOW + 9, {}), now, RATE) == 80


@given(
    st.sampled_from(UserStatus),
    st.integers(0, 2 * SLOT),
    st.sampled_from([UP, DOWN]),
    st.sampled_from([UP, DOWN]),
    st.floats(-1e4, 1e4),
    st.floats(0, 1e4),
    st.floats(-1e4, 1e4),
    st.booleans(),
)
def test_whatever_may_be_signed_is_true_of_an_unchanged_user_and_young(
    status: UserStatus,
    reported: int,
    onchain: BgpStatus,
    wanted: BgpStatus,
    local_s: float,
    passed_s: float,
    ledger_s: float,
    is_same_tunnel: bool,
) -> None:
    now = structs.replace(USER, status=status, last_bgp_reported_at=reported, bgp_status=onchain)
    if not is_same_tunnel:
        now = structs.replace(now, tunnel_id=now.tunnel_id + 1)
    found = reason(write(wanted), now, NOW + local_s, NOW + ledger_s, UPTIME + passed_s)
    may_sign = (
        status is UserStatus.ACTIVATED
        and is_same_tunnel
        and USER.last_bgp_reported_at <= reported <= SLOT
        and not (reported > USER.last_bgp_reported_at and onchain is wanted)
        and max(local_s, passed_s, ledger_s) <= MAX_AGE_S
    )
    assert (found is None) == may_sign
