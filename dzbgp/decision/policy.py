"""What is to be written about a user, given what was seen, what is remembered, and what the chain says.

Pure: no I/O and no clock of its own. The guard, which looks at all decisions of a pass together, is in guard.py.
"""

import sys
from dataclasses import dataclass

from msgspec.structs import replace

from dzbgp.console.words import duration
from dzbgp.decision.memory import flaps
from dzbgp.decision.rules import Rules
from dzbgp.models.decision import Action, Decision
from dzbgp.models.ledger import NOMINAL_SECONDS_PER_SLOT, BgpStatus
from dzbgp.models.memory import UserMemory
from dzbgp.models.session import Look, Observation, Observed


@dataclass(frozen=True, slots=True)
class Clock:
    """The time of a pass: the ledger's, and the wall's."""

    slot: int
    seconds_per_slot: float = NOMINAL_SECONDS_PER_SLOT
    now: float = 0.0
    """Unix seconds."""
    read_slot: int | None = None
    """The newest slot in which users may have been read; None: `slot`. A report from after it is one of another
    ledger, which started again since."""

    def is_newer(self, slot: int, look: Look | None) -> bool:
        """Return whether what was reported in `slot` is newer than what the devices said at `look`."""
        read_slot = self.slot if self.read_slot is None else self.read_slot
        return look is not None and look.slot < slot <= read_slot

    def age_s(self, slot: int) -> float:
        """Return the seconds since `slot`; never negative (an RPC node may be behind another)."""
        return max(0, self.slot - slot) * self.seconds_per_slot


def decide(
    observation: Observation,
    clock: Clock,
    rules: Rules,
    memory: UserMemory | None = None,
    look: Look | None = None,
    *,
    in_flight: str = "",
) -> Decision:
    """Decide about one user. Nothing is ever written for UNKNOWN.

    `memory` is that after this observation (history.remember); None without one: no grace then, no damping. What was
    seen of the user on another device does not count. `look`: when the device was asked. `in_flight`: an earlier
    write may still land.
    """
    onchain = observation.user.bgp_status
    if observation.observed is Observed.UNKNOWN:
        detail = f"Unknown state: {observation.why}."
        return Decision(observation, Action.SKIP, None, observation.reason, detail, look=look, memory=memory)
    if observation.observed is Observed.ABSENT and onchain is not BgpStatus.UP:
        detail = f"Nothing to report: {observation.why}."
        return Decision(observation, Action.SKIP, None, "absent", detail, look=look, memory=memory)
    here = memory if memory is not None and memory.device == observation.device.pubkey else None
    age_s = clock.age_s(observation.user.last_bgp_reported_at)
    # Grace only withholds: it leaves an Up as it is, and never writes one that is not seen.
    graced_s = _grace_left_s(observation, clock, rules, here) if onchain is BgpStatus.UP else 0.0
    decision = _compare(observation, age_s, rules, graced_s, look, memory)
    count = 0 if here is None else flaps(here, clock.now, rules.flap_window_s)
    if count > 1:
        noticed = f"{decision.detail} It flaps: {count} transitions in {duration(rules.flap_window_s)}."
        decision = replace(decision, detail=noticed)
    if not decision.is_write:
        return decision
    if in_flight:
        return withheld(decision, "in-flight", in_flight)
    if clock.is_newer(observation.user.last_bgp_reported_at, look):
        return withheld(decision, "newer-report", "another writer reported it after the device was read")
    if rules.flap_limit and count > rules.flap_limit and age_s < rules.cooldown_s:
        again = duration(rules.cooldown_s - age_s)
        return withheld(
            decision,
            "damped",
            f"it was reported {duration(age_s)} ago; the next write is possible in {again}",
        )
    return decision


def _compare(
    observation: Observation,
    age_s: float,
    rules: Rules,
    graced_s: float,
    look: Look | None,
    memory: UserMemory | None,
) -> Decision:
    """Compare what was seen with what the chain says: rules 1 to 3."""
    user, onchain = observation.user, observation.user.bgp_status
    up = observation.observed is Observed.ESTABLISHED
    status = BgpStatus.UP if up or graced_s > 0 else BgpStatus.DOWN
    seen = "the session is Established" if up else observation.why
    if graced_s > 0:
        seen += f", within the grace period for {duration(graced_s)} more"
    if graced_s > 0:
        action, reason, since = Action.SKIP, "grace", f"; reported {duration(age_s)} ago"
    elif onchain is BgpStatus.UNKNOWN and user.last_bgp_reported_at == 0:
        action, reason, since = Action.SUBMIT, "first-report", "; never reported before"
    elif status is not onchain:
        action, reason, since = Action.SUBMIT, "changed", ""
    elif age_s >= refresh_due_s(observation, rules):
        action, reason, since = Action.SUBMIT, "refresh", f"; last reported {duration(age_s)} ago"
    else:
        action, reason, since = Action.SKIP, "unchanged", f"; reported {duration(age_s)} ago"
    neighbor = observation.neighbor
    return Decision(
        observation,
        action,
        status,
        reason,
        # Most users' sentences are those of others too: one text each is enough.
        sys.intern(f"{seen[0].upper()}{seen[1:]}{since}."),
        rtt_ns=neighbor.rtt_ns if neighbor is not None and up else 0,
        look=look,
        memory=memory,
    )


def withheld(decision: Decision, reason: str, why: str) -> Decision:
    """Return the decision as one that is not written, and why."""
    return replace(
        decision, action=Action.SKIP, reason=reason, detail=f"{decision.detail} Not written: {why}."
    )


def refresh_due_s(observation: Observation, rules: Rules) -> float:
    """Return the age in seconds at which a report is written again: the interval, or a little earlier.

    How much earlier is a part of the user's key, so that users reported in one pass come due in many.
    """
    if rules.refresh_spread == 0:
        return rules.refresh_interval_s
    part = int.from_bytes(bytes(observation.user.pubkey)[:4], "big") / 2**32
    return rules.refresh_interval_s * (1 - rules.refresh_spread * part)


def _grace_left_s(observation: Observation, clock: Clock, rules: Rules, memory: UserMemory | None) -> float:
    if memory is None or observation.observed is Observed.ESTABLISHED or memory.last_up_at is None:
        return 0.0
    since_s = clock.now - memory.last_up_at
    # Seen up in the future: the clock was set back, and how long ago it was is unknown.
    return rules.down_grace_period_s - since_s if since_s >= 0 else 0.0
