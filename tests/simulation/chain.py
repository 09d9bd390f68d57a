"""A ledger as it truly is: slots, blocks, accounts as they were in each slot, transactions that land or do not.

What a node says of it is in rpc.py. SetUserBGPStatus has the effects that the program's public source gives it.
"""

import hashlib
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace
from solders.hash import Hash
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from dzbgp.lab.world.encode import encode_device, encode_tenant, encode_user
from dzbgp.models.ledger import BgpStatus, Device, Tenant, User
from simulation.kernel import EPOCH, Kernel

SLOT_S = 0.4
START_SLOT = 300_000_000
BLOCKHASH_LIFE = 150
CONFIRMED_AFTER, FINALIZED_AFTER = 2, 32
SET_BGP_STATUS = 106
NOT_ALLOWED, INVALID_ACCOUNT = 8, 9


@dataclass(frozen=True, slots=True)
class Report:
    """A write of a user's status that is in a transaction."""

    user: Pubkey
    device: Pubkey
    publisher: Pubkey
    status: BgpStatus
    rtt_ns: int


@dataclass(slots=True)
class Landed:
    """A transaction that is in a block."""

    signature: str
    slot: int
    error: Any
    reports: tuple[Report, ...]
    raw: VersionedTransaction


@dataclass(slots=True)
class _Version:
    slot: int
    data: bytes | None
    user: User | None = None
    by: str = ""
    """Whose transaction made it; empty if it is not a publisher's transaction."""


@dataclass
class Chain:
    """The true state of one ledger."""

    kernel: Kernel
    program_id: Pubkey
    genesis: str = "genesis"
    landed: dict[str, Landed] = field(default_factory=dict)
    on_landing: Callable[[Landed, dict[Pubkey, tuple[User, User]]], None] = lambda *_: None
    """Told of every report that took effect: by user what the account said before and says after."""
    _accounts: dict[Pubkey, list[_Version]] = field(default_factory=dict)
    _pending: list[tuple[int, int, VersionedTransaction]] = field(default_factory=list)
    _by: dict[str, str] = field(default_factory=dict)
    _publishers: dict[Pubkey, Pubkey] = field(default_factory=dict)
    _count: int = 0
    _first_slot: int = START_SLOT
    _began: float = 0.0

    # Slots

    @property
    def slot(self) -> int:
        """The newest slot."""
        return self.slot_at(self.kernel.now)

    def slot_at(self, now: float) -> int:
        """Return the newest slot at a time in seconds since the beginning."""
        return self._first_slot + int((now - self._began) / SLOT_S)

    def time_of(self, slot: int) -> float:
        """Return when a slot begins, in seconds since the beginning."""
        return self._began + (slot - self._first_slot) * SLOT_S

    def height(self, slot: int) -> int:
        """Return the block height of a slot: as on a real cluster there are fewer blocks than slots."""
        return slot - self._first_slot // 12

    def unix_time(self, slot: int) -> int:
        """Return when a slot was, in true Unix seconds."""
        return int(EPOCH + self.time_of(slot))

    def begin_anew(self, first_slot: int) -> None:
        """Let another ledger take the place of this one, with the same accounts, of which nothing is reported."""
        self.advance()
        self._accounts = {key: versions[-1:] for key, versions in self._accounts.items()}
        self.genesis = f"genesis at {self.kernel.now}"
        self._first_slot, self._began = first_slot, self.kernel.now
        self._pending, self.landed = [], {}
        for versions in self._accounts.values():
            last, versions[:] = versions[-1], []
            user = last.user and replace(
                last.user,
                bgp_status=BgpStatus.UNKNOWN,
                last_bgp_reported_at=0,
                last_bgp_up_at=0,
                bgp_rtt_ns=0,
            )
            versions.append(_Version(0, encode_user(user) if user else last.data, user))

    def blockhash(self, slot: int) -> Hash:
        """Return a slot's blockhash, off which the slot can be read again."""
        number = slot.to_bytes(8, "big")
        return Hash(hashlib.sha256(self.genesis.encode() + number).digest()[:24] + number)

    def slot_of(self, blockhash: Hash) -> int | None:
        """Return the slot of a blockhash of this ledger."""
        slot = int.from_bytes(bytes(blockhash)[24:], "big")
        return slot if slot <= self.slot and self.blockhash(slot) == blockhash else None

    # Accounts

    def put_device(self, device: Device) -> None:
        """Write a device's account."""
        self._put(device.pubkey, _Version(self._since(), encode_device(device)))
        self._publishers[device.pubkey] = device.metrics_publisher_pk

    def put_tenant(self, tenant: Tenant) -> None:
        """Write a tenant's account."""
        self._put(tenant.pubkey, _Version(self._since(), encode_tenant(tenant)))

    def put_user(self, user: User) -> None:
        """Write a user's account: made, moved, banned."""
        self._put(user.pubkey, _Version(self._since(), encode_user(user), user))

    def remove(self, key: Pubkey) -> None:
        """Close an account."""
        self._put(key, _Version(self._since(), None))

    def user(self, key: Pubkey, slot: int | None = None) -> User | None:
        """Return a user as it is, or was as of `slot`."""
        version = self._version(key, self.slot if slot is None else slot)
        return version.user if version else None

    def users(self) -> Iterator[User]:
        """Return all users as they are."""
        for key in list(self._accounts):
            user = self.user(key)
            if user is not None:
                yield user

    def has(self, key: Pubkey) -> bool:
        """Return whether there ever was an account of the program at `key`."""
        return key in self._accounts

    def data(self, key: Pubkey, slot: int) -> bytes | None:
        """Return an account's data as of `slot`."""
        version = self._version(key, slot)
        return version.data if version else None

    def accounts(self, slot: int) -> Iterator[tuple[Pubkey, bytes]]:
        """Return the program's accounts as of `slot`."""
        for key in self._accounts:
            data = self.data(key, slot)
            if data is not None:
                yield key, data

    def _since(self) -> int:
        return 0 if self.kernel.now == 0 else self.slot

    def _put(self, key: Pubkey, version: _Version) -> None:
        self.advance()
        self._accounts.setdefault(key, []).append(version)

    def _version(self, key: Pubkey, slot: int) -> _Version | None:
        self.advance()
        for version in reversed(self._accounts.get(key, [])):
            if version.slot <= slot:
                return version
        return None

    # Transactions

    def send(self, raw: VersionedTransaction, delay_slots: int, by: str) -> None:
        """Let a transaction land so many slots from now, if it may then."""
        self._count += 1
        self._pending.append((self.slot + delay_slots, self._count, raw))
        self._pending.sort(key=lambda item: item[:2])
        self._by[str(raw.signatures[0])] = by
        self.kernel.at(self.time_of(self.slot + delay_slots) + 1e-6, self.advance)

    def report(self, report: Report, by: str) -> None:
        """Let another writer's report take effect in this slot."""
        self.advance()
        self._execute(f"{by}-{self._count}", self.slot, (report,), by, None)
        self._count += 1

    def advance(self) -> None:
        """Execute what is due by now."""
        while self._pending and self._pending[0][0] <= self.slot:
            slot, _, raw = self._pending.pop(0)
            signature = str(raw.signatures[0])
            made_at = self.slot_of(raw.message.recent_blockhash)
            if signature in self.landed or made_at is None or slot - made_at > BLOCKHASH_LIFE:
                continue
            reports = tuple(reports_of(raw, self.program_id))
            self._execute(signature, slot, reports, self._by.get(signature, ""), raw)

    def _execute(
        self,
        signature: str,
        slot: int,
        reports: tuple[Report, ...],
        by: str,
        raw: VersionedTransaction | None,
    ) -> None:
        changes: dict[Pubkey, tuple[User, User]] = {}
        error: Any = None
        for index, report in enumerate(reports):
            code = self._refusal(report, slot)
            if code is not None:
                # compute-budget instructions stand in front
                before = 0 if raw is None else len(raw.message.instructions) - len(reports)
                error = {"InstructionError": [index + before, {"Custom": code}]}
                break
            user = self._version_at(report.user, slot)
            assert user is not None
            up_at = slot if report.status is BgpStatus.UP else user.last_bgp_up_at
            changes[report.user] = (
                user,
                replace(
                    user,
                    bgp_status=report.status,
                    bgp_rtt_ns=report.rtt_ns,
                    last_bgp_reported_at=slot,
                    last_bgp_up_at=up_at,
                ),
            )
        landed = Landed(signature, slot, error, reports, raw)  # type: ignore[arg-type] # None: another writer's
        self.landed[signature] = landed
        if error is None:
            for key, (_, after) in changes.items():
                self._accounts[key].append(_Version(slot, encode_user(after), after, by))
            self.on_landing(landed, changes)

    def _version_at(self, key: Pubkey, slot: int) -> User | None:
        found = next((v for v in reversed(self._accounts.get(key, [])) if v.slot <= slot), None)
        return found.user if found else None

    def _refusal(self, report: Report, slot: int) -> int | None:
        user = self._version_at(report.user, slot)
        device = self._publishers.get(report.device)
        if user is None:
            return INVALID_ACCOUNT
        if device != report.publisher or user.device_pk != report.device:
            return NOT_ALLOWED
        return None

    def refusal(self, reports: tuple[Report, ...]) -> tuple[int, int] | None:
        """Return the index and the code of the report that the program would refuse now."""
        self.advance()
        for index, report in enumerate(reports):
            code = self._refusal(report, self.slot)
            if code is not None:
                return index, code
        return None

    def fork(self, depth: int, again_after: Callable[[], int | None]) -> list[str]:
        """Undo what landed in the last `depth` slots, but for what is final; some of it lands again.

        `again_after` says in how many slots; None: never.
        """
        self.advance()
        cut = max(self.slot - depth, self.slot - FINALIZED_AFTER)
        undone = [landed for landed in self.landed.values() if landed.slot > cut]
        for versions in self._accounts.values():
            versions[:] = [version for version in versions if version.slot <= cut or not version.by]
        for landed in undone:
            del self.landed[landed.signature]
            delay = again_after()
            if landed.raw is not None and delay is not None:
                self.send(landed.raw, delay, self._by[landed.signature])
        return [landed.signature for landed in undone]


_DATA = struct.Struct("<BBQ")


def reports_of(raw: VersionedTransaction, program_id: Pubkey) -> Iterator[Report]:
    """Return the reports that a transaction makes."""
    keys = raw.message.account_keys
    for instruction in raw.message.instructions:
        if keys[instruction.program_id_index] != program_id:
            continue
        variant, status, rtt_ns = _DATA.unpack(bytes(instruction.data))
        assert variant == SET_BGP_STATUS
        user, device, publisher = (keys[index] for index in instruction.accounts[:3])
        yield Report(user, device, publisher, BgpStatus(status), rtt_ns)
