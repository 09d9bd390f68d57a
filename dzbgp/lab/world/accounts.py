"""Devices and the accounts around them, with keys and addresses drawn from a seed."""

import hashlib
import ipaddress
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from solders.pubkey import Pubkey

from dzbgp.lab.eos.device import USER_ASN, EosFault, EosPeer
from dzbgp.lab.world.encode import (
    AccountType,
    Layout,
    encode_contributor,
    encode_exchange,
    encode_location,
    encode_noise,
    encode_tenant,
)
from dzbgp.lab.world.scenario import METROS, TENANTS, Metro, ScenarioDevice, Session
from dzbgp.ledger.networks import NETWORKS
from dzbgp.models.ledger import BgpStatus, Device, DeviceType, Net, Tenant, User

PROGRAM_ID = NETWORKS["localnet"].program_id
NOW_SLOT = 300_000_000
"""Where the lab's ledger starts."""

# Ranges for documentation, and for benchmarks where those are too small.
_DEVICE_NETS = ("203.0.113.0/24", "198.19.0.0/16")
_DZ_NET = "192.0.2.0/24"


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """A device: its account, its host in the inventory, and where it listens."""

    device: Device
    contributor: str
    publisher: str
    """The name of the publisher's key."""
    metro: str
    host: str
    """Its name in the inventory."""
    matched_by: str
    """How that host is matched to it: by `name`, `code`, `pubkey` or `public_ip`."""
    address: str
    port: int
    loopback: str
    fault: EosFault | None

    @property
    def code(self) -> str:
        """The device's code."""
        return self.device.code


@dataclass(frozen=True, slots=True)
class UserSpec:
    """A user: its account at the start, its session, and what a first pass must write about it."""

    user: User
    device: str
    """The device's code."""
    vrf: str
    layout: Layout
    session: Session | None
    """None: the device has no such neighbor."""
    established_s: float
    """For how long the session is Established when the world is built."""
    expect: BgpStatus | None
    """What a first pass writes; None: nothing."""
    reason: str
    """Why it does."""
    rtt_ns: int
    """What is written as RTT with Up; 0 without a sample and with Down."""

    @property
    def peer_address(self) -> str:
        """The user's side of the tunnel: the neighbor as the device sees it."""
        return str(ipaddress.IPv4Address(self.user.tunnel_net.address + 1))

    def eos_peer(self) -> EosPeer:
        """Make the neighbor as the device has it. Raises ValueError when it has none."""
        if self.session is None:
            raise ValueError(f"the device has no neighbor for user {self.user.pubkey}")
        return EosPeer(
            address=self.peer_address,
            asn=USER_ASN,
            vrf=self.vrf,
            state=self.session.state,
            description=f"USER-{self.user.tunnel_id}",
            idle_reason=self.session.idle_reason,
            established_s=self.established_s,
            rtt_us=self.session.rtt_us,
            transitions=1 if self.session.state == "Established" else 0,
            interface=f"Tunnel{self.user.tunnel_id}",
        )


def key_of(seed: int, name: str) -> Pubkey:
    """Return an account key that only seed and name decide, and that nobody has the private key of."""
    return Pubkey(hashlib.sha256(f"dzbgp lab {seed} {name}".encode()).digest())


def device_key(seed: int, code: str) -> Pubkey:
    """Return the account key of a device."""
    return key_of(seed, f"device {code}")


def publisher_key(seed: int, contributor: str) -> Pubkey:
    """Return the key that stands for a publisher where nothing is signed."""
    return key_of(seed, f"publisher {contributor}")


def tenant_keys(seed: int) -> dict[str, Pubkey]:
    """Return the account key of each tenant, by code."""
    return {code: key_of(seed, f"tenant {code}") for code in TENANTS}


def make_devices(
    rng: random.Random, rows: Sequence[ScenarioDevice], seed: int, publishers: Mapping[str, Pubkey]
) -> tuple[DeviceSpec, ...]:
    """Return each device its account. Raises ValueError when there are more devices than addresses."""
    public_ips = draw(rng, _DEVICE_NETS, len(rows))
    return tuple(
        _device(row, seed, publishers[row.contributor], public_ip, position)
        for position, (row, public_ip) in enumerate(zip(rows, public_ips, strict=True))
    )


def infrastructure(
    seed: int, devices: Iterable[DeviceSpec], tenants: Mapping[str, Pubkey]
) -> dict[Pubkey, bytes]:
    """Return the accounts of all other kinds: what devices and users point to, and what nobody here reads."""
    accounts = {
        key: encode_tenant(Tenant(key, code, TENANTS[code]), owner=key_of(seed, code))
        for code, key in tenants.items()
    }
    for device in devices:
        accounts[device.device.contributor_pk] = encode_contributor(device.contributor)
        metro = METROS.get(device.metro, Metro(device.metro, "XX", (0.0, 0.0)))
        accounts[device.device.location_pk] = encode_location(
            device.metro, metro.city, metro.country, degrees=metro.degrees
        )
        accounts[device.device.exchange_pk] = encode_exchange(
            f"x{device.metro}", metro.city, degrees=metro.degrees
        )
    for number, kind in enumerate(_NOISE):
        accounts[key_of(seed, f"noise {number}")] = encode_noise(kind, seed * 1_000 + number)
    return accounts


_NOISE = (
    AccountType.GLOBAL_STATE,
    AccountType.GLOBAL_CONFIG,
    AccountType.PROGRAM_CONFIG,
    *[AccountType.LINK] * 6,
    *[AccountType.MULTICAST_GROUP] * 2,
    *[AccountType.ACCESS_PASS] * 12,
    *[AccountType.RESOURCE_EXTENSION] * 3,
)


def sample(rng: random.Random, values: Sequence[int], count: int) -> list[int]:
    """Draw `count` of `values`, none twice.

    Only random() itself is promised to give the same numbers in every version of Python; Random.sample is not.
    """
    return sorted(values, key=lambda _: rng.random())[:count]


def pick(rng: random.Random, values: Sequence[int]) -> int:
    """Draw one of `values`, as `sample` does."""
    return values[int(rng.random() * len(values))]


def draw(rng: random.Random, nets: Sequence[str], count: int) -> Iterator[str]:
    """Draw `count` distinct host addresses from the first of `nets` that is large enough."""
    for net in map(ipaddress.IPv4Network, nets):
        if count <= net.num_addresses - 2:
            offsets = sample(rng, range(1, net.num_addresses - 1), count)
            return (str(net[offset]) for offset in offsets)
    raise ValueError(f"{count} addresses wanted, more than {nets[-1]} has")


def _device(row: ScenarioDevice, seed: int, publisher: Pubkey, public_ip: str, position: int) -> DeviceSpec:
    metro = row.code.partition("-")[0]
    prefix = int(ipaddress.IPv4Address(_DZ_NET.partition("/")[0])) + 32 * (position % 8)
    device = Device(
        pubkey=device_key(seed, row.code),
        owner=key_of(seed, f"owner {row.contributor}"),
        location_pk=key_of(seed, f"location {metro}"),
        exchange_pk=key_of(seed, f"exchange {metro}"),
        device_type=DeviceType.HYBRID,
        public_ip=public_ip,
        status=row.status,
        code=row.code,
        dz_prefixes=(Net(prefix, 27),),
        metrics_publisher_pk=publisher,
        contributor_pk=key_of(seed, f"contributor {row.contributor}"),
        mgmt_vrf="management",
    )
    return DeviceSpec(
        device=device,
        contributor=row.contributor,
        publisher=row.contributor,
        metro=metro,
        host=row.host or row.code,
        matched_by=row.matched_by,
        address=row.address,
        port=row.port,
        loopback=f"10.66.{position // 250}.{position % 250 + 1}",
        fault=row.fault,
    )
