"""Refreshes that are due soon are added to transactions that have room: the fee is paid per transaction."""

from collections import defaultdict
from collections.abc import Sequence

from solders.pubkey import Pubkey

from dzbgp.ledger.program.instruction import Write
from dzbgp.ledger.submit.packing import MAX_TRANSACTION_BYTES, Batch, TransactionBuilder
from dzbgp.models.decision import Decision
from dzbgp.run.decider import Decider
from dzbgp.run.plan import write_of

NEARLY_DUE = 0.8
"""From this share of the refresh interval on a report may be refreshed early."""


def add_early_refreshes(
    decisions: dict[Pubkey, Decision], decider: Decider, builder: TransactionBuilder
) -> dict[Pubkey, Decision]:
    """Return the decisions with as many refreshes brought forward as fit without one transaction more.

    The oldest reports go first. Added is only what could be written if it were due: nothing of it is in flight, it is
    not damped, its publisher signs something else anyway.
    """
    due: dict[Pubkey, list[Write]] = defaultdict(list)
    for decision in decisions.values():
        if decision.is_write:
            due[decision.publisher].append(write_of(decision))
    if not due:
        return decisions
    nearly: dict[Pubkey, list[Decision]] = defaultdict(list)
    for decision in decisions.values():
        age_s = decider.clock.age_s(decision.observation.user.last_bgp_reported_at)
        if (
            decision.publisher in due
            and decision.reason == "unchanged"
            and age_s >= NEARLY_DUE * decider.options.rules.refresh_interval_s
        ):
            early = decider.decide(decision.observation, decision.look, is_early=True)
            if early.is_write:
                nearly[decision.publisher].append(early)
    added: dict[Pubkey, Decision] = {}
    for publisher, waiting in nearly.items():
        waiting.sort(key=lambda decision: decision.observation.user.last_bgp_reported_at)
        fitting = _fitting(publisher, due[publisher], waiting, builder)
        added.update((decision.user, decision) for decision in fitting)
    return decisions | added


def _fitting(
    publisher: Pubkey, due: list[Write], waiting: Sequence[Decision], builder: TransactionBuilder
) -> list[Decision]:
    """Return the first of `waiting` that the last transaction of the writes that are due has room for."""
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


def without_lone_refreshes(decisions: dict[Pubkey, Decision], decider: Decider) -> dict[Pubkey, Decision]:
    """Return the decisions without the early refreshes whose publisher has nothing else to write any more."""
    needed = {one.publisher for one in decisions.values() if one.is_write and not one.is_early}
    lone = [one for one in decisions.values() if one.is_early and one.publisher not in needed]
    if not lone:
        return decisions
    return decisions | {one.user: decider.decide(one.observation, one.look) for one in lone}
