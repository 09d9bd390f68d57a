"""What is to be written about a user, given what was seen, what is remembered, and what the chain says.

Pure: no I/O and no clock of its own. The rules are those of the README; the guard, which looks at all decisions of a
pass together, is in guard.py.
"""

import sys
from dataclasses import dataclass, replace

from dzbgp.console.words import duration
from dzbgp.decision.history import flaps
from dzbgp.decision.rules import Rules
from dzbgp.models.decision import Action, Decision, UserMemory
from dzbgp.models.ledger import NOMINAL_SECONDS_PER_SLOT, BgpStatus
from dzbgp.models.session import Observation, Observed


@dataclass(frozen=True, slots=True)
class Clock:
    """The time of a pass: the ledger's, and the wall's."""

    slot: int
    seconds_per_slot: float = NOMINAL_SECONDS_PER_SLOT
    now: float = 0.0
    """Unix seconds."""
    asked_slot: int | None = None
    """The slot in which the devices were asked, or one before; None: not before `slot`."""
    read_slot: int | None = None
    """The newest slot in which users may have been read; None: `slot`. Nothing was reported after it: who says so is of
    another ledger, which began anew since."""

    def is_newer(self, slot: int) -> bool:
        """Says whether what was reported in `slot` is younger than what the devices said."""
        read_slot = self.slot if self.read_slot is None else self.read_slot
        return self.asked_slot is not None and self.asked_slot < slot <= read_slot

    def age_s(self, slot: int) -> float:
        """Gives the seconds since `slot`; never negative (an RPC node may be behind another)."""
        return max(0, self.slot - slot) * self.seconds_per_slot


def decide(
    observation: Observation,
    clock: Clock,
    rules: Rules,
    memory: UserMemory | None = None,
    *,
    in_flight: bool = False,
) -> Decision:
    """Decides about one user. The RTT of an Up that is to be written is filled in by the caller.

    `memory` is that after this observation (memory.remember); None where there is no history: no grace then, no
    damping. What was seen of the user on another device does not count.
    `in_flight`: a write of an earlier run may still land. Nothing is ever written for UNKNOWN.
    """
    onchain = observation.user.bgp_status
    if memory is not None and memory.device != observation.device.pubkey:
        memory = None
    if observation.observed is Observed.UNKNOWN:
        return _skip(observation, observation.reason, f"Nothing is known: {observation.why}.")
    if observation.observed is Observed.ABSENT and onchain is not BgpStatus.UP:
        return _skip(observation, "absent", f"There is nothing to report: {observation.why}.")
    age_s = clock.age_s(observation.user.last_bgp_reported_at)
    graced_s = 0.0 if memory is None else _grace_left_s(observation, clock, rules, memory)
    decision = _compare(observation, age_s, rules, graced_s)
    count = 0 if memory is None else flaps(memory, clock.now, rules.flap_window_s)
    if count > 1:
        noticed = f"{decision.detail} It flaps: {count} transitions in {duration(rules.flap_window_s)}."
        decision = replace(decision, detail=noticed)
    if decision.action is not Action.SUBMIT:
        return decision
    if in_flight:
        return _withhold(decision, "in-flight", "an earlier write may still land")
    if clock.is_newer(observation.user.last_bgp_reported_at):
        return _withhold(decision, "newer-report", "it was reported by another after the device was asked")
    if rules.flap_limit and count > rules.flap_limit and age_s < rules.cooldown_s:
        again = duration(rules.cooldown_s - age_s)
        return _withhold(
            decision, "damped", f"it was reported {duration(age_s)} ago, the next may come in {again}"
        )
    return decision


def _compare(observation: Observation, age_s: float, rules: Rules, graced_s: float) -> Decision:
    """Compares what was seen with what the chain says: rules 1 to 3."""
    user, onchain = observation.user, observation.user.bgp_status
    up = observation.observed is Observed.ESTABLISHED
    status = BgpStatus.UP if up or graced_s > 0 else BgpStatus.DOWN
    seen = "the session is Established" if up else observation.why
    if graced_s > 0:
        seen += f", within the grace period for {duration(graced_s)} more"
    if onchain is BgpStatus.UNKNOWN and user.last_bgp_reported_at == 0:
        action, reason, since = Action.SUBMIT, "first-report", "; never reported before"
    elif status is not onchain:
        action, reason, since = Action.SUBMIT, "changed", ""
    elif age_s >= refresh_due_s(observation, rules):
        action, reason, since = Action.SUBMIT, "refresh", f"; last reported {duration(age_s)} ago"
    else:
        unchanged = "grace" if graced_s > 0 else "unchanged"
        action, reason, since = Action.SKIP, unchanged, f"; reported {duration(age_s)} ago"
    # Most users' sentences are those of others too: one text each is enough.
    return Decision(observation, action, status, reason, sys.intern(f"{seen[0].upper()}{seen[1:]}{since}."))


def refresh_due_s(observation: Observation, rules: Rules) -> float:
    """Gives the age in seconds at which a report is written again: the interval, or a little earlier.

    How much earlier is a part of the user's key, so that users reported in one pass come due in many.
    """
    if rules.refresh_spread == 0:
        return rules.refresh_interval_s
    part = int.from_bytes(bytes(observation.user.pubkey)[:4], "big") / 2**32
    return rules.refresh_interval_s * (1 - rules.refresh_spread * part)


def _grace_left_s(observation: Observation, clock: Clock, rules: Rules, memory: UserMemory) -> float:
    if observation.observed is Observed.ESTABLISHED or memory.last_up_at is None:
        return 0.0
    since_s = clock.now - memory.last_up_at
    # Seen up in the future: the clock was set back, and nothing is known of how long ago it was.
    return rules.down_grace_period_s - since_s if since_s >= 0 else 0.0


def _skip(observation: Observation, reason: str, detail: str) -> Decision:
    return Decision(observation, Action.SKIP, None, reason, detail)


def _withhold(decision: Decision, reason: str, why: str) -> Decision:
    return replace(
        decision, action=Action.SKIP, reason=reason, detail=f"{decision.detail} Not written: {why}."
    )
