"""The whole pass under every fault alone, and in random combinations: the chain is right, and so is the report.

A failure names its seed: DZBGP_FAULT_SEEDS=1234-1235 runs it again, and 0-100000 searches for a long time.
"""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_runs import Case, Fault, Site, carry_out, explained, running, site
from fault_runs import FaultKind as Kind

from dzbgp.errors import ExitCode
from dzbgp.models.exit import ExitReason, exit_code_of, exit_reasons

SEEDS = range(*map(int, os.environ.get("DZBGP_FAULT_SEEDS", "1000-1200").split("-")))

FETCH = "getProgramAccounts"
SEND = "sendTransaction"
SIMULATE = "simulateTransaction"
STATUSES = "getSignatureStatuses"
READ = "getMultipleAccounts"
BLOCKHASH = "getLatestBlockhash"
HEIGHT = "getEpochInfo"
METHODS = (FETCH, SEND, SIMULATE, STATUSES, READ, BLOCKHASH, HEIGHT, None)
ANY_METHOD = (
    Kind.HTTP_STATUS,
    Kind.GARBAGE,
    Kind.TRUNCATED,
    Kind.HANGUP_BEFORE,
    Kind.HANGUP_AFTER,
    Kind.WRONG_ID,
    Kind.DELAY,
    Kind.RPC_ERROR,
    Kind.NULL_ID,
    Kind.NODE_BEHIND,
    Kind.STALE_SLOT,
)
PASSING = (503, 429, -32603, -32000)
"""Codes of errors in the body of an HTTP 200 that pass."""
REFUSING_STATUS = (301, 401, 402, 403, 404, 408, 410, 413, 520, 530)
REFUSING_CODES = (-32601, -32010)
"""An RPC that refuses everything, for a cause of its own."""
TIMES = (1, 2, 5, None)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("site")) as made:
        yield made


def fault(kind: Kind, method: str | None = None, **how: object) -> Fault:
    delay_s = 0.6 if kind is Kind.STALL else 0.1 if kind is Kind.DELAY else 0.0
    return Fault(kind=kind, method=method, **{"delay_s": delay_s, **how})  # type: ignore[arg-type]


ALONE = [
    *(Case(f"{kind}-{method}", (fault(kind, method, times=2),)) for kind in ANY_METHOD for method in METHODS),
    *(
        Case(f"{kind}-send-always", (fault(kind, SEND, times=None),), deadline_s=1.5)
        for kind in ANY_METHOD[:7]
    ),
    *(Case(f"stall-{method}", (fault(Kind.STALL, method),)) for method in METHODS),
    *(
        Case(f"{code}-send", (fault(Kind.RPC_ERROR, SEND, code=code, times=2),))
        for code in (-32002, -32003, -32429)
    ),
    Case("429-retry-after", (fault(Kind.HTTP_STATUS, status=429, retry_after_s=0.1, times=3),)),
    Case("403-everywhere", (fault(Kind.HTTP_STATUS, status=403, times=None),)),
    *(
        Case(f"code-{code}-{method}-once", (fault(Kind.RPC_ERROR, method, code=code),))
        for code in PASSING
        for method in METHODS
    ),
    *(
        Case(f"code-{code}-null-id", (fault(Kind.NULL_ID, FETCH, code=code, message="overloaded"),))
        for code in PASSING
    ),
    Case("503-executed", (fault(Kind.HTTP_STATUS, SEND, executed=True, times=2),)),
    Case("lost-send", (fault(Kind.LOST_SEND, times=3),)),
    Case("lost-send-always", (fault(Kind.LOST_SEND, times=None),)),
    Case("delayed-send", (fault(Kind.DELAYED_SEND, slots=60, times=None),)),
    Case("delayed-send-beyond-time", (fault(Kind.DELAYED_SEND, slots=140, times=None),), deadline_s=0.6),
    Case("expire-send", (fault(Kind.EXPIRE_BLOCKHASH, SEND),)),
    Case("expire-send-always", (fault(Kind.EXPIRE_BLOCKHASH, SEND, times=None),)),
    Case("expire-statuses", (fault(Kind.EXPIRE_BLOCKHASH, STATUSES, times=2),)),
    Case("reject", (fault(Kind.REJECT_USER, times=2),)),
    Case("reject-in-simulation", (fault(Kind.REJECT_USER, SIMULATE, times=3),)),
    Case("reject-by-confirmation", (fault(Kind.REJECT_USER, by_confirmation=True, times=2),)),
    Case("reject-always", (fault(Kind.REJECT_USER, by_confirmation=True, times=None),)),
    Case("empty-once", (fault(Kind.EMPTY_ACCOUNTS),)),
    Case("empty-always", (fault(Kind.EMPTY_ACCOUNTS, times=None),)),
    Case("blind", (fault(Kind.BLIND_STATUSES, times=10),)),
    Case("blind-always", (fault(Kind.BLIND_STATUSES, times=None),)),
    Case(
        "blind-and-rejected",
        (fault(Kind.BLIND_STATUSES, times=None), fault(Kind.REJECT_USER, by_confirmation=True)),
    ),
    Case("fork-statuses", (fault(Kind.FORK, STATUSES, slots=3, times=2),)),
    Case("fork-finalized", (fault(Kind.FORK, STATUSES, slots=20, after=3),), commitment="finalized"),
    Case("fork-read-back", (fault(Kind.FORK, READ, slots=25, after=1),)),
    Case("finalized", (), commitment="finalized"),
    Case("priority-fee", (), priority_fee=50_000),
    Case("dead-rpc-first", (), dead_rpc_first=True),
]


BESIDE_A_HEALTHY_ONE = [
    *(
        Case(f"status-{status}", (fault(Kind.HTTP_STATUS, status=status, times=None),), healthy_rpc=True)
        for status in REFUSING_STATUS
    ),
    *(
        Case(f"code-{code}", (fault(kind, code=code, times=None),), healthy_rpc=True)
        for code in (*REFUSING_CODES, *PASSING)
        for kind in (Kind.RPC_ERROR, Kind.NULL_ID)
    ),
    *(
        Case(f"{kind}", (fault(kind, times=None),), healthy_rpc=True)
        for kind in (Kind.GARBAGE, Kind.TRUNCATED, Kind.HANGUP_BEFORE, Kind.WRONG_ID, Kind.NODE_BEHIND)
    ),
]


@pytest.mark.parametrize("case", BESIDE_A_HEALTHY_ONE, ids=lambda case: case.name)
def test_beside_a_healthy_rpc_one_that_refuses_everything_costs_nothing(
    place: Site, case: Case, tmp_path: Path
) -> None:
    report, _ = carry_out(place, case, tmp_path)
    assert report is not None
    assert set(report.submissions) == set(place.world.expected())
    assert {one.outcome.value for one in report.submissions.values()} <= {"confirmed", "finalized"}


@pytest.mark.parametrize("case", ALONE, ids=lambda case: case.name)
def test_after_a_pass_under_one_fault_chain_and_report_agree_and_the_next_pass_repairs(
    place: Site, case: Case, tmp_path: Path
) -> None:
    try:
        carry_out(place, case, tmp_path)
    except AssertionError as error:
        raise AssertionError(f"{explained(case)}\n{error}") from error


def random_case(seed: int) -> Case:
    """One to four faults of any kind at any moment, and options of any kind."""
    rng = random.Random(seed)
    faults = []
    for _ in range(rng.randint(1, 4)):
        kind = rng.choice(list(Kind))
        method = rng.choice(METHODS) if kind in ANY_METHOD or kind is Kind.STALL else None
        if kind in (Kind.FORK, Kind.EXPIRE_BLOCKHASH):
            method = rng.choice((SEND, SIMULATE, STATUSES, READ, BLOCKHASH))
        slots = {Kind.FORK: rng.randint(1, 30), Kind.DELAYED_SEND: rng.randint(1, 200)}.get(kind)
        faults.append(
            fault(
                kind,
                method,
                times=rng.choice(TIMES) if method is not None else rng.choice(TIMES[:3]),
                after=rng.choice((0, 0, 1, 2, 5)),
                slots=slots,
                status=rng.choice((429, 500, 502, 503, 504, *REFUSING_STATUS)),
                code=rng.choice((-32004, -32005, -32429, *PASSING, *REFUSING_CODES)),
                by_confirmation=rng.random() < 0.5,
                executed=rng.random() < 0.5,
            )
        )
    return Case(
        f"seed {seed}",
        tuple(faults),
        commitment=rng.choice(("confirmed", "confirmed", "confirmed", "finalized")),
        priority_fee=rng.choice((0, 0, 10_000)),
        # Without reading back, a fork after the confirmation is for the next pass to see.
        verify=rng.random() < 0.8 or any(one.kind is Kind.FORK for one in faults),
        dead_rpc_first=rng.random() < 0.15,
        healthy_rpc=rng.random() < 0.5,
        deadline_s=rng.choice((1.0, 4.0)),
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_after_a_pass_under_random_faults_chain_and_report_agree_and_the_next_pass_repairs(
    place: Site, seed: int, tmp_path: Path
) -> None:
    case = random_case(seed)
    try:
        carry_out(place, case, tmp_path)
    except AssertionError as error:
        raise AssertionError(f"seed {seed}, {explained(case)}\n{error}") from error


def test_where_no_rpc_is_believed_all_is_shown_nothing_is_written_and_the_exit_code_says_so(
    place: Site, tmp_path: Path
) -> None:
    case = Case("a clock that differs", (fault(Kind.SHIFTED_CLOCK, times=None, delay_s=-120.0),))
    with running(place, case, tmp_path) as run:
        report = run.once()
        assert "sendTransaction" not in run.ledger.stats().requests
        reasons = {
            decision.reason
            for decision in report.decisions
            if decision.observation.user.pubkey in place.world.expected()
        }
        assert reasons == {"stale-ledger"}
        assert exit_code_of(report) is ExitCode.PARTIAL
        assert ExitReason.LEDGER_NOT_BELIEVED in exit_reasons(report)
        assert any("this machine's clock may be wrong" in note for note in report.notes)
