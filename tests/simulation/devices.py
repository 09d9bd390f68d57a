"""Devices as they truly are, and what they answer: the seam is the connection that a Nornir task opens."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import msgspec
from nornir.core import Nornir
from nornir.core.configuration import Config
from nornir.core.inventory import ConnectionOptions, Defaults, Groups, Host, Hosts, Inventory, ParentGroups
from nornir.core.state import GlobalState
from nornir.plugins.runners import ThreadedRunner
from solders.pubkey import Pubkey

from dzbgp.eos.bgp import NEIGHBORS, SUMMARY
from dzbgp.eos.connection import EosConnection
from dzbgp.eos.deadline import DeadlineError
from simulation.kernel import Kernel

TIMEOUT_S = 10


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a device for a while. Times in seconds since the beginning.

    kind          what it does
    silent        never answers
    slow          answers `amount` seconds later
    failing       refuses the connection
    no_bgp        shows no BGP at all
    lost_vrf      its answer lacks vrf1
    empty_vrf     shows vrf1 without a neighbor
    other_device  has another device's router-id
    """

    kind: str
    start: float
    end: float
    device: int
    amount: float = 0.0


@dataclass
class Peer:
    """A neighbor that a device is configured with. Its state over time is (since when, whether Established)."""

    vrf: str
    address: str
    description: str
    rtt_us: int
    states: list[tuple[float, bool]]
    owner: Pubkey
    """The user whose session it is; after a deletion that is not at once the one whom the ledger gives its tunnel."""

    @property
    def is_up(self) -> bool:
        """Whether it is Established now."""
        return self.states[-1][1]

    @property
    def since(self) -> float:
        """Since when it is as it is."""
        return self.states[-1][0]


@dataclass(frozen=True, slots=True)
class Look:
    """An answer of a device, as of the moment in which it was put together."""

    device: int
    at: float
    peers: dict[str, tuple[bool, Pubkey]]
    """By address, whether it was said to be Established, and whose session it truly is."""
    is_credible: bool
    hidden: frozenset[str]
    """Addresses of neighbors that the answer lacks although the device has them: no evidence of anything."""
    emptied: frozenset[str]
    """Those of them whose VRF it shows, without a neighbor: the guard takes that for the truth once it lasts."""


@dataclass
class Device:
    """A device: its neighbors, and how it answers."""

    kernel: Kernel
    number: int
    code: str
    public_ip: str
    random: random.Random
    peers: dict[str, Peer] = field(default_factory=dict)
    """By address; those that are gone are left out."""
    decoys: list[Peer] = field(default_factory=list)
    """Neighbors of the same addresses in other VRFs, which are a contributor's own."""
    faults: list[Fault] = field(default_factory=list)
    on_look: Callable[[Look], None] = lambda _: None
    changed_at: float = -1e6
    """When a neighbor was last taken away."""

    def _faults(self) -> dict[str, Fault]:
        now = self.kernel.now
        return {fault.kind: fault for fault in self.faults if fault.start <= now < fault.end}

    def wait(self, timeout_s: float) -> None:
        """Take the time that an answer takes. Raises as a connection does."""
        faults = self._faults()
        if "failing" in faults:
            self.kernel.sleep(0.05)
            raise ConnectionRefusedError("refused")
        delay_s = 0.05 + self.random.random() * 0.3
        if "slow" in faults:
            delay_s += faults["slow"].amount
        if "silent" in faults or delay_s > timeout_s:
            self.kernel.sleep(timeout_s)
            raise DeadlineError("no complete answer")
        self.kernel.sleep(delay_s)

    def shown(self) -> dict[str, tuple[str, list[Peer]]]:
        """Return router-id and neighbors by VRF, as the device shows them now."""
        faults = self._faults()
        router_id = "203.0.113.250" if "other_device" in faults else self.public_ip
        vrfs: dict[str, tuple[str, list[Peer]]] = {
            "default": (f"10.66.0.{self.number + 1}", []),
            **{vrf: (router_id, []) for vrf in ("vrf1", "vrf2", "vrf3")},
        }
        for peer in (*self.decoys, *self.peers.values()):
            vrfs[peer.vrf][1].append(peer)
        if "no_bgp" in faults:
            vrfs = {}
        if "lost_vrf" in faults:
            vrfs.pop("vrf1", None)
        is_emptied = "empty_vrf" in faults and "vrf1" in vrfs
        if is_emptied:
            vrfs["vrf1"] = (vrfs["vrf1"][0], [])
        shown = {id(peer) for _, peers in vrfs.values() for peer in peers}
        seen = {
            address: (peer.is_up, peer.owner) for address, peer in self.peers.items() if id(peer) in shown
        }
        is_credible = not {"no_bgp", "other_device"} & faults.keys()
        hidden = frozenset(self.peers.keys() - seen.keys())
        emptied = frozenset(address for address in hidden if is_emptied and self.peers[address].vrf == "vrf1")
        self.on_look(Look(self.number, self.kernel.now, seen, is_credible, hidden, emptied))
        return vrfs


class Connection(EosConnection):
    """A connection to a simulated device, in the place of one over eAPI."""

    devices: ClassVar[dict[str, Device]]
    """By hostname, of the simulation that runs."""

    def open(self, hostname: str | None, *_: Any, **__: Any) -> None:
        """Connect."""
        self.connection = self.devices[hostname or ""]
        # NAPALM has tests of its own, and takes half the time of a simulation.
        self.has_getter = False

    def ask(self, commands: list[str]) -> list[msgspec.Raw]:
        """Answer a request of `show` commands, as of one moment."""
        assert commands == [SUMMARY, NEIGHBORS]
        device: Device = self.connection
        left_s = self.deadline.left() if self.deadline else TIMEOUT_S
        device.wait(left_s)
        now, vrfs = device.kernel.now, device.shown()
        summary = {vrf: {"vrf": vrf, "routerId": router_id} for vrf, (router_id, _) in vrfs.items()}
        shown = {
            vrf: {"peerList": [_peer(peer, router_id, now) for peer in peers]}
            for vrf, (router_id, peers) in vrfs.items()
        }
        device.kernel.sleep(0.01)
        return [msgspec.Raw(msgspec.json.encode({"vrfs": answer})) for answer in (summary, shown)]

    def close(self) -> None:
        """Disconnect."""
        self.connection = None


def _peer(peer: Peer, router_id: str, now: float) -> dict[str, Any]:
    return {
        "peerAddress": peer.address,
        "asn": "65000",
        "routerId": router_id,
        "description": peer.description,
        "state": "Established" if peer.is_up else "Active",
        "establishedTime": now - peer.since if peer.is_up else 0,
        "peerTcpInfo": {"sndRtt": peer.rtt_us} if peer.is_up else {},
    }


def fleet_inventory(devices: list[Device]) -> Nornir:
    """Return the inventory of a new process: nothing in it is shared with another one."""
    options = {
        "napalm": ConnectionOptions(
            platform="eos",
            username="u",
            password="p",
            port=443,
            extras={"timeout": TIMEOUT_S, "optional_args": {}},
        )
    }
    hosts = {
        device.code: Host(
            name=device.code,
            hostname=f"{device.code}.invalid",
            platform="eos",
            groups=ParentGroups(),
            data={},
            defaults=Defaults(),
            connection_options=dict(options),
        )
        for device in devices
    }
    inventory = Inventory(Hosts(hosts), Groups(), Defaults())
    return Nornir(inventory=inventory, runner=ThreadedRunner(20), config=Config(), data=GlobalState())
