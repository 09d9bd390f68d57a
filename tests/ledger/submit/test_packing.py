"""Transactions as full as their bytes allow, measured on really signed ones."""

import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.hash import Hash
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.transaction import Transaction

from dzbgp.ledger.program.instruction import Write
from dzbgp.ledger.submit.packing import MAX_COMPUTE_UNITS, MAX_TRANSACTION_BYTES, Batch, TransactionBuilder
from dzbgp.ledger.submit.signers import Signers
from dzbgp.models.ledger import BgpStatus

PROGRAM = Pubkey(bytes([7]) * 32)
BLOCKHASH = Hash(bytes([9]) * 32)
KEYPAIRS = [Keypair.from_seed(bytes([number]) * 32) for number in range(1, 4)]
SIGNERS = {keypair.pubkey(): keypair for keypair in KEYPAIRS}
FEES = [0, 1, 10_000]


def key(number: int) -> Pubkey:
    return Pubkey(number.to_bytes(32, "big"))


def write(user: int, device: int = 1, publisher: int = 0) -> Write:
    return Write(
        user=key(1_000_000 + user),
        device=key(1_000 + device),
        publisher=KEYPAIRS[publisher].pubkey(),
        status=BgpStatus.UP if user % 3 else BgpStatus.DOWN,
        rtt_ns=user * 1_000 if user % 3 else 0,
    )


def builder(fee: int = 0) -> TransactionBuilder:
    return TransactionBuilder(PROGRAM, fee)


def signed(batch: Batch, fee: int) -> bytes:
    message = builder(fee).message(batch, BLOCKHASH, 200_000)
    transaction = Signers(SIGNERS).sign(message, PROGRAM, [one.user for one in batch.writes])
    transaction.verify()
    return bytes(transaction)


# (device, publisher) of each write: a few publishers, each with some devices or a user alone on its device.
mixes = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 2)), max_size=90).map(
    lambda pairs: [write(number, device, publisher) for number, (device, publisher) in enumerate(pairs)]
)


@settings(max_examples=40)
@given(mixes, st.sampled_from(FEES))
def test_any_mix_is_packed_once_and_in_full_transactions_of_one_publisher(
    writes: list[Write], fee: int
) -> None:
    batches = builder(fee).pack(writes)
    assert Counter(one for batch in batches for one in batch.writes) == Counter(writes)
    for batch in batches:
        assert {one.publisher for one in batch.writes} == {batch.publisher}
        assert len(signed(batch, fee)) <= MAX_TRANSACTION_BYTES
    for batch, following in itertools.pairwise(batches):
        if following.publisher == batch.publisher:
            longer = Batch(batch.publisher, (*batch.writes, following.writes[0]))
            assert len(signed(longer, fee)) > MAX_TRANSACTION_BYTES


@settings(max_examples=40)
@given(mixes, st.sampled_from(FEES))
def test_the_size_is_that_of_the_signed_bytes(writes: list[Write], fee: int) -> None:
    for batch in builder(fee).pack(writes):
        assert builder(fee).size(batch) == len(signed(batch, fee))
        assert len(builder(fee).unsigned(batch)) == len(signed(batch, fee))


@pytest.mark.parametrize(
    ("fee", "most"), [(0, 19), (5_000, 19)], ids=["with a compute limit", "with a limit and a price"]
)
def test_as_many_writes_of_one_device_fit_as_were_measured(fee: int, most: int) -> None:
    batches = builder(fee).pack(write(number) for number in range(most + 1))
    assert [len(batch.writes) for batch in batches] == [most, 1]


@pytest.mark.parametrize("fee", FEES)
def test_a_thousand_writes_of_one_device_take_at_most_53_transactions(fee: int) -> None:
    batches = builder(fee).pack(write(number) for number in range(1_000))
    assert len(batches) <= 53
    assert sum(len(batch.writes) for batch in batches) == 1_000


def test_writes_of_a_device_are_brought_together() -> None:
    scattered = [write(number, device=number % 5) for number in range(95)]
    devices = [[one.device for one in batch.writes] for batch in builder().pack(scattered)]
    order = [device for batch in devices for device in batch]
    assert order == sorted(order, key=bytes)
    # In the order given, each transaction would name all five devices and hold two or three users fewer.
    assert len(devices) <= 6


def test_no_writes_make_no_transactions() -> None:
    assert builder().pack([]) == []


@pytest.mark.parametrize(("fee", "overhead"), [(0, 1), (5_000, 2)])
def test_compute_budget_instructions_stand_in_front_and_are_counted(fee: int, overhead: int) -> None:
    (batch,) = builder(fee).pack([write(1), write(2)])
    message = Transaction.from_bytes(signed(batch, fee)).message
    programs = [str(message.account_keys[one.program_id_index]) for one in message.instructions]
    assert programs == ["ComputeBudget111111111111111111111111111111"] * overhead + [str(PROGRAM)] * 2
    assert builder(fee).overhead == overhead


def test_an_instruction_names_user_device_publisher_and_system_program_in_this_order() -> None:
    (batch,) = builder().pack([write(4)])
    message = Transaction.from_bytes(signed(batch, 0)).message
    instruction = message.instructions[1]
    accounts = [message.account_keys[index] for index in instruction.accounts]
    assert accounts == [write(4).user, write(4).device, batch.publisher, Pubkey.default()]
    assert bytes(instruction.data) == bytes([106, 1]) + (4_000).to_bytes(8, "little")
    assert message.header.num_required_signatures == 1
    assert message.account_keys[0] == batch.publisher
    # Readonly keys stand last: those of the device, of the two programs and of the compute budget.
    assert message.header.num_readonly_unsigned_accounts == 4
    writable = [index < len(message.account_keys) - 4 for index in instruction.accounts]
    assert writable == [True, False, True, False]


def test_a_batch_without_one_of_its_writes_keeps_the_others_in_order() -> None:
    (batch,) = builder().pack([write(1), write(2), write(3)])
    first, second, third = batch.writes
    assert batch.without({second.user}) == Batch(batch.publisher, (first, third))
    assert batch.without({third.user, key(9)}) == Batch(batch.publisher, (first, second))
    assert batch.without({one.user for one in batch.writes}) is None


@pytest.mark.parametrize(
    ("fee", "units", "lamports"),
    [
        (0, MAX_COMPUTE_UNITS, 5_000),
        (1, 1, 5_001),
        (1, 1_000_000, 5_001),
        (1, 1_000_001, 5_002),
        (10_000, 200_000, 7_000),
    ],
)
def test_the_fee_is_rounded_up_to_whole_lamports(fee: int, units: int, lamports: int) -> None:
    assert builder(fee).fee(5_000, units) == lamports
