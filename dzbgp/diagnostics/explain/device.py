"""Ask a user's device: the dry run of that one device, and what EOS says of the user's neighbor."""

import contextlib
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from nornir.core import Nornir
from solders.pubkey import Pubkey

from dzbgp.console.progress import Progress
from dzbgp.decision.resolver import vrf_of
from dzbgp.diagnostics.explain.model import DeviceNow, Explanation
from dzbgp.eos.details import NeighborDetails
from dzbgp.fleet.fleet import Fleet
from dzbgp.fleet.load import load_inventory
from dzbgp.ledger.events import unobserved
from dzbgp.ledger.networks import Network
from dzbgp.models.decision import Decision
from dzbgp.models.ledger import ProgramData, User, dotted
from dzbgp.models.session import DeviceResult
from dzbgp.run.job import plan_pass
from dzbgp.run.request import PassOptions, RunRequest
from dzbgp.run.setup import known_keys, open_ledger, open_store, signers_of
from dzbgp.state.memory import Memory
from dzbgp.tasks.neighbor_details import neighbor_details


class _OneDevice(Fleet):
    """A fleet of one host, whose guard sees no other device: Downs elsewhere would weigh without their Ups."""

    def __init__(self, nornir: Nornir, device: Pubkey) -> None:
        super().__init__(nornir)
        self._device = device

    def part_of(self, devices: Collection[Pubkey]) -> Collection[Pubkey]:
        """Return the device, if it is one of `devices`."""
        return {self._device}.intersection(devices)


def ask_device(
    request: RunRequest, inventory: Path, net: Network, found: Explanation, progress: Progress
) -> Explanation:
    """Return the explanation with the dry run of the user's device, as any run would do it. Raises a DzbgpError."""
    everything = load_inventory(inventory, request, net)
    hosts = Fleet(everything)
    hosts.choose_contributors(request.contributor, found.snapshot.names.contributors.values())
    matched = hosts.match(found.snapshot.data.devices)
    host = next((name for name, one in matched.items() if one and one.pubkey == found.user.device_pk), None)
    if host is None:
        return replace(found, asked="no host of the inventory is the user's device")
    only = everything.filter(filter_func=lambda one: one.name == host)
    with contextlib.ExitStack() as stack:
        fleet = stack.enter_context(_OneDevice(only, found.user.device_pk))
        ledger = stack.enter_context(open_ledger(request, net, lambda: fleet, unobserved, is_fixed=True))
        store = open_store(request, ledger, stack)
        fleet.trust(known_keys(store))
        memory = Memory(store, dry_run=True)
        options = PassOptions.of(request, signers_of(request))
        plan = plan_pass(fleet, ledger, options, progress, memory)
        reading = next((one for one in plan.readings if one.host == host), None)
        answer = DeviceNow(host, reading, plan.decisions.get(found.user.pubkey), notes=_notes(options))
        if reading is not None and reading.result is not DeviceResult.FAILED:
            answer = _detailed(fleet, answer, found.snapshot.data, found.user)
    return replace(found, answer=answer, asked="")


def _notes(options: PassOptions) -> Sequence[str]:
    told = [
        "Here the guard checks this device only; a run also holds Downs that are part of a mass of the fleet."
    ]
    if options.signers is None:
        told.append("No keypair was given, so it is unknown whether the write can be signed (--keypair).")
    return told


def _detailed(fleet: Fleet, answer: DeviceNow, data: ProgramData, user: User) -> DeviceNow:
    """Ask for more of the user's neighbor than a pass reads."""

    def failed(why: str) -> Sequence[NeighborDetails] | str:
        return why

    told = fleet.ask(neighbor_details, [answer.host], lambda _: None, failed)[answer.host]
    if isinstance(told, str):
        return replace(answer, details_error=told)
    return replace(answer, details=_chosen(told, answer.decision, vrf_of(user, data.tenants), user))


def _chosen(
    found: Sequence[NeighborDetails], decision: Decision | None, vrf: str | None, user: User
) -> NeighborDetails | None:
    """Return the user's neighbor: the one that the decision rests on, else one in its tunnel, in its own VRF first."""
    neighbor = decision.observation.neighbor if decision else None
    peer = dotted(user.tunnel_net.address | 1)
    wanted = (neighbor.address, neighbor.vrf) if neighbor else (peer, vrf)
    exact = [one for one in found if (one.address, one.vrf) == wanted]
    return next(iter(exact or [one for one in found if one.address == peer]), None)
