"""A world whose switches are real: FRR and BIRD, the eAPI front, the lab's ledger, and dzbgp as a process."""

import os
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from e2e_lab import Done, dzbgp, edited, random_net, write_keypair
from front import fronted
from msgspec import structs
from sandbox import missing
from solders.keypair import Keypair
from switch import Switch, Tunnel, started_switch

from dzbgp.lab.eos.device import LOCAL_ASN
from dzbgp.lab.eos.fleet import EosFleet
from dzbgp.lab.solana.ledger import Ledger
from dzbgp.lab.world.accounts import UserSpec
from dzbgp.lab.world.encode import encode_user
from dzbgp.lab.world.inventory import write_inventory
from dzbgp.lab.world.scenario import (
    IBRL,
    MULTICAST,
    NEVER,
    Onchain,
    ScenarioDevice,
    ScenarioUser,
    Session,
    leave,
)
from dzbgp.lab.world.world import World
from dzbgp.ledger.program.accounts import decode_user
from dzbgp.models.ledger import BgpStatus, User

SLOT_MS = 20
REFRESH = "6h"
"""Of nominal slots: no refresh comes due while a test runs."""
FIRST, SECOND = "one-dz-001", "two-dz-001"
IBGP = Tunnel("10.66.9.1", "default", "other-dz", remote_asn=LOCAL_ASN, asn=LOCAL_ASN)
"""Another device's session: nobody's user."""
PUBLISHER = "northlight"
WRONG_ASN = 64_999
WRONG_ASN_USER = (FIRST, 507)
"""The user of `two_switches` whose AS is not the one that the switch expects."""


@dataclass(frozen=True)
class Bgp:
    """What an account says about a session."""

    status: BgpStatus
    up_at: int
    reported_at: int
    rtt_ns: int


@dataclass(frozen=True)
class Switches:
    """Running switches and their front; they outlive a test."""

    world: World
    switches: Mapping[str, Switch]
    front: EosFleet
    keypair: Keypair

    def spec(self, device: str, tunnel_id: int) -> UserSpec:
        return self.world.user(device, tunnel_id)

    def heal(self) -> None:
        """Brings every session up that can be."""
        for code, switch in self.switches.items():
            self.front.set_fault(code, None)
            switch.heal()


@dataclass(frozen=True)
class BgpLab:
    """Switches with a ledger of their own test."""

    switches: Switches
    ledger: Ledger
    home: Path
    args: Sequence[str]

    @property
    def front(self) -> EosFleet:
        return self.switches.front

    def switch(self, code: str = FIRST) -> Switch:
        return self.switches.switches[code]

    def peer(self, tunnel_id: int, device: str = FIRST) -> str:
        """The neighbor's address of a user."""
        return self.switches.spec(device, tunnel_id).peer_address

    def account(self, tunnel_id: int, device: str = FIRST) -> Bgp:
        """A user's account as the ledger has it now."""
        return self.accounts()[device, tunnel_id]

    def accounts(self) -> dict[tuple[str, int], Bgp]:
        """All users' accounts."""
        stored = self.ledger.accounts()
        return {
            (spec.device, spec.user.tunnel_id): _bgp(decode_user(spec.user.pubkey, stored[spec.user.pubkey]))
            for spec in self.switches.world.users
        }

    def statuses(self, device: str = FIRST) -> dict[int, BgpStatus]:
        return {tunnel: bgp.status for (code, tunnel), bgp in self.accounts().items() if code == device}

    def run(self, *args: str) -> Done:
        """Does one pass, as a process."""
        return dzbgp(self.home, "run", *self.args, "--output", "json", *args)

    def told(self, done: Done, tunnel_id: int, device: str = FIRST) -> dict[str, Any]:
        """What a report says about a user."""
        key = str(self.switches.spec(device, tunnel_id).user.pubkey)
        (entry,) = [user for user in done.report["users"] if user["user"] == key]
        return dict(entry)

    def set_onchain(self, tunnel_id: int, status: BgpStatus, device: str = FIRST) -> None:
        """Write a fresh report into an account, as an earlier run would have left it."""
        spec = self.switches.spec(device, tunnel_id)
        slot = self.ledger.slot
        up = status is BgpStatus.UP
        user = structs.replace(
            spec.user,
            bgp_status=status,
            last_bgp_reported_at=slot,
            last_bgp_up_at=slot if up else 0,
            bgp_rtt_ns=50_000 if up else 0,
        )
        self.ledger.set_account(spec.user.pubkey, encode_user(user, spec.layout))


def _bgp(user: User) -> Bgp:
    return Bgp(user.bgp_status, user.last_bgp_up_at, user.last_bgp_reported_at, user.bgp_rtt_ns)


def device_row(code: str) -> ScenarioDevice:
    return ScenarioDevice(code, PUBLISHER, "127.0.0.1", 0)


def user_row(
    device: str, tunnel_id: int, *, multicast: bool = False, tenant: str = "", onchain: Onchain = NEVER
) -> ScenarioUser:
    """A user whose session is real: what the row says of it only configures the neighbor."""
    kind = MULTICAST if multicast else IBRL
    return ScenarioUser(device, tunnel_id, kind, onchain, Session("Active"), leave("real"), tenant)


def require_real_bgp() -> None:
    """Skips where real BGP can't be had; in CI that is a failure."""
    reason = missing()
    if reason and os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


def two_switches() -> AbstractContextManager[Switches]:
    """Two switches with users in vrf1, vrf2 and the default VRF; of one user the AS is wrong."""
    users = [
        user_row(FIRST, 500),
        user_row(FIRST, 501),
        user_row(FIRST, 502, tenant="solstice"),
        user_row(FIRST, 503, tenant="meridian"),
        user_row(FIRST, 504, multicast=True),
        user_row(FIRST, 505),
        user_row(FIRST, 506),
        user_row(*WRONG_ASN_USER),
        user_row(SECOND, 500),
        user_row(SECOND, 501, tenant="meridian"),
        user_row(SECOND, 502, multicast=True),
    ]
    return started_switches([FIRST, SECOND], users, [WRONG_ASN_USER])


@contextmanager
def started_switches(
    devices: Sequence[str], users: Sequence[ScenarioUser], wrong_asn: Sequence[tuple[str, int]] = ()
) -> Iterator[Switches]:
    """Starts a switch for every device, and the front; returns when every session is up that can be."""
    require_real_bgp()
    keypair = Keypair()
    world = World.of(
        tuple(map(device_row, devices)),
        tuple(users),
        random.randrange(2**32),
        publishers={PUBLISHER: keypair.pubkey()},
    )
    net = random_net()
    with ExitStack() as stack:
        switches = {
            spec.code: stack.enter_context(
                started_switch(spec.device.public_ip, _tunnels(world, spec.code, wrong_asn))
            )
            for spec in world.devices
        }
        listening = {
            device.code: replace(device, address=f"{net}.{number}", port=0)
            for number, device in enumerate(world.eos_devices(), 1)
        }
        front = stack.enter_context(fronted(switches, listening))
        for switch in switches.values():
            switch.established()
        yield Switches(world.relocated(front.addresses), switches, front, keypair)


def _tunnels(world: World, code: str, wrong_asn: Sequence[tuple[str, int]]) -> list[Tunnel]:
    tunnels = [
        Tunnel(
            spec.peer_address,
            spec.vrf,
            f"USER-{spec.user.tunnel_id}",
            asn=WRONG_ASN if (code, spec.user.tunnel_id) in wrong_asn else Tunnel.asn,
        )
        for spec in world.users
        if spec.device == code
    ]
    return [IBGP, *tunnels]


@contextmanager
def started_lab(directory: Path, switches: Switches) -> Iterator[BgpLab]:
    """A ledger with the world's accounts, and what `dzbgp run` needs to reach it and the switches."""
    world = switches.world
    balances = {switches.keypair.pubkey(): 10**10}
    with Ledger.start(
        world.accounts(),
        program_id=world.program_id,
        balances=balances,
        slot_ms=SLOT_MS,
        start_slot=world.now_slot,
    ) as ledger:
        inventory = write_inventory(directory / "inventory", world).parent
        with edited(inventory / "defaults.yaml") as content:
            content["connection_options"]["napalm"]["extras"]["timeout"] = 5
        keypair = write_keypair(directory / "publisher.json", switches.keypair)
        args = ["--env", "localnet", "--rpc-url", ledger.url, "--refresh-interval", REFRESH]
        args += ["--keypair", str(keypair), "--inventory", str(inventory)]
        yield BgpLab(switches, ledger, directory, args)
