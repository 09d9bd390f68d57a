"""What counts after the second look at a device. Pure: no I/O, no clock."""

from msgspec.structs import replace

from dzbgp.models.decision import Decision
from dzbgp.models.session import DeviceReading, DeviceResult, Observation, Observed


def confirmed_observation(first: Decision, second: Observation | None, reading: DeviceReading) -> Observation:
    """Return the observation that counts for a decision whose device was asked again: the second one, if it tells."""
    if second is not None and second.observed is not Observed.UNKNOWN:
        return second
    before = first.observation
    cause = second.why if second else reading.error or "no answer"
    if reading.result is not DeviceResult.OK and reading.error:
        cause = reading.error
    return replace(
        before,
        observed=Observed.UNKNOWN,
        reason="expired" if reading.is_late else "unconfirmed",
        why=f"{_seen(before)} at the first look; the second look failed: {cause}",
    )


def _seen(observation: Observation) -> str:
    return observation.why or "the session was Established"
