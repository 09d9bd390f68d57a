"""Packs as many writes into a transaction as its bytes allow."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.message import Message
from solders.null_signer import NullSigner
from solders.pubkey import Pubkey
from solders.transaction import Transaction

from dzbgp.ledger.program.instruction import Write, set_bgp_status

MAX_TRANSACTION_BYTES = 1232
"""What fits one packet: the network's limit on a serialized transaction."""
MAX_COMPUTE_UNITS = 1_400_000
"""The runtime's limit for one transaction; asked for until a simulation has told the real need."""
_SIGNATURE_BYTES = 64


@dataclass(frozen=True, slots=True)
class Batch:
    """Writes of one publisher that share a transaction: all of them take effect, or none."""

    publisher: Pubkey
    writes: tuple[Write, ...]

    def without(self, users: Collection[Pubkey]) -> "Batch | None":
        """Return the batch without the writes of `users`. None: nothing is left."""
        writes = tuple(write for write in self.writes if write.user not in users)
        return Batch(self.publisher, writes) if writes else None


@dataclass(frozen=True, slots=True)
class TransactionBuilder:
    """Builds transactions of batches, for one program at one price."""

    program_id: Pubkey
    priority_fee: int = 0
    """Micro-lamports per compute unit, beyond the fee per signature."""

    @property
    def overhead(self) -> int:
        """How many compute-budget instructions come first: an instruction's index counts them too."""
        return 2 if self.priority_fee else 1

    def message(self, batch: Batch, blockhash: Hash, compute_units: int, *, priced: bool = True) -> Message:
        """Return the message to sign. Unless `priced`, its compute units cost nothing."""
        instructions = [set_compute_unit_limit(compute_units)]
        if self.priority_fee:
            instructions.append(set_compute_unit_price(self.priority_fee if priced else 0))
        instructions += [set_bgp_status(write, self.program_id) for write in batch.writes]
        return Message.new_with_blockhash(instructions, batch.publisher, blockhash)

    def unsigned(self, batch: Batch) -> bytes:
        """Return the transaction with an empty signature, for a simulation.

        Its compute limit is the runtime's own. It is not priced: the publisher may not be able to pay for that much.
        """
        message = self.message(batch, Hash.default(), MAX_COMPUTE_UNITS, priced=False)
        signature = NullSigner(batch.publisher).sign_message(bytes(message))
        return bytes(Transaction.populate(message, [signature]))

    def size(self, batch: Batch) -> int:
        """Return the size of the batch as a signed transaction, in bytes."""
        message = self.message(batch, Hash.default(), MAX_COMPUTE_UNITS)
        # The count of signatures is a compact-u16, one byte for what fits here.
        return 1 + _SIGNATURE_BYTES * message.header.num_required_signatures + len(bytes(message))

    def fee(self, lamports_per_signature: int, compute_units: int) -> int:
        """Return what one transaction costs its publisher, in lamports, without the growth of accounts."""
        return lamports_per_signature + -(-self.priority_fee * compute_units // 1_000_000)

    def pack(self, writes: Iterable[Write]) -> list[Batch]:
        """Pack writes by publisher, device by device, each batch as full as its bytes allow."""
        by_publisher: dict[Pubkey, list[Write]] = defaultdict(list)
        for write in writes:
            by_publisher[write.publisher].append(write)
        batches = []
        for publisher, own in by_publisher.items():
            # A device named once serves all its users in the transaction.
            own.sort(key=lambda write: bytes(write.device))
            batches += self._fill(publisher, own)
        return batches

    def _fill(self, publisher: Pubkey, writes: list[Write]) -> list[Batch]:
        batches: list[Batch] = []
        current: list[Write] = []
        for write in writes:
            longer = Batch(publisher, (*current, write))
            if current and self.size(longer) > MAX_TRANSACTION_BYTES:
                batches.append(Batch(publisher, tuple(current)))
                current = []
            current.append(write)
        if current:
            batches.append(Batch(publisher, tuple(current)))
        return batches
