"""What counts after the second look at a device."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from solders.pubkey import Pubkey

from dzbgp.models.decision import Action, Decision
from dzbgp.models.ledger import BgpStatus
from dzbgp.models.session import DeviceReading, DeviceResult, Observation, Observed


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


def turns_down(decision: Decision) -> bool:
    """Says whether the decision would turn an Up into a Down."""
    return (
        decision.action is Action.SUBMIT
        and decision.status is BgpStatus.DOWN
        and decision.observation.user.bgp_status is BgpStatus.UP
    )


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
