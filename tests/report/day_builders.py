"""Reports with a memory of the last day."""

from collections.abc import Sequence
from dataclasses import replace

from msgspec import structs
from report_builders import AMS, DOWN, FRA, NYC, UP, decision, mixed, report

from dzbgp.models.decision import Action, Decision
from dzbgp.models.ledger import Device
from dzbgp.models.memory import UserMemory
from dzbgp.models.report import Report
from dzbgp.models.session import Observed

MINUTE, HOUR = 60.0, 3600.0
END = report().started_at.timestamp() + report().duration_s


def memory(on: Device, *, up: bool, ago: Sequence[float] = ()) -> UserMemory:
    """What is remembered of a user whose session went up or down so many seconds before the report's end."""
    transitions = tuple(END - each for each in ago)
    since = transitions[-1] if transitions else END - 30 * HOUR
    return UserMemory(on.pubkey, END, up, END if up else None, None if up else since, transitions=transitions)


def eventful(*, dry_run: bool = False) -> Report:
    """The mixed report, with a day of flaps, outages and bounces behind it."""
    whole = mixed(dry_run=dry_run)
    flapping = decision(50, NYC, UP, UP, action=Action.SKIP, reason="damped", detail="It flaps.")
    bouncing = decision(51, AMS, UP, UP, action=Action.SKIP, reason="unchanged")
    outage = decision(52, FRA, DOWN, None, action=Action.SKIP, observed=Observed.UNKNOWN, reason="no-answer")
    often = [number * 19 * MINUTE for number in range(41, 0, -1)]
    memories = {
        flapping: memory(NYC, up=True, ago=[*often, 4 * MINUTE]),
        bouncing: memory(AMS, up=True, ago=[9 * HOUR, 9 * HOUR, 5 * HOUR, 5 * HOUR, 2 * HOUR, 2 * HOUR]),
        outage: structs.replace(
            memory(FRA, up=False, ago=[26 * HOUR, 20 * HOUR, 11 * HOUR]), seen_at=END - 3 * HOUR
        ),
        **_of_the_changes(whole.decisions),
    }
    return replace(
        whole,
        decisions=(*whole.decisions, flapping, bouncing, outage),
        memories={item.observation.user.pubkey: remembered for item, remembered in memories.items()},
    )


def _of_the_changes(decisions: Sequence[Decision]) -> dict[Decision, UserMemory]:
    hours = iter((3, 7, 16, 1, 12, 5, 9))
    return {
        item: memory(
            item.observation.device, up=item.status is UP, ago=[next(hours) * HOUR + 20 * MINUTE, MINUTE]
        )
        for item in decisions
        if item.action is not Action.SKIP
    }
