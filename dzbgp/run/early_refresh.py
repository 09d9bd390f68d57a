"""Refreshes that are due soon ride along in transactions that have room: the fee is paid per transaction."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

from solders.pubkey import Pubkey

from dzbgp.console.words import duration
from dzbgp.decision.policy import Clock
from dzbgp.decision.rules import Rules
from dzbgp.ledger.program.instruction import Write
from dzbgp.ledger.submit.packing import MAX_TRANSACTION_BYTES, Batch, TransactionBuilder
from dzbgp.models.decision import Action, Decision

NEARLY_DUE = 0.8
"""From this share of the refresh interval on a report may ride along."""


def ride_along(
    decisions: Sequence[Decision],
    write_of: Callable[[Decision], Write],
    builder: TransactionBuilder,
    clock: Clock,
    rules: Rules,
    may_ride: Callable[[Decision], bool] = lambda _: True,
) -> list[Decision]:
    """Gives the decisions with as many refreshes brought forward as fit without one transaction more.

    The oldest reports go first. Only what is observed as it stands onchain, could be signed and `may_ride` (nothing
    of it is in flight, it is not damped) rides along.
    """
    due: dict[Pubkey, list[Write]] = defaultdict(list)
    for decision in decisions:
        if decision.action is Action.SUBMIT:
            due[decision.observation.device.metrics_publisher_pk].append(write_of(decision))
    if not due:
        return list(decisions)
    nearly: dict[Pubkey, list[Decision]] = defaultdict(list)
    for decision in decisions:
        publisher = decision.observation.device.metrics_publisher_pk
        age_s = clock.age_s(decision.observation.user.last_bgp_reported_at)
        if (
            publisher in due
            and decision.reason == "unchanged"
            and age_s >= NEARLY_DUE * rules.refresh_interval_s
            and may_ride(decision)
        ):
            nearly[publisher].append(decision)
    riders: dict[Pubkey, Decision] = {}
    for publisher, waiting in nearly.items():
        waiting.sort(key=lambda decision: decision.observation.user.last_bgp_reported_at)
        for decision in _fitting(publisher, due[publisher], waiting, write_of, builder):
            riders[decision.observation.user.pubkey] = decision
    return [_boarded(decision, riders, clock) for decision in decisions]


def _fitting(
    publisher: Pubkey,
    due: list[Write],
    waiting: Sequence[Decision],
    write_of: Callable[[Decision], Write],
    builder: TransactionBuilder,
) -> list[Decision]:
    """Gives the first of `waiting` that the last transaction of the writes that are due has room for."""
    batches = builder.pack(due)
    last, fitting = batches[-1], []
    for decision in waiting:
        longer = Batch(publisher, (*last.writes, write_of(decision)))
        if builder.size(longer) > MAX_TRANSACTION_BYTES:
            break
        last = longer
        fitting.append(decision)
    # Packed together they are sorted by device, which may push others into the last transaction.
    while fitting and len(builder.pack([*due, *map(write_of, fitting)])) > len(batches):
        fitting.pop()
    return fitting


def without_lone_riders(decisions: Sequence[Decision], first: Sequence[Decision]) -> list[Decision]:
    """Gives the decisions without the riders whose publisher has nothing else to write any more.

    `first`: what was decided of the same users before any rode along.
    """
    rides = [
        decision.action is Action.SUBMIT and before.action is not Action.SUBMIT
        for decision, before in zip(decisions, first, strict=True)
    ]
    driven = {
        decision.observation.device.metrics_publisher_pk
        for decision, is_rider in zip(decisions, rides, strict=True)
        if decision.action is Action.SUBMIT and not is_rider
    }
    return [
        before if is_rider and decision.observation.device.metrics_publisher_pk not in driven else decision
        for decision, before, is_rider in zip(decisions, first, rides, strict=True)
    ]


def _boarded(decision: Decision, riders: dict[Pubkey, Decision], clock: Clock) -> Decision:
    if decision.observation.user.pubkey not in riders:
        return decision
    age = duration(clock.age_s(decision.observation.user.last_bgp_reported_at))
    detail = f"{decision.detail} Refreshed early: last reported {age} ago, and a transaction has room."
    return replace(decision, action=Action.SUBMIT, reason="refresh", detail=detail)
