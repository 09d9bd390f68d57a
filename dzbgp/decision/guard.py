"""The guard against mass mistakes: holds Downs that come in a mass, of one device or of the fleet.

Pure: no I/O, no clock. A mass is more than a share of the onchain-Up users and at least so many of them, all Up users
of a device that has three or more, or any Down in a VRF that shows no peer at all, which is how a lost answer looks.
Downs that were written within the window also count, so a mass failure cannot slip through in small steps. Held Downs
are released by --force, and with a state file by `dzbgp release` or after several passes that are far enough apart.
Drained devices are exempt: their sessions are meant to be down.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace
from solders.pubkey import Pubkey

from dzbgp.decision.policy import Clock
from dzbgp.decision.rules import Limits, Rules
from dzbgp.models.decision import Action, Decision, Decisions
from dzbgp.models.ledger import BgpStatus, DeviceStatus
from dzbgp.models.memory import UserMemory
from dzbgp.models.session import Observed

SMALL_DEVICE = 3
"""From this many users on, all of a device's Up users turning Down is a mass."""
LONG_HELD_S = 300.0
"""Two passes this far apart are enough, however many --guard-passes asks for."""
_JITTER_S = 0.5
"""A pass that a schedule begins every minute begins a little earlier than a minute after the last one, or later."""


@dataclass(frozen=True, slots=True)
class Past:
    """What earlier passes left behind for the guard."""

    memories: Mapping[Pubkey, UserMemory]
    """Of every user of the fleet or its shard, also of those that this pass does not ask for; a Down in flight is in it
    as written just now."""
    is_kept: bool = True
    """Whether a state file counts passes: without one only --force releases what is held."""
    released: Mapping[Pubkey, float] = field(default_factory=dict)
    """When `dzbgp release` let users through, in Unix seconds: it is about what was held then."""
    is_dry_run: bool = False
    """Whether this pass is not noted: nothing that it holds can be released."""


@dataclass(slots=True)
class _Count:
    whose: str
    limits: Limits
    up: int = 0
    downs: int = 0
    recent: int = 0

    @property
    def share(self) -> float:
        return (self.downs + self.recent) / max(1, self.up + self.recent)

    def is_mass(self) -> bool:
        return self.downs > 0 and (
            self.downs + self.recent >= self.limits.max_down_min and self.share > self.limits.max_down
        )

    def is_all(self) -> bool:
        """Whether a device loses all its users; a --max-down of 100 % allows that."""
        return (
            self.downs == self.up > 0 and self.up + self.recent >= SMALL_DEVICE and self.limits.max_down < 1
        )

    @property
    def sentence(self) -> str:
        earlier = f" ({self.recent} of them written recently)" if self.recent else ""
        count = f"{self.downs + self.recent} of {self.whose}'s {self.up + self.recent} Up users would be Down{earlier}"
        return f"{count}: {self.share:.0%}, more than {self.limits.max_down:.0%}" if self.is_mass() else count


def guard(
    decisions: Decisions, past: Past, clock: Clock, rules: Rules, limits: Mapping[str, Limits]
) -> dict[Pubkey, Decision]:
    """Return the decisions with the Downs held that are part of a mass, and with the passes counted.

    `limits`: those of hosts that have their own.
    """
    fleet = _Count("the fleet", rules.limits)
    devices: dict[Pubkey, _Count] = {}
    for user, decision in decisions.items():
        device, host = decision.observation.device, decision.observation.host
        count = devices.get(device.pubkey)
        if count is None:
            count = devices[device.pubkey] = _Count(device.code, limits.get(host, rules.limits))
        _add(count, decision, past.memories.get(user), clock, rules)
    for count in devices.values():
        fleet.up += count.up
        fleet.downs += count.downs
        fleet.recent += count.recent
    # Downs of hosts that this pass did not ask (--limit) are parts of the same mass.
    fleet.recent += sum(
        user not in decisions
        for user, memory in past.memories.items()
        if _is_recent_down(memory, clock, rules)
    )
    whole = fleet.sentence if fleet.is_mass() else ""
    why = {
        device: count.sentence if count.is_mass() or count.is_all() else whole
        for device, count in devices.items()
    }
    return {
        user: _guarded(decision, why[decision.observation.device.pubkey], past, clock, rules)
        for user, decision in decisions.items()
    }


def _guarded(decision: Decision, why: str, past: Past, clock: Clock, rules: Rules) -> Decision:
    memory = decision.memory
    if not _is_weighed_down(decision):
        if decision.is_write and decision.status is BgpStatus.DOWN:
            # It is meant, or turns no Up into a Down: then it is as harmless for the guard as the Down before it.
            recent = _is_recent_down(past.memories.get(decision.user), clock, rules)
            decision = replace(decision, is_acknowledged=_is_drained(decision) or not recent)
        return _forgetful(decision)
    observation = decision.observation
    if not why and observation.in_empty_vrf:
        why = f"{observation.vrf} of {observation.host} shows no peer at all; the answer may be incomplete"
    if not why:
        return _forgetful(decision)
    counted = _counted(memory, clock, rules) if memory else None
    is_let_through = _is_let_through(memory, past.released.get(decision.user))
    if rules.force or is_let_through or (past.is_kept and counted and _is_released(counted, clock, rules)):
        return replace(decision, is_acknowledged=True, memory=counted)
    passes = counted.held_passes if counted else 1
    release = f"pass {passes} of {rules.guard_passes}; " if past.is_kept else ""
    return replace(
        decision,
        action=Action.HOLD,
        reason="guard",
        detail=f"{decision.detail} Held: {why} ({release}{_way_through(past)}).",
        memory=counted,
    )


def _way_through(past: Past) -> str:
    if not past.is_kept:
        return "only --force writes it, because there is no state file"
    if past.is_dry_run:
        return "--force writes it, and `dzbgp release` after a run that writes has held it"
    return "--force or `dzbgp release` writes it"


def _forgetful(decision: Decision) -> Decision:
    """Reset the count of a Down that is not held any more; a Down held long enough keeps it until it is onchain."""
    memory = decision.memory
    is_over = decision.observation.user.bgp_status is not BgpStatus.UP or decision.is_write
    if memory is None or not memory.held_passes or not is_over:
        return decision
    return replace(decision, memory=replace(memory, held_passes=0, held_since=None, held_at=None))


def _counted(memory: UserMemory, clock: Clock, rules: Rules) -> UserMemory:
    """Count this pass, if it is far enough from the last one that counted; a clock that was set back begins again."""
    if memory.held_at is None or memory.held_since is None or clock.now < memory.held_at:
        return replace(memory, held_passes=1, held_since=clock.now, held_at=clock.now)
    if clock.now - memory.held_at < rules.guard_spacing_s - _JITTER_S:
        return memory
    return replace(memory, held_passes=memory.held_passes + 1, held_at=clock.now)


def _is_let_through(memory: UserMemory | None, released_at: float | None) -> bool:
    """Whether this very Down was released: one that began to be held later was not."""
    held_since = memory.held_since if memory else None
    return released_at is not None and held_since is not None and held_since <= released_at


def _is_released(counted: UserMemory, clock: Clock, rules: Rules) -> bool:
    since_s = clock.now - counted.held_since if counted.held_since is not None else 0.0
    return counted.held_passes >= rules.guard_passes or since_s >= LONG_HELD_S - _JITTER_S


def _add(count: _Count, decision: Decision, memory: UserMemory | None, clock: Clock, rules: Rules) -> None:
    """Count a user. Drained devices and users that are Up with unknown state are left out of the ratio."""
    observation = decision.observation
    if _is_drained(decision):
        return
    if observation.user.bgp_status is not BgpStatus.UP:
        came_back = observation.observed is Observed.ESTABLISHED
        count.recent += _is_recent_down(memory, clock, rules) and not came_back
    elif _is_landing(decision, clock, rules):
        count.recent += 1
    elif observation.observed is not Observed.UNKNOWN:
        count.up += 1
        count.downs += _is_weighed_down(decision)


def _is_weighed_down(decision: Decision) -> bool:
    return decision.turns_down and not _is_drained(decision)


def _is_drained(decision: Decision) -> bool:
    return decision.observation.device.status is DeviceStatus.DRAINED


def _is_landing(decision: Decision, clock: Clock, rules: Rules) -> bool:
    """Whether a write of ours may still turn this Up Down, and was no part of a mass that was let through."""
    if decision.reason != "in-flight" or decision.status is not BgpStatus.DOWN:
        return False
    memory = decision.memory
    return memory is None or not _is_released(_counted(memory, clock, rules), clock, rules)


def _is_recent_down(memory: UserMemory | None, clock: Clock, rules: Rules) -> bool:
    if memory is None or memory.written_status is not BgpStatus.DOWN or memory.written_acknowledged:
        return False
    if memory.written_slot is not None and memory.written_slot <= clock.slot:
        # The ledger's own time: this machine's clock may have been set.
        return clock.age_s(memory.written_slot) < rules.guard_window_s
    return memory.written_at is not None and 0 <= clock.now - memory.written_at < rules.guard_window_s
