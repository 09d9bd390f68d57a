"""The lab's chain: LiteSVM, and around it what LiteSVM does not have.

That is: slots that pass, commitment, blockhashes that live for a while, accounts as they were some slots ago,
and transactions that land late, never, or on a fork. Nothing here is safe to share between threads: LiteSVM
itself may be used only in the thread that made it.
"""

import hashlib
import struct
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from solders.account import Account
from solders.clock import Clock
from solders.hash import Hash
from solders.litesvm import LiteSVM
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.sysvar import CLOCK
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata

from dzbgp.lab.solana.types import Execution, Landed, Version, outcome_of, users_of

BLOCKHASH_LIFE = 150
"""Block heights for which a transaction may use a blockhash."""
KEPT_SLOTS = 1024
"""Accounts are known as they were this many slots ago."""
NOMINAL_SLOT_MS = 400
SLOTS_PER_EPOCH = 432_000
SYSTEM_PROGRAM = Pubkey.default()
SYSVAR_OWNER = Pubkey.from_string("Sysvar1111111111111111111111111111111111111")
# slot, epoch_start_timestamp, epoch, leader_schedule_epoch, unix_timestamp
_CLOCK = struct.Struct("<QqQQq")


@dataclass(frozen=True)
class Pace:
    """How time passes. `slot_ms` 0: slots pass only by hand. The others are in slots."""

    start_slot: int = 300_000_000
    slot_ms: int = NOMINAL_SLOT_MS
    confirmed_after: int = 1
    finalized_after: int = 31
    land_after: int = 0
    """A transaction lands this many slots after it was sent."""


class Chain:
    """The state of the ledger. Every public method first lets the slots pass that are due."""

    def __init__(
        self,
        accounts: Mapping[Pubkey, bytes],
        *,
        program_id: Pubkey,
        program: bytes,
        balances: Mapping[Pubkey, int],
        pace: Pace,
        generation: int = 0,
    ) -> None:
        self.program_id = program_id
        self.pace = pace
        self.landed: dict[Signature, Landed] = {}
        self._base = pace.start_slot
        self._started = time.monotonic()
        self._generation = generation
        self._frozen_at: float | None = None
        self._slot = pace.start_slot
        # Fewer blocks than slots, as on a real cluster: who takes one for the other is found out.
        self._skipped = pace.start_slot // 12
        self._versions: defaultdict[Pubkey, list[Version]] = defaultdict(list)
        self._due: list[tuple[int, VersionedTransaction]] = []
        # Blockhashes and duplicates are checked here: LiteSVM knows one blockhash only.
        self._svm = LiteSVM().with_sigverify(True).with_blockhash_check(False).with_transaction_history(0)
        self._set_clock()
        self._svm.add_program(program_id, program)
        for pubkey, data in accounts.items():
            self.put(pubkey, data=data, owner=program_id)
        for pubkey, lamports in balances.items():
            self.put(pubkey, lamports=lamports)

    # Slots, blocks, time

    @property
    def slot(self) -> int:
        """Return the newest slot: that of commitment processed."""
        now = self._base
        if self.pace.slot_ms:
            at = time.monotonic() if self._frozen_at is None else self._frozen_at
            now += int((at - self._started) * 1000 / self.pace.slot_ms)
        while self._due and self._due[0][0] <= now:
            self._slot, tx = self._due.pop(0)
            self._land(tx)
        self._slot = now
        return now

    def freeze(self) -> None:
        """Let no slot pass from now on, until `thaw`."""
        self._frozen_at = self._frozen_at or time.monotonic()

    def thaw(self) -> None:
        """Let slots pass again, from where they stood."""
        if self._frozen_at is not None:
            self._started += time.monotonic() - self._frozen_at
            self._frozen_at = None

    def advance(self, slots: int) -> int:
        """Let `slots` slots pass at once; return the new slot."""
        self._base += slots
        return self.slot

    def slot_at(self, commitment: str) -> int:
        """Return the newest slot of a commitment level."""
        behind = {"processed": 0, "confirmed": self.pace.confirmed_after}
        return self.slot - behind.get(commitment, self.pace.finalized_after)

    def height(self, slot: int) -> int:
        """Return the block height of a slot."""
        return slot - self._skipped

    def unix_time(self, slot: int) -> int:
        """Return when a slot was produced, in seconds since 1970: the newest one just now."""
        stood_s = 0.0 if self._frozen_at is None else time.monotonic() - self._frozen_at
        return int(time.time() - stood_s - (self._slot - slot) * self.slot_duration_ms / 1000)

    @property
    def genesis_hash(self) -> Hash:
        """Return what tells this ledger from another one. `begin_anew` makes it another one."""
        return self.blockhash(self._generation)

    def begin_anew(self, slot: int) -> None:
        """Start another ledger at `slot`, with the accounts as they are and no transaction."""
        accounts = {pubkey: versions[-1] for pubkey, versions in self._versions.items()}
        self._generation += 1
        self._base, self._started, self._slot = slot, time.monotonic(), slot
        self._due.clear()
        self.landed.clear()
        for pubkey, version in accounts.items():
            self._versions[pubkey] = [replace(version, slot=0)]

    @property
    def slot_duration_ms(self) -> int:
        """Return how long a slot takes, as the cluster's own samples tell it."""
        return self.pace.slot_ms or NOMINAL_SLOT_MS

    def blockhash(self, slot: int) -> Hash:
        """Return the blockhash of a slot. The slot can be read off it again, so that none needs to be remembered."""
        number = slot.to_bytes(8, "big")
        return Hash(hashlib.sha256(b"dzbgp lab" + number).digest()[:24] + number)

    def knows(self, blockhash: Hash, slot: int) -> bool:
        """Return whether a transaction may use `blockhash` at `slot`."""
        made_at = int.from_bytes(bytes(blockhash)[24:], "big")
        return slot - BLOCKHASH_LIFE <= made_at <= slot and self.blockhash(made_at) == blockhash

    # Accounts

    def account(self, pubkey: Pubkey, slot: int) -> Version | None:
        """Return an account as it was at a slot; None when there was none."""
        if pubkey == CLOCK:
            epoch = slot // SLOTS_PER_EPOCH
            data = _CLOCK.pack(slot, 0, epoch, epoch + 1, self.unix_time(slot))
            return Version(slot, self.rent(len(data)), SYSVAR_OWNER, data, executable=False)
        if pubkey in self._versions:
            versions = self._versions[pubkey]
            found = next((v for v in reversed(versions) if v.slot <= slot), None)
            return found if found is not None and found.lamports else None
        self._set_clock()
        other = self._read(pubkey)  # another sysvar, or a program
        return other if other.lamports else None

    def program_accounts(self, owner: Pubkey, slot: int) -> Iterator[tuple[Pubkey, Version]]:
        """Return all accounts of a program as they were at a slot."""
        for pubkey in list(self._versions):
            account = self.account(pubkey, slot)
            if account is not None and account.owner == owner:
                yield pubkey, account

    def put(
        self,
        pubkey: Pubkey,
        *,
        data: bytes | None = None,
        lamports: int | None = None,
        owner: Pubkey | None = None,
        settled: bool = True,
    ) -> None:
        """Write an account from outside; what is not given stays, and data gets the rent that it needs.

        `settled`: as if it had always been so, at every commitment; otherwise as of the newest slot.
        """
        slot = self.slot
        old = self.account(pubkey, slot) or Version(0, 0, SYSTEM_PROGRAM, b"", executable=False)
        data = old.data if data is None else data
        rent = self._svm.minimum_balance_for_rent_exemption(len(data)) if data else 0
        balance = max(old.lamports, rent) if lamports is None else lamports
        new = Version(0 if settled else slot, balance, owner or old.owner, data, old.executable)
        if settled:
            self._versions[pubkey] = [new]
        else:
            self._remember(pubkey, new)
        self._restore(pubkey, new)

    def rent(self, size: int) -> int:
        """Return lamports that make an account of `size` bytes rent exempt."""
        return self._svm.minimum_balance_for_rent_exemption(size)

    def close(self) -> None:
        """End the runtime, in the thread that made it: the garbage collector might run in another one."""
        del self._svm

    # Transactions

    def simulate(self, tx: VersionedTransaction, *, verify: bool = True) -> Execution:
        """Run a transaction on the newest state without keeping anything; the blockhash is not looked at."""
        self._set_clock()
        self._svm.with_sigverify(verify)
        try:
            return outcome_of(self._svm.simulate_transaction(tx))
        finally:
            self._svm.with_sigverify(True)

    def send(self, tx: VersionedTransaction, delay: int | None = None) -> None:
        """Let a transaction land now, or `delay` slots from now (default: as the pace says)."""
        now = self.slot
        slots = self.pace.land_after if delay is None else delay
        if slots <= 0:
            self._land(tx)
        else:
            self._due.append((now + slots, tx))
            self._due.sort(key=lambda item: item[0])

    def undo(self, slots: int) -> None:
        """Switch to a fork without what landed in the last `slots` slots, but for what is final."""
        cut = max(self.slot - slots, self.slot_at("finalized"))
        for pubkey, versions in self._versions.items():
            if versions[-1].slot > cut:
                kept = [v for v in versions if v.slot <= cut]
                versions[:] = kept or [Version(0, 0, SYSTEM_PROGRAM, b"", executable=False)]
                self._restore(pubkey, versions[-1])
        for signature in [s for s, landed in self.landed.items() if landed.slot > cut]:
            del self.landed[signature]

    def _land(self, tx: VersionedTransaction) -> None:
        """Execute a transaction at the current slot; one that cannot pay its fee vanishes, as on clusters."""
        message, signature = tx.message, tx.signatures[0]
        if signature in self.landed or not self.knows(message.recent_blockhash, self._slot):
            return
        self._set_clock()
        keys = list(message.account_keys)
        before = [self._lamports(key) for key in keys]
        result = self._svm.send_transaction(tx)
        after = [self._lamports(key) for key in keys]
        if isinstance(result, FailedTransactionMetadata) and after[0] == before[0]:
            return
        for key in keys:
            version = self._read(key)
            if not version.executable and (key in self._versions or version.lamports):
                self._remember(key, version)
        outcome = outcome_of(result)
        users = tuple(users_of(message, self.program_id))
        self.landed[signature] = Landed(
            tx, signature, self._slot, outcome, tuple(before), tuple(after), users
        )

    def _remember(self, pubkey: Pubkey, new: Version) -> None:
        versions = self._versions[pubkey]
        if versions and versions[-1].same_as(new):
            return
        versions.append(new)
        while len(versions) > 1 and versions[1].slot < self._slot - KEPT_SLOTS:
            del versions[0]

    def _read(self, pubkey: Pubkey) -> Version:
        account = self._svm.get_account(pubkey)
        if account is None:
            return Version(self._slot, 0, SYSTEM_PROGRAM, b"", executable=False)
        return Version(self._slot, account.lamports, account.owner, bytes(account.data), account.executable)

    def _restore(self, pubkey: Pubkey, version: Version) -> None:
        account = Account(version.lamports, version.data, version.owner, version.executable, 2**64 - 1)
        self._svm.set_account(pubkey, account)

    def _lamports(self, pubkey: Pubkey) -> int:
        return self._svm.get_balance(pubkey) or 0

    def _set_clock(self) -> None:
        epoch = self._slot // SLOTS_PER_EPOCH
        self._svm.set_clock(Clock(self._slot, 0, epoch, epoch + 1, self.unix_time(self._slot)))
