"""A fleet and a ledger of the plainest kind, with a clock that a test moves: for passes that only decide."""

import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from core_builders import key, make_device, make_tenant, make_user
from msgspec import structs
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from dzbgp.console.progress import NoProgress
from dzbgp.decision.resolver import vrf_of
from dzbgp.decision.rules import Limits, Rules
from dzbgp.errors import JournalError
from dzbgp.ledger.networks import Network
from dzbgp.ledger.program.cache import Fetched
from dzbgp.ledger.program.instruction import Write
from dzbgp.ledger.session import ComingData, WriteResult
from dzbgp.ledger.submit.journal import NoJournal
from dzbgp.ledger.submit.packing import TransactionBuilder
from dzbgp.ledger.submit.signers import Signers
from dzbgp.models import moment
from dzbgp.models.decision import Decision
from dzbgp.models.in_flight import Fate, InFlight, Settled
from dzbgp.models.ledger import (
    BgpStatus,
    Device,
    DeviceStatus,
    Net,
    ProgramData,
    SkippedAccount,
    User,
    UserStatus,
    dotted,
)
from dzbgp.models.moment import Moment
from dzbgp.models.report import Report
from dzbgp.models.session import DeviceReading, DeviceResult, Look, Neighbor, Vrf
from dzbgp.models.submission import Outcome, Submission
from dzbgp.run import decider, job, plan, recheck
from dzbgp.run.interrupts import Interrupts
from dzbgp.run.job import run_pass
from dzbgp.run.request import PassOptions
from dzbgp.state.memory import Memory
from dzbgp.state.store import Store

PROGRAM = key(7)
PUBLISHER = Keypair.from_seed(bytes(31) + b"\1")
SIGNERS = Signers({PUBLISHER.pubkey(): PUBLISHER})
SECONDS_PER_SLOT = 0.4
FIRST_SLOT = 10_000_000
FIRST_TIME = 1_700_000_000.0
FIRST_NET = 0xA9FE0000
UP, DOWN, NEVER = BgpStatus.UP, BgpStatus.DOWN, BgpStatus.UNKNOWN
BLOCKHASH_LIFE_S = 60.0
LAND, FAIL, LOSE = "land", "fail", "lose"


class SmallWorld:
    """Devices, their sessions, and a chain. `now` and the slot move with `wait`."""

    lands_as = Fate.FINALIZED
    """The fate of a write that lands, as far as its run learns it."""
    shard: Collection[Pubkey] | None = None
    """The devices of the fleet's part that a pass is about; None: all."""
    doubt = ""
    """Why the ledger is not believed."""
    not_shown: Collection[Pubkey] = ()
    """Users that the node does not know."""

    def __init__(self, devices: int = 1, users: int = 1, onchain: BgpStatus = UP, **changes: Any) -> None:
        self.now = FIRST_TIME
        self.slot = FIRST_SLOT
        self.devices: dict[Pubkey, Device] = {}
        self.users: dict[Pubkey, User] = {}
        self.up_since: dict[Pubkey, float] = {}
        """Sessions that are Established."""
        self.down: set[Pubkey] = set()
        """Sessions that are configured and not Established. Any other session is not configured."""
        self.silent: set[Pubkey] = set()
        """Devices that do not answer."""
        self.rtts: dict[Pubkey, int] = {}
        self.tenants = {tenant.pubkey: tenant for tenant in (make_tenant(1, 1), make_tenant(2, 2))}
        self.missing_vrfs: set[str] = set()
        self.empty_vrfs: set[str] = set()
        """VRFs that are shown without any neighbor."""
        self.write_mode = LAND
        self.seen_slots_ago = 0
        """How far the node that is asked lies behind."""
        self.hosts: Collection[Pubkey] | None = None
        """The devices that a pass asks; None: all."""
        self.while_users_are_read: Callable[[], None] = lambda: None
        """Called after the devices are asked, as it were, and before the ledger is read to the end."""
        self.between_looks: Callable[[], None] = lambda: None
        self.looked_again: list[set[str]] = []
        """The hosts of each second look."""
        self.look_limits: list[float] = []
        """How many seconds each look had."""
        self.late: dict[str, set[str]] = {}
        """By `read` and `recheck`: the hosts that do not answer in time."""
        self.per_look: int | None = None
        """How many hosts a second look has time for; None: for all."""
        self.skipped: tuple[SkippedAccount, ...] = ()
        self.host_limits: dict[str, Limits] = {}
        self.host_identity_checks: dict[str, bool] = {}
        self.router_id: str | None = None
        """What the devices show for a router-id; None: their own."""
        self.seconds_per_slot = SECONDS_PER_SLOT
        self.writes: list[Write] = []
        """Those of the last pass."""
        self.sent: dict[str, tuple[float, tuple[Write, ...]]] = {}
        """Lost transactions: when they were sent, and what would be written."""
        self.fates: dict[str, Settled] = {}
        self.transactions = 0
        for number in range(1, devices + 1):
            device = make_device(
                number, metrics_publisher_pk=PUBLISHER.pubkey(), public_ip=f"203.0.113.{number}"
            )
            self.devices[device.pubkey] = device
            for _ in range(users):
                self.add_user(device, onchain, **changes)

    def add_user(self, device: Device, onchain: BgpStatus = UP, *, age_s: float = 60, **changes: Any) -> User:
        number = len(self.users) + 1
        reported = 0 if onchain is NEVER else self.slot - int(age_s / SECONDS_PER_SLOT)
        values: dict[str, Any] = {
            "device_pk": device.pubkey,
            "bgp_status": onchain,
            "last_bgp_reported_at": reported,
            "tunnel_net": Net(FIRST_NET + 2 * number, 31),
            "data_len": 400,
        }
        user = make_user(number, **(values | changes))
        self.users[user.pubkey] = user
        self.rtts[user.pubkey] = 1_000_000 + number
        if onchain is UP:
            self.up_since[user.pubkey] = self.now - 86_400
        else:
            self.down.add(user.pubkey)
        return user

    def user(self, number: int = 0) -> User:
        return list(self.users.values())[number]

    def user_device(self, key: Pubkey) -> Pubkey:
        return self.users[key].device_pk

    def device(self, number: int = 0) -> Device:
        return list(self.devices.values())[number]

    def change(self, key: Pubkey, **changes: Any) -> None:
        self.users[key] = structs.replace(self.users[key], **changes)

    def drain(self, number: int = 0, status: DeviceStatus = DeviceStatus.DRAINED) -> None:
        device = self.device(number)
        self.devices[device.pubkey] = replace(device, status=status)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.slot += round(seconds / SECONDS_PER_SLOT)

    def goes_up(self, *keys: Pubkey) -> None:
        for one in keys or tuple(self.users):
            self.down.discard(one)
            self.up_since[one] = self.now

    def goes_down(self, *keys: Pubkey) -> None:
        for one in keys or tuple(self.users):
            self.up_since.pop(one, None)
            self.down.add(one)

    def goes_away(self, *keys: Pubkey) -> None:
        for one in keys or tuple(self.users):
            self.up_since.pop(one, None)
            self.down.discard(one)

    def is_established(self, key: Pubkey) -> bool:
        return key in self.up_since

    # The chain

    def land(self, signature: str) -> None:
        """Lets a lost transaction land after all, if its blockhash lives."""
        sent_at, writes = self.sent[signature]
        if signature not in self.fates and self.now - sent_at < BLOCKHASH_LIFE_S:
            self.apply(writes)
            self.fates[signature] = Settled(
                Fate.FINALIZED, dict.fromkeys([write.user for write in writes], self.slot)
            )

    def apply(self, writes: Iterable[Write]) -> None:
        for write in writes:
            self.change(
                write.user,
                bgp_status=write.status,
                bgp_rtt_ns=write.rtt_ns,
                last_bgp_reported_at=self.slot,
            )

    def reported_by_another(self, key: Pubkey, status: BgpStatus) -> None:
        self.change(key, bgp_status=status, last_bgp_reported_at=self.slot)

    # What a pass asks

    def match(self, devices: Mapping[Pubkey, Device]) -> dict[str, Device | None]:
        chosen = self.hosts or self.shard or devices
        return {devices[one].code: devices[one] for one in chosen}

    def part_of(self, devices: Collection[Pubkey]) -> Collection[Pubkey]:
        return devices if self.shard is None else {device for device in devices if device in self.shard}

    def notes(self) -> list[str]:
        return []

    def limits(self, usual: Limits) -> dict[str, Limits]:
        return self.host_limits

    def identity_checks(self) -> dict[str, bool]:
        return self.host_identity_checks

    def read(
        self, matched: Mapping[str, Device | None], progress: Any, check: Any, within_s: float
    ) -> list[DeviceReading]:
        self.look_limits.append(within_s)
        return [
            self._reading(host, device, is_late=host in self.late.get("read", ()))
            for host, device in matched.items()
            if device is not None
        ]

    def _reading(
        self, host: str, device: Device, *, is_late: bool = False, with_rtts: bool = False
    ) -> DeviceReading:
        if is_late:
            return DeviceReading(host, DeviceResult.FAILED, device, "no answer within 30 s", is_late=True)
        if device.pubkey in self.silent:
            return DeviceReading(host, DeviceResult.FAILED, device, "no answer")
        vrfs = tuple(
            Vrf(name, self.router_id or device.public_ip)
            for name in ("default", "vrf1", "vrf2")
            if name not in self.missing_vrfs
        )
        neighbors = tuple(
            Neighbor(
                dotted(user.tunnel_net.address | 1),
                vrf,
                is_up=one in self.up_since,
                is_enabled=True,
                uptime_s=int(self.now - self.up_since[one]) if one in self.up_since else -1,
                rtt_ns=self.rtts.get(one, 0) if with_rtts and one in self.up_since else 0,
            )
            for one, user in self.users.items()
            if user.device_pk == device.pubkey
            and (one in self.up_since or one in self.down)
            and (vrf := vrf_of(user, self.tenants) or "vrf1") not in self.missing_vrfs | self.empty_vrfs
        )
        # Of the device's own, so that no VRF is ever without a neighbor.
        others = tuple(
            Neighbor("10.0.0.2", name, is_up=True, is_enabled=True, uptime_s=1)
            for name in ("default", "vrf1", "vrf2")
            if name not in self.missing_vrfs | self.empty_vrfs
        )
        return DeviceReading(host, DeviceResult.OK, device, vrfs=vrfs, neighbors=neighbors + others)

    def recheck(self, due: Mapping[str, Device], progress: Any, within_s: float) -> dict[str, DeviceReading]:
        asked = list(due)[: self.per_look]
        self.look_limits.append(within_s)
        self.looked_again.append(set(asked))
        late = self.late.get("recheck", ())
        return {host: self._reading(host, due[host], is_late=host in late, with_rtts=True) for host in asked}

    @property
    def ledger(self) -> "SmallLedger":
        return SmallLedger(self)


class SmallLedger:
    def __init__(self, world: SmallWorld) -> None:
        self._world = world
        self.network = Network("localnet", PROGRAM, ("http://ledger",))
        self.builder = TransactionBuilder(PROGRAM)
        self.rpc_requests = 0
        self.floor = None

    def look(self) -> Look:
        return Look(self._world.slot, Moment(self._world.now))

    def coming(self) -> ComingData:
        slot = self._world.slot - self._world.seen_slots_ago
        self._world.while_users_are_read()
        future: Future[Fetched] = Future()
        future.set_result(self._fetched())
        return ComingData(slot, self._world.devices, future)

    def _fetched(self) -> Fetched:
        world = self._world
        data = ProgramData(
            slot=world.slot - world.seen_slots_ago,
            fetched_at=datetime.now(UTC),
            users={
                one: user
                for one, user in world.users.items()
                if (world.hosts is None or user.device_pk in world.hosts) and one not in world.not_shown
            },
            devices=dict(world.devices),
            tenants=world.tenants,
            seconds_per_slot=world.seconds_per_slot,
            skipped=world.skipped,
            doubt=world.doubt,
            # As for a few hosts: only their users are asked for.
            scope=None if world.hosts is None else frozenset(world.hosts),
        )
        return Fetched(data, 0.0, stale=False)

    def fates(self, sent: Sequence[InFlight]) -> list[Settled]:
        found = []
        for one in sent:
            sent_at, _ = self._world.sent.get(one.signature, (0.0, ()))
            gone = self._world.now - sent_at >= BLOCKHASH_LIFE_S
            found.append(
                self._world.fates.get(one.signature, Settled(Fate.EXPIRED if gone else Fate.PENDING))
            )
        return found

    def write(
        self,
        writes: Sequence[Write],
        signers: Signers,
        progress: Any = None,
        journal: Any = None,
        *,
        authorize: Any = None,
    ) -> WriteResult:
        world, journal = self._world, journal or NoJournal()
        world.writes = list(writes)
        result = WriteResult({})
        for batch in self.builder.pack(writes):
            world.transactions += 1
            result.transactions += 1
            signature = f"signature-{world.transactions}"
            try:
                journal.sent(InFlight(signature, 0, {write.user: write.status for write in batch.writes}))
            except JournalError as error:
                for write in batch.writes:
                    result.submissions[write.user] = Submission(
                        write.user, Outcome.FAILED, None, f"not sent: {error}", None
                    )
                continue
            if world.write_mode == LAND:
                world.apply(batch.writes)
                users = [write.user for write in batch.writes]
                world.fates[signature] = Settled(Fate.FINALIZED, dict.fromkeys(users, world.slot))
                journal.ended(signature, world.lands_as)
                made: tuple[Outcome, str | None, int | None] = (Outcome.CONFIRMED, None, world.slot)
            elif world.write_mode == FAIL:
                journal.ended(signature, Fate.REJECTED)
                made = (Outcome.FAILED, "no", None)
            else:
                world.sent[signature] = (world.now, batch.writes)
                made = (Outcome.PENDING, "unseen", None)
            for write in batch.writes:
                result.submissions[write.user] = Submission(write.user, made[0], signature, made[1], made[2])
        return result


class Passes:
    """Runs passes over a world, one after the other, with or without a memory between them."""

    def __init__(
        self,
        world: SmallWorld,
        history: Store | None = None,
        *,
        confirm_down_s: float = 0.0,
        dry_run: bool = False,
        kept: bool = True,
        max_age_s: float = PassOptions.max_age_s,
        **rules: Any,
    ) -> None:
        """`kept`: whether what is remembered counts as kept in a file, if there is no history."""
        self.world = world
        self.history = history
        self.dry_run = dry_run
        self.kept = kept
        self.restart()
        # The guard is off where a test does not set it.
        defaults = {} if {"max_down", "max_down_min"} & rules.keys() else {"max_down": 1.0}
        self.options = PassOptions(
            dry_run=dry_run,
            rules=Rules(**cast("Any", defaults | rules)),
            confirm_down_s=confirm_down_s,
            max_age_s=max_age_s,
            signers=SIGNERS,
        )
        self.slept: list[float] = []
        self.interrupts = Interrupts()

    def restart(self) -> None:
        """Goes on as a new process would, with what is in the history."""
        self.memory = Memory(self.history, dry_run=self.dry_run)
        self.memory.is_kept = self.kept or self.history is not None

    def rules(self, **changes: Any) -> None:
        self.options = replace(self.options, rules=replace(self.options.rules, **changes))

    def run(self, **world: Any) -> Report:
        """Does one pass, with the world changed so while it lasts."""
        before = {name: getattr(self.world, name) for name in world}
        for name, value in world.items():
            setattr(self.world, name, value)
        self.world.writes = []
        clock = FakeTime(self.world)
        with pytest.MonkeyPatch.context() as patch:
            for module in (job, plan, recheck, decider, moment):
                patch.setattr(module, "time", clock)
            try:
                return run_pass(
                    cast("Any", self.world),
                    cast("Any", self.world.ledger),
                    self.options,
                    NoProgress(),
                    self.memory,
                    self._sleep,
                    self.interrupts,
                )
            finally:
                for name, value in before.items():
                    setattr(self.world, name, value)

    def decision(self, number: int = 0, **world: Any) -> Decision:
        """Does one pass, and gives what it decided of one user."""
        wanted = self.world.user(number).pubkey
        return next(one for one in self.run(**world).decisions if one.observation.user.pubkey == wanted)

    def reason(self, number: int = 0, **world: Any) -> str:
        return self.decision(number, **world).reason

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.world.wait(seconds)
        self.world.between_looks()


class FakeTime:
    """Stands for the time module."""

    def __init__(self, world: SmallWorld) -> None:
        self._world = world

    def time(self) -> float:
        return self._world.now

    def monotonic(self) -> float:
        return self._world.now


def activated(user: User, *, is_active: bool) -> dict[str, Any]:
    return {"status": UserStatus.ACTIVATED if is_active else UserStatus.BANNED}


def shuffled(items: Iterable[Any], seed: int) -> list[Any]:
    order = list(items)
    random.Random(seed).shuffle(order)
    return order
