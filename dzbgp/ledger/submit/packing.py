"""Packs as many writes into a transaction as its bytes allow."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.keypair import Keypair
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
    """Writes of one publisher that go, or fail, together in one transaction."""

    publisher: Pubkey
    writes: tuple[Write, ...]

    def without(self, index: int) -> "Batch":
        """Gives the batch without its write number `index`."""
        return Batch(self.publisher, self.writes[:index] + self.writes[index + 1 :])


@dataclass(frozen=True, slots=True)
class TransactionBuilder:
    """Turns batches into transactions for one program at one price."""

    program_id: Pubkey
    priority_fee: int = 0
    """Micro-lamports per compute unit, beyond the fee per signature."""

    @property
    def overhead(self) -> int:
        """How many compute-budget instructions stand in front: what an instruction's index is off by."""
        return 2 if self.priority_fee else 1

    def message(self, batch: Batch, blockhash: Hash, compute_units: int, *, priced: bool = True) -> Message:
        """Gives the message to sign; not `priced`, its compute units cost nothing."""
        instructions = [set_compute_unit_limit(compute_units)]
        if self.priority_fee:
            instructions.append(set_compute_unit_price(self.priority_fee if priced else 0))
        instructions += [set_bgp_status(write, self.program_id) for write in batch.writes]
        return Message.new_with_blockhash(instructions, batch.publisher, blockhash)

    def signed(self, batch: Batch, signer: Keypair, blockhash: Hash, compute_units: int) -> Transaction:
        """Gives the transaction signed by the publisher, who also pays."""
        return Transaction([signer], self.message(batch, blockhash, compute_units), blockhash)

    def unsigned(self, batch: Batch) -> bytes:
        """Gives the bytes of the transaction with an empty signature, for a simulation.

        Its compute limit is the runtime's own, and nobody shall need to own the price of that.
        """
        message = self.message(batch, Hash.default(), MAX_COMPUTE_UNITS, priced=False)
        signature = NullSigner(batch.publisher).sign_message(bytes(message))
        return bytes(Transaction.populate(message, [signature]))

    def size(self, batch: Batch) -> int:
        """Gives the bytes that the batch takes as a signed transaction."""
        message = self.message(batch, Hash.default(), MAX_COMPUTE_UNITS)
        # The count of signatures is a compact-u16, one byte for what fits here.
        return 1 + _SIGNATURE_BYTES * message.header.num_required_signatures + len(bytes(message))

    def fee(self, lamports_per_signature: int, compute_units: int) -> int:
        """Gives the lamports that one transaction costs its publisher, growth of accounts left out."""
        return lamports_per_signature + -(-self.priority_fee * compute_units // 1_000_000)

    def pack(self, writes: Iterable[Write]) -> list[Batch]:
        """Packs writes by publisher, device beside device, each batch as full as its bytes allow."""
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
