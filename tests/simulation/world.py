"""A simulated world: a ledger, RPCs, devices, users, other writers, a machine, and the program in it."""

import base64
import contextlib
import hashlib
import json
import math
import random
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from msgspec import structs
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from dzbgp.ledger.networks import NETWORKS
from dzbgp.models.ledger import (
    BgpStatus,
    CyoaType,
    DeviceStatus,
    DeviceType,
    Net,
    Tenant,
    User,
    UserStatus,
    UserType,
)
from dzbgp.models.ledger import Device as DeviceAccount
from simulation import devices as device_models
from simulation import rpc
from simulation.agent import Agent
from simulation.chain import SLOT_S, START_SLOT, Chain, Report
from simulation.kernel import Kernel, Killed, Process
from simulation.oracle import MAX_AGE_S, Oracle
from simulation.schedule import FOREVER_S, Event, Schedule

PROGRAM = NETWORKS["localnet"].program_id
TOKEN = "secret-token-4711"
_RENDER_S = 15.0
"""The controller polls every 10 s, and devices fetch every 5 s."""
NEW_USER_S = 75.0
"""A user that is this new needs no report yet."""
_BASE_NET = 0xA9FE0000  # 169.254.0.0


def key_of(name: str) -> Pubkey:
    """Return an account's key, which only its name decides."""
    return Pubkey(hashlib.sha256(name.encode()).digest())


TENANT = Tenant(key_of("tenant"), "tenant-a", 2)


@dataclass
class Disk:
    """The machine's disk."""

    full_until: float = -1e6
    kill_after: int = 0
    """The process is killed after so many more changes."""


@dataclass
class World:
    """Everything but the program."""

    kernel: Kernel
    schedule: Schedule
    directory: Path
    random: random.Random
    chain: Chain
    pool: rpc.Pool
    oracle: Oracle
    devices: list[device_models.Device]
    accounts: list[DeviceAccount]
    publisher: Keypair
    users: list[User]
    """The accounts as they were made, by number; later ones behind."""
    agents: list[Agent] = field(default_factory=list)
    disk: Disk = field(default_factory=Disk)
    processes: list[Process] = field(default_factory=list)
    start: Callable[[str, list[str], str], object] = lambda *_: None
    """Starts the program with a command and options, under a name."""
    after_looks: list[Any] = field(default_factory=list)
    """After how many more looks, and how many seconds after that, which event happens."""
    in_vain_at: float = -1e6
    """When a pass last ended with another exit code than 0."""
    calm_at: float = math.inf
    """When the trouble was ended, and the faults forgotten."""
    set_back_s: float = 0.0
    """By how much the machine's clock was set off, in all."""
    changed_at: dict[Pubkey, float] = field(default_factory=dict)
    """When something other than the program last changed a user or its account."""

    # Users and their sessions

    def add_user(self, user: User, device: int, *, is_up: bool | None) -> None:
        """Let a user be on the ledger and, unless `is_up` is None, on its device."""
        number = len(self.users)
        self.users.append(user)
        self.oracle.names[user.pubkey] = f"user {number}"
        self.oracle.addresses[user.pubkey] = self.address(user)
        self._touch(user.pubkey)
        self.chain.put_user(user)
        if is_up is not None:
            self.configure(user, device, is_up=is_up)

    def _touch(self, key: Pubkey) -> None:
        self.changed_at[key] = self.kernel.now or -1e6

    @staticmethod
    def address(user: User) -> str:
        """Return the address of a user's neighbor."""
        net = user.tunnel_net.address | 1
        return ".".join(str(net >> shift & 255) for shift in (24, 16, 8, 0))

    @staticmethod
    def _vrf(user: User) -> str:
        """Return where the controller puts a user; one of a tenant that it does not know goes to vrf1."""
        if user.user_type is UserType.MULTICAST:
            return "default"
        return f"vrf{TENANT.vrf_id}" if user.tenant_pk == TENANT.pubkey else "vrf1"

    def configure(self, user: User, device: int, *, is_up: bool) -> None:
        """Let the device have the user's neighbor."""
        address = self.address(user)
        since = self.kernel.now - (100_000.0 if self.kernel.now == 0 else 0.0)
        self.devices[device].peers[address] = device_models.Peer(
            self._vrf(user),
            address,
            f"USER-{user.tunnel_id}",
            3_000 + user.tunnel_id,
            [(since, is_up)],
            user.pubkey,
        )

    def device_of(self, user: User) -> int | None:
        """Return the number of the device that the ledger has the user on now."""
        now = self.chain.user(user.pubkey)
        return None if now is None else self.oracle.device_of[now.device_pk]

    def set_session(self, number: int, *, is_up: bool) -> None:
        """Let a user's session come or go, if its device has the neighbor."""
        device = self.device_of(self.users[number])
        if device is not None:
            self._set(self.devices[device].peers.get(self.address(self.users[number])), is_up=is_up)

    def _set(self, peer: device_models.Peer | None, *, is_up: bool) -> None:
        if peer is not None and peer.is_up is not is_up:
            peer.states.append((self.kernel.now, is_up))

    def true_status(self, key: Pubkey) -> BgpStatus | None:
        """Return what is true of a user now; None where there is no neighbor, or no such user."""
        user = self.chain.user(key)
        if user is None:
            return None
        peer = self.devices[self.oracle.device_of[user.device_pk]].peers.get(self.oracle.addresses[key])
        if peer is None:
            return None
        return BgpStatus.UP if peer.is_up else BgpStatus.DOWN

    def down_since(self, key: Pubkey) -> float:
        """Return since when a user's session is down, or gone."""
        user = self.chain.user(key)
        if user is None:
            return -1e6
        device = self.devices[self.oracle.device_of[user.device_pk]]
        peer = device.peers.get(self.oracle.addresses[key])
        return peer.since if peer else device.changed_at

    def stable_since(self, key: Pubkey) -> float:
        """Return since when nothing but the program has changed what is true, or what is onchain, of a user."""
        user = self.chain.user(key)
        since = self.changed_at.get(key, -1e6)
        if user is not None:
            device = self.devices[self.oracle.device_of[user.device_pk]]
            peer = device.peers.get(self.oracle.addresses[key])
            since = max(since, peer.since if peer else device.changed_at)
        return since

    def wrong(self, user: User) -> str:
        """Say what is wrong onchain with a user; nothing when it is right, or not due."""
        true, said = self.true_status(user.pubkey), user.bgp_status
        if user.status is not UserStatus.ACTIVATED or true is said:
            return ""
        if true is None and said is not BgpStatus.UP:
            return ""
        truth = "not configured" if true is None else true.label
        return f"{self.oracle.names[user.pubkey]} is {said.label} onchain, but its session is {truth}"

    def wrong_users(self) -> list[str]:
        """Say what is wrong onchain now with users whose devices can be read."""
        return [
            words
            for user in self.chain.users()
            if not self.devices[self.oracle.device_of[user.device_pk]].faults and (words := self.wrong(user))
        ]

    def check_pass(self, process: Process, started: float, code: int, reasons: Mapping[str, str]) -> None:
        """Find an exit code that hides something that was wrong all the time, and still is."""
        if code == 1 and any(signed.process is process for signed in self.oracle.signed.values()):
            self.oracle.find("hidden", f"{process.name} has sent something, and ended with exit code 1")
        if code not in {1, 2} and self.oracle.remembered_at <= self.oracle.begun_at:
            self.oracle.remembered_at = self.kernel.now
        if code != 0:
            self.in_vain_at = self.kernel.now
            return
        if started < self.calm_at <= self.kernel.now:
            # The faults that it met are forgotten.
            return
        silent = {"silent", "failing", "no_bgp", "other_device"}
        for device in self._asked(started):
            if any(
                fault.kind in silent and fault.start <= started and fault.end > self.kernel.now
                for fault in device.faults
            ):
                self.oracle.find("hidden-device", f"{device.code} gave no credible answer; exit code 0")
        for user in self.chain.users():
            self._check_user(user, started, reasons)

    def _asked(self, started: float) -> list[device_models.Device]:
        """Return the devices that have neighbors, and users on the ledger since before a pass began."""
        numbers = {
            self.oracle.device_of[user.device_pk]
            for user in self.chain.users()
            if user.status is UserStatus.ACTIVATED and self.changed_at.get(user.pubkey, -1e6) <= started
        }
        return [device for device in self.devices if device.number in numbers and device.peers]

    def _check_user(self, user: User, started: float, reasons: Mapping[str, str]) -> None:
        why = reasons.get(str(user.pubkey), "not in the report")
        since = self.stable_since(user.pubkey)
        faults = self.devices[self.oracle.device_of[user.device_pk]].faults
        if user.bgp_status is not BgpStatus.UP and any(
            fault.kind == "empty_vrf" and fault.start <= self.kernel.now and fault.end > started
            for fault in faults
        ):
            # As if the neighbor were gone: nothing is due, and nothing tells it from the truth.
            return
        if user.bgp_status is BgpStatus.UNKNOWN:
            # Whom the program saw first a short while ago is new: its device did not answer, or none asked.
            ended = [min(fault.end, started) for fault in faults]
            since = max([since, *ended, self.disk.full_until]) + 2 * self.schedule.interval_s
            if why == "new-user":
                # Runs before may have been refused for as long as another one followed its writes, or stood still.
                since = max(since, self.in_vain_at) + 2 * MAX_AGE_S
        # How old a believed ledger may be, is measured by the machine's clock: with one that is slow, older by so much.
        quiet_s = started - since + min(0.0, self.kernel.wall_offset)
        if why == "grace":
            # By a clock that was set back it lasts longer.
            quiet_s -= self.set_back_s
        if quiet_s > max(NEW_USER_S, self.schedule.grace_s) and (words := self.wrong(user)):
            self.oracle.find(
                "hidden", f"{words}, for {quiet_s:.0f} s before the pass ({why}); its exit code is 0"
            )

    # Events

    def looked(self, look: device_models.Look) -> None:
        """Let happen what waits for a device's answer to the program."""
        self.oracle.looked(look)
        for waiting in list(self.after_looks):
            waiting[0] -= 1
            if waiting[0] <= 0:
                self.after_looks.remove(waiting)
                self._happen_after(waiting[1], waiting[2])

    def _happen_after(self, delay_s: float, event: Event) -> None:
        """Let an event happen later, unless it is calm by then: nothing would end its trouble."""
        self.kernel.after(delay_s, lambda: self.happen(event) if self.kernel.now < self.calm_at else None)

    def _on_at_look(self, looks: int, delay_s: float, kind: str, *args: float | str) -> None:
        self.after_looks.append([looks, delay_s, Event(self.kernel.now, kind, args)])

    def happen(self, event: Event) -> None:
        """Let an event of the schedule happen."""
        if event.kind in {"ban", "delete", "recreate", "successor", "move"}:
            self.oracle.left_at = self.kernel.now
        getattr(self, f"_on_{event.kind.replace('-', '_')}")(*event.args)

    def _on_up(self, user: int) -> None:
        self.set_session(user, is_up=True)

    def _on_down(self, user: int) -> None:
        self.set_session(user, is_up=False)

    def _on_all_up(self, device: int) -> None:
        for peer in self.devices[device].peers.values():
            self._set(peer, is_up=True)

    def _on_all_down(self, device: int) -> None:
        for peer in self.devices[device].peers.values():
            self._set(peer, is_up=False)

    def _change_status(self, number: int, status: UserStatus) -> None:
        user = self.chain.user(self.users[number].pubkey)
        if user is not None:
            self._touch(user.pubkey)
            self.chain.put_user(structs.replace(user, status=status))

    def _on_ban(self, number: int) -> None:
        self._change_status(number, UserStatus.BANNED)
        self._unrender(self.users[number], self.device_of(self.users[number]))

    def _on_unban(self, number: int) -> None:
        self._change_status(number, UserStatus.ACTIVATED)
        self._render(self.users[number])

    def _on_delete(self, number: int) -> None:
        user = self.users[number]
        device = self.device_of(user)
        self.chain.remove(user.pubkey)
        self._unrender(user, device)

    def _on_recreate(self, number: int) -> None:
        user = self.users[number]
        if self.chain.user(user.pubkey) is None:
            return
        self._touch(user.pubkey)
        self.chain.put_user(_fresh(structs.replace(user, device_pk=self._device_pk(user))))

    def _on_successor(self, number: int) -> None:
        """Delete a user and make another one, which is given the same tunnel."""
        user = self.users[number]
        if self.chain.user(user.pubkey) is None:
            return
        device_pk = self._device_pk(user)
        self.chain.remove(user.pubkey)
        heir = structs.replace(
            _fresh(user),
            pubkey=key_of(f"heir {len(self.users)}"),
            device_pk=device_pk,
            client_ip=f"198.51.100.{200 + len(self.users) % 50}",
        )
        device = self.oracle.device_of[device_pk]
        self.add_user(heir, device, is_up=None)
        # The old session lives on until the device has its new configuration.
        self.kernel.after(_RENDER_S, lambda: self._replace(heir, device))

    def _replace(self, heir: User, device: int) -> None:
        now = self.chain.user(heir.pubkey)
        if now is not None and self.device_of(heir) == device:
            self.configure(heir, device, is_up=False)

    def _device_pk(self, user: User) -> Pubkey:
        now = self.chain.user(user.pubkey)
        return now.device_pk if now else user.device_pk

    def _on_twin(self, device: int, status: str) -> None:
        """Add a second account of a device, as if it was registered again."""
        account = self.accounts[device]
        twin = replace(account, pubkey=key_of(f"twin {device}"), status=DeviceStatus[status.upper()])
        self.chain.put_device(twin)

    def _on_odd_user(self, device: int, prefix_len: int) -> None:
        """Add a user whose tunnel net is not a /31; no device is configured with it."""
        number = len(self.users)
        odd = structs.replace(
            _fresh(self.users[0]),
            pubkey=key_of(f"user {number}"),
            device_pk=self.accounts[device].pubkey,
            client_ip=f"198.51.100.{150 + number}",
            tunnel_id=900,
            tunnel_net=Net(_BASE_NET + 2 * device * self.schedule.users, prefix_len),
        )
        self.add_user(odd, device, is_up=None)
        self.oracle.addresses[odd.pubkey] = "none"

    def _on_decoy(self, number: int, is_up: int) -> None:
        """Let the user's device have a neighbor of its address in another VRF."""
        user = self.users[number]
        device = self.device_of(user)
        if device is not None:
            since = self.kernel.now - 1_000_000.0
            elsewhere = "vrf3" if self._vrf(user) == "vrf2" else "vrf2"
            decoy = device_models.Peer(
                elsewhere, self.address(user), "their own", 700, [(since, bool(is_up))], user.owner
            )
            self.devices[device].decoys.append(decoy)

    def _on_new_ledger(self, first_slot: int) -> None:
        """Restart the ledger, as local ones do."""
        self.chain.begin_anew(first_slot)
        self.oracle.begin_anew()
        for key in self.oracle.names:
            self._touch(key)

    def _on_beside(self, *words: str) -> None:
        """Let somebody start another run beside what runs."""
        label = "dry" if "--dry-run" in words else "beside"
        self.start("run", [*words, "--output", "json"], label)

    def _on_hup(self) -> None:
        for process in self.processes:
            if process.threads and process.handlers.get("hup"):
                self.kernel.signal(process.threads[0], process.handlers["hup"])

    def _on_unlink_lock(self) -> None:
        """Let somebody tidy up."""
        for file in self.directory.glob("*.lock"):
            file.unlink()

    def _on_move(self, number: int, device: int) -> None:
        user = self.chain.user(self.users[number].pubkey)
        if user is None:
            return
        old = self.device_of(user)
        self._touch(user.pubkey)
        self.chain.put_user(structs.replace(user, device_pk=self.accounts[device].pubkey))
        if old != device:
            self._unrender(user, old)
            self._render(user)

    def _render(self, user: User) -> None:
        def render() -> None:
            now = self.chain.user(user.pubkey)
            device = self.device_of(user)
            if now is None or now.status is not UserStatus.ACTIVATED or device is None:
                return
            if self.address(user) not in self.devices[device].peers:
                self.configure(user, device, is_up=False)

        self.kernel.after(_RENDER_S, render)
        number = self.users.index(next(one for one in self.users if one.pubkey == user.pubkey))
        self.kernel.after(_RENDER_S + 10, lambda: self.set_session(number, is_up=True))

    def _unrender(self, user: User, device: int | None) -> None:
        def unrender() -> None:
            now = self.chain.user(user.pubkey)
            if now is not None and now.status is UserStatus.ACTIVATED and self.device_of(user) == device:
                return
            if device is not None:
                self.devices[device].peers.pop(self.address(user), None)
                self.devices[device].changed_at = self.kernel.now

        self.kernel.after(_RENDER_S, unrender)

    def _on_device(self, kind: str, device: int, length: float, amount: float) -> None:
        now = self.kernel.now
        self.devices[device].faults.append(device_models.Fault(kind, now, now + length, device, amount))

    def _on_rpc(self, kind: str, endpoint: int, node: int, length: float, amount: float) -> None:
        now = self.kernel.now
        one = None if node < 0 else node % self.schedule.nodes
        self.pool.faults.append(rpc.Fault(kind, now, now + length, endpoint, one, amount))

    def _on_fork(self, depth: int, share: float) -> None:
        def again() -> int | None:
            return self.random.randint(5, 60) if self.random.random() < share else None

        self.oracle.has_forked(self.chain.fork(depth, again))
        for key in self.oracle.names:
            self._touch(key)

    def _on_kill(self) -> None:
        for process in self.processes:
            self.kernel.kill(process)

    def _on_kill_at_save(self, count: int) -> None:
        self.disk.kill_after = count

    def _on_kill_at_send(self, count: int) -> None:
        self.pool.kill_after = count

    def _on_term(self) -> None:
        for process in self.processes:
            if not process.is_dead and process.threads and process.handlers.get("term"):
                self.kernel.signal(process.threads[0], process.handlers["term"])

    def _on_pause(self, seconds: float) -> None:
        for process in self.processes:
            self.kernel.pause(process, seconds)

    def _on_clock(self, seconds: float) -> None:
        self.kernel.wall_offset += seconds
        self.set_back_s += abs(seconds)

    def _on_disk(self, seconds: float) -> None:
        self.disk.full_until = self.kernel.now + seconds

    def _on_other_report(self, which: float, status: str) -> None:
        """Report a user as another writer that has the key too, right or wrong."""
        users = [user for user in self.chain.users() if user.status is UserStatus.ACTIVATED]
        if users:
            user = users[int(which * len(users))]
            said = BgpStatus.UP if status == "up" else BgpStatus.DOWN
            self._touch(user.pubkey)
            self.chain.report(Report(user.pubkey, user.device_pk, self.publisher.pubkey(), said, 0), "other")

    def calm(self) -> None:
        """End all trouble but what stands; sessions stay as they are."""
        self.calm_at = self.kernel.now
        self.pool.faults = [fault for fault in self.pool.faults if fault.end >= FOREVER_S]
        self.disk.full_until = min(self.disk.full_until, self.kernel.now)
        self.disk.kill_after = self.pool.kill_after = 0
        self.kernel.wall_offset = 0.0
        for device in self.devices:
            device.faults = [fault for fault in device.faults if fault.end >= FOREVER_S]
        self.after_looks.clear()
        for agent in self.agents:
            agent.stop()
        for process in self.processes:
            process.paused_until = 0.0


class Connection(sqlite3.Connection):
    """A database on the simulated disk, of one process."""

    kernel: Kernel
    disk: Disk

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._process = self.kernel.current.process
        super().__init__(*args, **kwargs)

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        """Execute, if the process lives and the disk has room."""
        word = sql.split(None, 1)[0].upper()
        self._may_write(word in {"BEGIN", "INSERT", "UPDATE", "DELETE", "CREATE"})
        done = super().execute(sql, *args)
        if word == "COMMIT":
            self._was_saved()
        return done

    def executemany(self, *args: Any) -> sqlite3.Cursor:
        """As `execute`."""
        self._may_write(True)
        return super().executemany(*args)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        if self._process is not None and self._process.is_dead:
            super().rollback()
            return False
        done = super().__exit__(kind, error, trace)
        if kind is None:
            self._was_saved()
        return done

    def _may_write(self, is_write: bool) -> None:
        if self._process is not None and self._process.is_dead:
            raise Killed
        if is_write and self.disk.full_until > self.kernel.now:
            raise sqlite3.OperationalError("database or disk is full")

    def _was_saved(self) -> None:
        if self.disk.kill_after:
            self.disk.kill_after -= 1
            if self.disk.kill_after == 0 and self._process is not None:
                self.kernel.kill(self._process)
                raise Killed


_real_connect = sqlite3.connect


def connect(*args: Any, **kwargs: Any) -> sqlite3.Connection:
    """Open a database on the simulated disk."""
    return _real_connect(*args, factory=Connection, **kwargs)


@contextlib.contextmanager
def made(kernel: Kernel, schedule: Schedule) -> Iterator[World]:
    """Make the world of a schedule."""
    rng = random.Random(schedule.seed + 1)
    directory = Path(
        tempfile.mkdtemp(prefix="simulation-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
    )
    publisher = Keypair.from_seed(bytes(key_of("publisher")))
    chain = Chain(kernel, PROGRAM)
    oracle = Oracle(kernel, chain, schedule.mode)
    chain.on_landing = oracle.has_landed
    pool = rpc.Pool(kernel, chain, rng, TOKEN, schedule.endpoints, schedule.nodes)
    pool.on_sign, pool.on_read = oracle.was_signed, oracle.was_read
    oracle.is_refused = pool.is_refused
    fleet = [
        device_models.Device(kernel, number, f"sim-dz-{number:03d}", f"203.0.113.{number + 1}", rng)
        for number in range(schedule.devices)
    ]
    accounts = [_device_account(device, publisher.pubkey()) for device in fleet]
    world = World(kernel, schedule, directory, rng, chain, pool, oracle, fleet, accounts, publisher, [])
    oracle.down_since = world.down_since
    for one in fleet:
        one.on_look = world.looked
    for number, account in enumerate(accounts):
        oracle.device_of[account.pubkey] = number
        chain.put_device(account)
    chain.put_tenant(TENANT)
    for device in range(schedule.devices):
        for tunnel in range(schedule.users):
            _add(world, device, tunnel, rng)
    for event in schedule.standing:
        world.happen(event)
    world.agents = [Agent(kernel, world, number) for number in schedule.agents]
    device_models.Connection.devices = {f"{device.code}.invalid": device for device in fleet}
    rpc.Transport.pool = pool
    Connection.kernel, Connection.disk = kernel, world.disk
    try:
        yield world
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _fresh(user: User) -> User:
    """Return a user that was never reported."""
    return structs.replace(
        user, bgp_status=BgpStatus.UNKNOWN, last_bgp_reported_at=0, last_bgp_up_at=0, bgp_rtt_ns=0
    )


def _device_account(device: device_models.Device, publisher: Pubkey) -> DeviceAccount:
    return DeviceAccount(
        pubkey=key_of(device.code),
        owner=key_of("owner"),
        location_pk=key_of("location"),
        exchange_pk=key_of("exchange"),
        device_type=DeviceType.HYBRID,
        public_ip=device.public_ip,
        status=DeviceStatus.ACTIVATED,
        code=device.code,
        dz_prefixes=(),
        metrics_publisher_pk=publisher,
        contributor_pk=key_of("contributor"),
        mgmt_vrf="",
    )


def _add(world: World, device: int, tunnel: int, rng: random.Random) -> None:
    number = device * world.schedule.users + tunnel
    status = rng.choice((BgpStatus.UP, BgpStatus.UP, BgpStatus.UP, BgpStatus.DOWN, BgpStatus.UNKNOWN))
    age = int(rng.choice((600, 7_200, 30_000)) / SLOT_S)
    reported = 0 if status is BgpStatus.UNKNOWN else START_SLOT - age
    tenant = rng.choice((*[Pubkey.default()] * 4, TENANT.pubkey, key_of("unknown tenant")))
    user = User(
        pubkey=key_of(f"user {number}"),
        owner=key_of("owner"),
        index=number,
        bump_seed=255,
        user_type=UserType.MULTICAST if rng.random() < 0.1 else UserType.IBRL,
        tenant_pk=tenant,
        device_pk=world.accounts[device].pubkey,
        cyoa_type=CyoaType.GRE_OVER_DIA,
        client_ip=f"198.51.100.{number + 1}",
        dz_ip=f"198.51.100.{number + 1}",
        tunnel_id=500 + tunnel,
        tunnel_net=Net(_BASE_NET + 2 * number, 31),
        status=UserStatus.ACTIVATED,
        publishers=(),
        subscribers=(),
        validator_pubkey=Pubkey.default(),
        tunnel_endpoint="0.0.0.0",
        tunnel_flags=0,
        bgp_status=status,
        last_bgp_up_at=reported if status is BgpStatus.UP else 0,
        last_bgp_reported_at=reported,
        bgp_rtt_ns=0,
        feed_pks=(),
        data_len=0,
        lamports=5_000_000,
    )
    is_up = (status is BgpStatus.UP) is (rng.random() < 0.85)
    world.add_user(user, device, is_up=is_up)


def keypair_file(world: World) -> Path:
    """Write the publisher's keypair as the Solana command line does."""
    path = world.directory / "publisher.json"
    path.write_text(json.dumps(list(bytes(world.publisher))))
    path.chmod(0o600)
    return path


def secrets(world: World) -> list[str]:
    """Return what must never be in any output, in the forms in which it could be."""
    whole = bytes(world.publisher)
    return [
        TOKEN,
        str(world.publisher),
        whole.hex()[:64],
        base64.b64encode(whole).decode()[:40],
        json.dumps(list(whole))[1:60],
        ",".join(map(str, whole[:16])),
    ]
