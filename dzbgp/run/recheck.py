"""The second look at devices with a change about to be written: is a Down a Down still, and the RTTs."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from dzbgp.console.progress import Progress
from dzbgp.decision.confirm import SecondLook, turns_down
from dzbgp.fleet.fleet import Fleet
from dzbgp.models.decision import Action, Decision
from dzbgp.models.ledger import BgpStatus
from dzbgp.models.session import DeviceReading


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


def _is_up_write(decision: Decision) -> bool:
    return decision.action is Action.SUBMIT and decision.status is BgpStatus.UP
