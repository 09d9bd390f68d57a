"""Users: their accounts, with addresses, tunnels and slots drawn from a seed."""

import ipaddress
import random
from collections.abc import Mapping

from msgspec.structs import replace
from solders.pubkey import Pubkey

from dzbgp.lab.world.accounts import UserSpec, draw, key_of, pick, sample
from dzbgp.lab.world.encode import NO_KEY, Layout, encode_user
from dzbgp.lab.world.scenario import TENANTS, ScenarioUser
from dzbgp.models.ledger import BgpStatus, CyoaType, Device, Net, User, UserType

# In slots. The refresh interval of 6 h is 54,000 slots of 400 ms; a run may start minutes after the lab.
_FRESH = range(500, 20_000)
_STALE = range(70_000, 200_000)
# Longer than the oldest report is old: these sessions did not bounce since.
_UPTIME_S = range(200_000, 3_000_000)

# Of the ranges for documentation, and for benchmarks where that is too small.
_CLIENT_NETS = ("198.51.100.0/24", "198.18.0.0/16", "100.64.0.0/13")
_TUNNEL_NET = int(ipaddress.IPv4Address("169.254.0.0"))
_TUNNEL_BLOCKS = 1 << 14
_MOST_BLOCKS = 1 << 18
"""A world with more users than 169.254.0.0/16 has tunnels goes on behind it, as no real network can."""
_RENT_PER_BYTE = 6_960  # lamports, Solana's default for two years
_RENT_OVERHEAD = 128


class UserMaker:
    """A maker of users, each with addresses that no other user has.

    Raises ValueError when there are more users than addresses, or `now_slot` is too young for old reports.
    """

    def __init__(
        self,
        rng: random.Random,
        devices: Mapping[str, Device],
        tenants: Mapping[str, Pubkey],
        count: int,
        now_slot: int,
        program_id: Pubkey,
    ) -> None:
        if now_slot <= _STALE.stop:
            raise ValueError(f"now_slot is {now_slot}; the oldest report is {_STALE.stop} slots before it")
        if count > _MOST_BLOCKS:
            raise ValueError(f"{count} users; there are tunnel addresses for {_MOST_BLOCKS}")
        self._rng = rng
        self._devices = devices
        self._tenants = tenants
        self._now_slot = now_slot
        self._program_id = program_id
        self._clients = draw(rng, _CLIENT_NETS, count)
        self._blocks = iter(sample(rng, range(max(_TUNNEL_BLOCKS, count)), count))
        self._allocated: dict[str, int] = {}
        self._made: dict[tuple[str, int], User] = {}

    def make(self, row: ScenarioUser) -> UserSpec:
        """Make the user of `row`. Raises KeyError when it refers to a user that was not made yet."""
        user = self._user(row, self._devices[row.device])
        self._made[row.device, row.tunnel_id] = user
        established_s = row.session.established_s if row.session else None
        uptime_s = pick(self._rng, _UPTIME_S)
        tenant_vrf = TENANTS[row.tenant] if row.tenant else 1
        return UserSpec(
            user=user,
            device=row.device,
            vrf="default" if row.user_type is UserType.MULTICAST else f"vrf{tenant_vrf}",
            layout=row.layout,
            session=row.session,
            established_s=uptime_s if established_s is None else established_s,
            expect=row.truth.expect,
            reason=row.truth.reason,
            rtt_ns=row.truth.rtt_ns,
        )

    def _user(self, row: ScenarioUser, device: Device) -> User:
        client = next(self._clients)
        if row.client_of is not None:
            client = self._made[row.device, row.client_of].client_ip
        # Four addresses for each, so that nets of different users never touch.
        net = Net(_TUNNEL_NET + 4 * next(self._blocks), 31)
        if row.overlaps is not None:
            net = self._made[row.device, row.overlaps].tunnel_net
        multicast = row.user_type is UserType.MULTICAST
        groups = (key_of(0, "multicast group"),) if multicast else ()
        odd = bool(row.tunnel_id % 2)  # some have it, some have not
        seeds = [b"doublezero", b"user", ipaddress.IPv4Address(client).packed, bytes([row.user_type])]
        key, bump = Pubkey.find_program_address(seeds, self._program_id)
        reported_at, up_at, rtt_ns = self._onchain(row)

        user = User(
            pubkey=key,
            owner=key_of(0, f"client {client}"),
            index=len(self._made) + 1,
            bump_seed=bump,
            user_type=row.user_type,
            tenant_pk=self._tenants[row.tenant] if row.tenant else NO_KEY,
            device_pk=device.pubkey,
            cyoa_type=CyoaType.GRE_OVER_DIA,
            client_ip=client,
            dz_ip=self._dz_ip(row, device, client),
            tunnel_id=row.tunnel_id,
            tunnel_net=net,
            status=row.status,
            publishers=groups if odd else (),
            subscribers=groups,
            validator_pubkey=NO_KEY if odd else key_of(0, f"validator {client}"),
            tunnel_endpoint=device.public_ip if odd and row.layout > Layout.OLDEST else "0.0.0.0",
            tunnel_flags=int(multicast and odd),
            bgp_status=row.onchain.status,
            last_bgp_up_at=up_at,
            last_bgp_reported_at=reported_at,
            bgp_rtt_ns=rtt_ns,
            feed_pks=groups if row.layout is Layout.CURRENT else (),
            data_len=0,
            lamports=0,
        )
        size = len(encode_user(user, row.layout))
        return replace(user, data_len=size, lamports=(_RENT_OVERHEAD + size) * _RENT_PER_BYTE)

    def _dz_ip(self, row: ScenarioUser, device: Device, client: str) -> str:
        """Return the address inside the network: the client's own, or one of the device's prefix."""
        if row.user_type is not UserType.IBRL_WITH_ALLOCATED_IP:
            return client
        offset = self._allocated[row.device] = self._allocated.get(row.device, 0) + 1
        return str(ipaddress.IPv4Address(device.dz_prefixes[0].address + offset))

    def _onchain(self, row: ScenarioUser) -> tuple[int, int, int]:
        """Return last_bgp_reported_at, last_bgp_up_at and bgp_rtt_ns as the account has them at the start."""
        age = pick(self._rng, _FRESH if row.onchain.fresh else _STALE)
        rtt_ns = pick(self._rng, range(500_000, 40_000_000))
        if row.onchain.status is BgpStatus.UNKNOWN:
            return 0, 0, 0
        reported_at = self._now_slot - age
        if row.onchain.status is BgpStatus.UP:
            return reported_at, reported_at, rtt_ns if row.layout >= Layout.WITHOUT_FEEDS else 0
        return reported_at, reported_at - 30_000 if row.tunnel_id % 2 else 0, 0
