"""The second look at devices with a change about to be written: is a Down a Down still, and the RTTs."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from solders.pubkey import Pubkey

from dzbgp.fleet.fleet import Fleet
from dzbgp.models.ledger import (
    Action,
    BgpStatus,
    Decision,
    DeviceReading,
    DeviceResult,
    Observation,
    Observed,
)


class Progress(Protocol):
    """Is told how far a pass has come."""

    def stage(self, name: str, total: int) -> None:
        """A stage of `total` steps begins."""

    def step(self, count: int = 1) -> None:
        """That many steps of the stage are done."""


class NoProgress:
    """Tells nobody."""

    def stage(self, name: str, total: int) -> None:
        """Tells nobody."""

    def step(self, count: int = 1) -> None:
        """Tells nobody."""


@dataclass(frozen=True, slots=True)
class SecondLook:
    """What the second look saw."""

    readings: Mapping[str, DeviceReading]
    """By host, of the hosts with a Down to be confirmed."""
    rtts: Mapping[str, Mapping[str, int]]
    """By host and neighbor's address, in nanoseconds."""

    def rtt_ns(self, observation: Observation) -> int:
        """Gives a session's RTT, 0 where there is no sample."""
        return self.rtts.get(observation.host, {}).get(observation.peer_ip or "", 0)


def look_again(
    fleet: Fleet,
    decisions: Sequence[Decision],
    readings: Iterable[DeviceReading],
    confirm_down_s: float,
    progress: Progress,
    sleep: Callable[[float], None] = time.sleep,
) -> SecondLook:
    """Asks again, after `confirm_down_s`, the devices with an Up about to turn Down; 0 takes the first look's word.

    In the same go it asks for the RTTs of the sessions about to be written Up, and of those that may turn out to be.
    """
    downs = {d.observation.host for d in decisions if confirm_down_s > 0 and turns_down(d)}
    addresses: dict[str, set[str]] = defaultdict(set)
    for decision in decisions:
        observation = decision.observation
        if observation.peer_ip and (
            _is_up_write(decision) or (turns_down(decision) and observation.host in downs)
        ):
            addresses[observation.host].add(observation.peer_ip)
    hosts = downs | addresses.keys()
    if not hosts:
        return SecondLook({}, {})
    if downs:
        progress.stage(f"waiting {confirm_down_s:g} s before the second look", len(hosts))
        sleep(confirm_down_s)
    progress.stage("looking again", len(hosts))
    again = {reading.host: reading.device for reading in readings if reading.host in downs}
    seen, rtts = fleet.look_again(again, addresses, lambda _: progress.step())
    return SecondLook({reading.host: reading for reading in seen}, rtts)


def turns_down(decision: Decision) -> bool:
    """Says whether the decision would turn an Up into a Down."""
    return (
        decision.action is Action.SUBMIT
        and decision.status is BgpStatus.DOWN
        and decision.observation.user.bgp_status is BgpStatus.UP
    )


def _is_up_write(decision: Decision) -> bool:
    return decision.action is Action.SUBMIT and decision.status is BgpStatus.UP


def confirmed_observation(
    first: Decision, again: Mapping[Pubkey, Observation], look: SecondLook
) -> Observation:
    """Gives the observation that counts: for a Down that was looked at twice, what both looks agree on."""
    before = first.observation
    reading = look.readings.get(before.host)
    if reading is None or not turns_down(first):
        return before
    second = again.get(before.user.pubkey)
    if second is None or second.observed is Observed.UNKNOWN:
        cause = (second.why if second else "") or reading.error or "no answer"
        if reading.result is not DeviceResult.OK and reading.error:
            cause = reading.error
        return replace(
            before,
            observed=Observed.UNKNOWN,
            reason="unconfirmed",
            why=f"{before.why} at the first look, and the second told nothing: {cause}",
        )
    return second
