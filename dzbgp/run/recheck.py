"""The second look at the devices of all users that are to be written: whether it agrees, and the RTTs."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from solders.pubkey import Pubkey

from dzbgp.console.progress import Progress
from dzbgp.fleet.fleet import Fleet
from dzbgp.ledger.errors import LedgerError
from dzbgp.ledger.session import LedgerSession
from dzbgp.models.decision import Decision
from dzbgp.models.ledger import BgpStatus
from dzbgp.models.moment import Moment
from dzbgp.models.session import Look
from dzbgp.run.decider import Decider
from dzbgp.run.request import PassOptions


def recheck(
    decisions: dict[Pubkey, Decision],
    decider: Decider,
    fleet: Fleet,
    ledger: LedgerSession,
    options: PassOptions,
    progress: Progress,
    sleep: Callable[[float], None] = time.sleep,
    waited_s: float = 0.0,
) -> Iterator[dict[Pubkey, Decision]]:
    """Ask the devices of all writes again; yield the confirmed decisions, in groups that are no older than a look.

    A Down waits `confirm_down_s` for its second look, of which `waited_s` have passed since the first one. The first
    group has all that needs none. A group ends when its time is over: devices that were not asked by then are those of
    the next one, so that no decision waits for them.
    """
    due = {one.observation.host: one.observation.device for one in decisions.values() if one.is_write}
    if not due:
        yield decisions
        return
    settled = {user: one for user, one in decisions.items() if not one.is_write}
    has_down = any(one.is_write and one.status is BgpStatus.DOWN for one in decisions.values())
    if has_down and options.confirm_down_s > waited_s:
        progress.stage(f"waiting {options.confirm_down_s:g} s before the second look", len(due))
        sleep(options.confirm_down_s - waited_s)
    while due:
        progress.stage("second look", len(due))
        look = _look(ledger, next(iter(decisions.values())).look)
        readings = fleet.recheck(due, lambda _: progress.step(), options.max_age_s / 2)
        group = decider.confirm(
            [one for one in decisions.values() if one.is_write and one.observation.host in readings],
            readings,
            look,
        )
        settled |= group
        yield settled
        settled = {}
        due = {host: device for host, device in due.items() if host not in readings}


def _look(ledger: LedgerSession, first: Look | None) -> Look | None:
    """Return the look that begins now; without an answer of the ledger the slot of the first one, which is older."""
    at = Moment.now()
    try:
        return ledger.look()
    except LedgerError:
        return replace(first, at=at) if first else None
