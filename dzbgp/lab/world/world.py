"""A world for the lab: devices, and the accounts of the ledger that go with them.

The same seed gives the same world: account keys, IP addresses, tunnels, slots. Only the publishers' keys
differ, because their keypairs are made at start. Addresses are of the ranges for documentation.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

from solders.keypair import Keypair
from solders.pubkey import Pubkey

from dzbgp.lab.eos.device import LOCAL_ASN, EosDevice, EosPeer
from dzbgp.lab.world import scenario
from dzbgp.lab.world.accounts import (
    NOW_SLOT,
    PROGRAM_ID,
    DeviceSpec,
    UserSpec,
    infrastructure,
    make_devices,
    publisher_key,
    tenant_keys,
)
from dzbgp.lab.world.encode import encode_device, encode_user
from dzbgp.lab.world.scenario import ScenarioDevice, ScenarioUser
from dzbgp.lab.world.users import UserMaker
from dzbgp.models.ledger import BgpStatus

__all__ = ["LAB_PASSWORD", "LAB_USERNAME", "NOW_SLOT", "PROGRAM_ID", "DeviceSpec", "UserSpec", "World"]

LAB_USERNAME = "dzbgp"
LAB_PASSWORD = "lab-only"  # noqa: S105 - the simulated devices' own
_IBGP_NEIGHBORS = 7


@dataclass(frozen=True, slots=True)
class World:
    """Devices, users and everything else that the lab's ledger and fleet start with."""

    seed: int
    now_slot: int
    """The ledger's slot that the accounts' slots are counted back from."""
    program_id: Pubkey
    devices: tuple[DeviceSpec, ...]
    users: tuple[UserSpec, ...]
    tenants: Mapping[str, Pubkey]
    publishers: Mapping[str, Pubkey]
    """The key that signs for each contributor's devices."""

    @classmethod
    def build(
        cls,
        seed: int = 1,
        *,
        publishers: Mapping[str, Pubkey] | None = None,
        addresses: Mapping[str, tuple[str, int]] | None = None,
        now_slot: int = NOW_SLOT,
        program_id: Pubkey = PROGRAM_ID,
    ) -> Self:
        """Build the world of scenario.py.

        `publishers` gives the key of each contributor (default: keys that nobody can sign with), `addresses`
        overrides where devices listen, by device code. Raises ValueError when `now_slot` is too young for
        reports that are due for refresh, KeyError when `publishers` lacks a contributor.
        """
        return cls.of(
            scenario.DEVICES,
            scenario.USERS,
            seed,
            publishers=publishers,
            addresses=addresses,
            now_slot=now_slot,
            program_id=program_id,
        )

    @classmethod
    def of(
        cls,
        devices: tuple[ScenarioDevice, ...],
        users: tuple[ScenarioUser, ...],
        seed: int = 1,
        *,
        publishers: Mapping[str, Pubkey] | None = None,
        addresses: Mapping[str, tuple[str, int]] | None = None,
        now_slot: int = NOW_SLOT,
        program_id: Pubkey = PROGRAM_ID,
    ) -> Self:
        """Build a world of these rows; as `build`, and ValueError for more users than addresses."""
        names = dict.fromkeys(row.contributor for row in devices)
        keys = {name: publishers[name] if publishers else publisher_key(seed, name) for name in names}
        rng = random.Random(seed)  # noqa: S311 - a reproducible world
        specs = make_devices(rng, devices, seed, keys)
        tenants = tenant_keys(seed)
        maker = UserMaker(
            rng, {spec.code: spec.device for spec in specs}, tenants, len(users), now_slot, program_id
        )
        world = cls(seed, now_slot, program_id, specs, tuple(map(maker.make, users)), tenants, keys)
        return world.relocated(addresses) if addresses else world

    @property
    def publisher_names(self) -> tuple[str, ...]:
        """The names of the publishers' keys: those of the contributors."""
        return tuple(self.publishers)

    @staticmethod
    def default_publishers() -> dict[str, Keypair]:
        """Make a new keypair for each contributor of `build`."""
        return {name: Keypair() for name in scenario.PUBLISHERS}

    def relocated(self, addresses: Mapping[str, tuple[str, int]]) -> Self:
        """Return the same world with devices that listen elsewhere; those not in `addresses` stay."""
        moved = tuple(
            replace(spec, address=addresses[spec.code][0], port=addresses[spec.code][1])
            if spec.code in addresses
            else spec
            for spec in self.devices
        )
        return replace(self, devices=moved)

    def device(self, code: str) -> DeviceSpec:
        """Return the device called `code`. Raises KeyError."""
        for spec in self.devices:
            if spec.code == code:
                return spec
        raise KeyError(code)

    def user(self, device: str, tunnel_id: int) -> UserSpec:
        """Return the user of a device by its tunnel_id, the name it has in scenario.py. Raises KeyError."""
        for spec in self.users:
            if spec.device == device and spec.user.tunnel_id == tunnel_id:
                return spec
        raise KeyError((device, tunnel_id))

    def accounts(self) -> dict[Pubkey, bytes]:
        """Return the data of every account of the program: users, devices, and what else a ledger has."""
        accounts = infrastructure(self.seed, self.devices, self.tenants)
        for index, device in enumerate(self.devices, 1):
            accounts[device.device.pubkey] = encode_device(device.device, index=index)
        for user in self.users:
            accounts[user.user.pubkey] = encode_user(user.user, user.layout)
        return accounts

    def eos_devices(self) -> list[EosDevice]:
        """Make the simulated devices, each time new ones, with their users' and each other's sessions."""
        peers: dict[str, list[EosPeer]] = {device.code: [] for device in self.devices}
        for user in self.users:
            if user.session is not None:
                peers[user.device].append(user.eos_peer())
        return [
            EosDevice(
                code=device.code,
                address=device.address,
                port=device.port,
                username=LAB_USERNAME,
                password=LAB_PASSWORD,
                router_id=device.device.public_ip,
                peers=[*self._ibgp(position), *peers[device.code]],
                vrfs=scenario.VRFS,
                fault=device.fault,
                loopback=device.loopback,
            )
            for position, device in enumerate(self.devices)
        ]

    def _ibgp(self, position: int) -> list[EosPeer]:
        """Return the sessions to the next devices in the ring; the last one of each is always down."""
        others = [*self.devices[position + 1 :], *self.devices[:position]][:_IBGP_NEIGHBORS]
        return [
            EosPeer(
                other.loopback,
                LOCAL_ASN,
                "default",
                state="Active" if number == _IBGP_NEIGHBORS else "Established",
                description=other.code,
                rtt_us=8_000 + 100 * number,
            )
            for number, other in enumerate(others, 1)
        ]

    def expected(self) -> dict[Pubkey, tuple[BgpStatus, int]]:
        """Return status and RTT in ns of exactly the users that a first pass must write.

        It is a pass without history that refreshes after 6 h, at 400 ms a slot, and gets no answer from the
        devices that the scenario lets down.
        """
        return {
            spec.user.pubkey: (spec.expect, spec.rtt_ns) for spec in self.users if spec.expect is not None
        }
