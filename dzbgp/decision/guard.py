"""The guard against mass mistakes: holds Downs that come in a mass, of one device or of the fleet.

Pure: no I/O, no clock. A mass is more than a share of the onchain-Up users (default 30 %), and at least ten of them.
Downs that were written a short while ago count as if they were of this pass, so that a mass is not let through by
coming in parts. A mass passes with --force, or when it was seen in so many passes in a row (default 3). A drained
device is exempt: its sessions are meant to be down.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from solders.pubkey import Pubkey

from dzbgp.decision.policy import Clock
from dzbgp.decision.rules import Rules
from dzbgp.models.decision import Action, Decision, UserMemory
from dzbgp.models.ledger import BgpStatus, DeviceStatus
from dzbgp.models.session import Observed


@dataclass(frozen=True, slots=True)
class Guarded:
    """What the guard made of the decisions of a pass."""

    decisions: list[Decision]
    held: frozenset[Pubkey]
    """Users whose Down is held in this pass."""
    acknowledged: frozenset[Pubkey]
    """Users whose Down, once written, does not count as one of a short while ago: it would have been held, but for
    --force or the passes in a row; or no Up turns Down by it (a first report, a refresh)."""
    alarms: tuple[str, ...] = ()
    """One sentence for each device, and for the fleet, that would lose a mass of users."""


@dataclass(slots=True)
class _Count:
    up: int = 0
    downs: int = 0
    recent: int = 0

    @property
    def share(self) -> float:
        return (self.downs + self.recent) / max(1, self.up + self.recent)

    def is_mass(self, rules: Rules) -> bool:
        count = self.downs + self.recent
        return self.downs > 0 and count >= rules.max_down_min and self.share > rules.max_down

    def sentence(self, whose: str, rules: Rules) -> str:
        earlier = f" ({self.recent} of them written a short while ago)" if self.recent else ""
        return (
            f"{self.downs + self.recent} of {whose}'s {self.up + self.recent} Up users would be Down{earlier}: "
            f"{self.share:.0%}, more than {rules.max_down:.0%}"
        )


def guard(
    decisions: Sequence[Decision], memories: Mapping[Pubkey, UserMemory], clock: Clock, rules: Rules
) -> Guarded:
    """Holds the Downs of every device, and of the fleet, that make up a mass."""
    devices: dict[Pubkey, _Count] = defaultdict(_Count)
    for decision in decisions:
        observation = decision.observation
        count = devices[observation.device.pubkey]
        _add(count, decision, memories.get(observation.user.pubkey), clock, rules)
    fleet = _Count(
        up=sum(count.up for count in devices.values()),
        downs=sum(count.downs for count in devices.values()),
        recent=sum(count.recent for count in devices.values()),
    )
    # Downs of hosts that this pass did not ask (--limit) are parts of the same mass.
    asked = {decision.observation.user.pubkey for decision in decisions}
    fleet.recent += sum(
        user not in asked for user, memory in memories.items() if _down_lately(memory, clock, rules)
    )
    alarmed = {device for device, count in devices.items() if count.is_mass(rules)}
    fleet_alarmed = fleet.is_mass(rules)
    guarded = []
    held = set()
    acknowledged = {
        decision.observation.user.pubkey
        for decision in decisions
        if _repeats_down(decision)
        and not _down_lately(memories.get(decision.observation.user.pubkey), clock, rules)
    }
    for decision in decisions:
        device, user = decision.observation.device, decision.observation.user.pubkey
        if not _is_down(decision) or not (fleet_alarmed or device.pubkey in alarmed):
            guarded.append(decision)
            continue
        memory = memories.get(user)
        seen = (memory.held_passes if memory else 0) + 1
        if rules.force or seen >= rules.guard_passes:
            acknowledged.add(user)
            guarded.append(decision)
            continue
        held.add(user)
        scope = devices[device.pubkey].sentence(device.code, rules) if device.pubkey in alarmed else ""
        scope = scope or fleet.sentence("the fleet", rules)
        guarded.append(
            replace(
                decision,
                action=Action.HOLD,
                reason="guard",
                detail=f"{decision.detail} Held: {scope} (pass {seen} of {rules.guard_passes}; --force writes now).",
            )
        )
    return Guarded(
        guarded, frozenset(held), frozenset(acknowledged), _alarms(decisions, devices, alarmed, fleet, rules)
    )


def _alarms(
    decisions: Iterable[Decision],
    devices: Mapping[Pubkey, _Count],
    alarmed: set[Pubkey],
    fleet: _Count,
    rules: Rules,
) -> tuple[str, ...]:
    codes = {decision.observation.device.pubkey: decision.observation.device.code for decision in decisions}
    found = [devices[device].sentence(codes[device], rules) for device in alarmed]
    if fleet.is_mass(rules):
        found.append(fleet.sentence("the fleet", rules))
    return tuple(sorted(found))


def _add(count: _Count, decision: Decision, memory: UserMemory | None, clock: Clock, rules: Rules) -> None:
    """Counts a user; who is drained, or unknown and Up, neither weighs nor is weighed."""
    observation = decision.observation
    if observation.device.status is DeviceStatus.DRAINED:
        return
    if observation.user.bgp_status is not BgpStatus.UP:
        came_back = observation.observed is Observed.ESTABLISHED
        count.recent += _down_lately(memory, clock, rules) and not came_back
    elif _is_landing(decision, memory, rules):
        count.recent += 1
    elif observation.observed is not Observed.UNKNOWN:
        count.up += 1
        count.downs += _is_down(decision)


def _is_down(decision: Decision) -> bool:
    observation = decision.observation
    return (
        decision.action is Action.SUBMIT
        and decision.status is BgpStatus.DOWN
        and observation.user.bgp_status is BgpStatus.UP
        and observation.device.status is not DeviceStatus.DRAINED
    )


def _is_landing(decision: Decision, memory: UserMemory | None, rules: Rules) -> bool:
    """A write of ours may still turn this Up Down, and it was no part of a mass that was let through."""
    passes = memory.held_passes + 1 if memory else 1
    return (
        decision.reason == "in-flight" and decision.status is BgpStatus.DOWN and passes < rules.guard_passes
    )


def _repeats_down(decision: Decision) -> bool:
    return (
        decision.action is Action.SUBMIT
        and decision.status is BgpStatus.DOWN
        and decision.observation.user.bgp_status is not BgpStatus.UP
    )


def _down_lately(memory: UserMemory | None, clock: Clock, rules: Rules) -> bool:
    return (
        memory is not None
        and memory.written_status is BgpStatus.DOWN
        and not memory.written_acknowledged
        and memory.written_at is not None
        and clock.now - memory.written_at < rules.guard_window_s
    )
