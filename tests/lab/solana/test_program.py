"""The onchain program: every rule through a signed transaction on the real runtime."""

import hashlib
import struct
import subprocess
from collections.abc import Iterator
from typing import Any

import debian
import pytest
from raw_accounts import (
    DOWN,
    PROGRAM,
    SYSTEM,
    UP,
    Bgp,
    bgp,
    device,
    key,
    payload,
    sign,
    user,
    user_head,
    write,
)
from solders.account import Account
from solders.clock import Clock
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata, TransactionMetadata

from dzbgp.lab.solana.program import build, elf
from dzbgp.lab.solana.types import outcome_of

SLOT = 300_000_123
DEVICE, USER = key(100), key(200)


class Runtime:
    """LiteSVM with the program, a device and a publisher."""

    def __init__(self) -> None:
        self.svm = LiteSVM().with_blockhash_check(False).with_transaction_history(0)
        self.svm.set_clock(Clock(SLOT, 0, 0, 0, 0))
        self.svm.add_program(PROGRAM, elf())
        self.publisher = Keypair.from_seed(bytes(32))
        self.svm.airdrop(self.publisher.pubkey(), 10**9)
        self.put(DEVICE, device(self.publisher.pubkey()))

    def put(self, pubkey: Pubkey, data: bytes, owner: Pubkey = PROGRAM) -> None:
        rent = self.svm.minimum_balance_for_rent_exemption(len(data))
        self.svm.set_account(pubkey, Account(rent, data, owner, executable=False, rent_epoch=0))

    def data(self, pubkey: Pubkey = USER) -> bytes:
        account = self.svm.get_account(pubkey)
        assert account is not None
        return bytes(account.data)

    def balance(self, pubkey: Pubkey) -> int:
        return self.svm.get_balance(pubkey) or 0

    def run(self, *instructions: Instruction, payer: Keypair | None = None) -> Any:
        """Return the transaction's error as the RPC reports it, None for success."""
        tx = sign(instructions, payer or self.publisher, Hash.default())
        self.result = self.svm.send_transaction(tx)
        self.outcome = outcome_of(self.result)
        return self.outcome.err

    def write(self, user_pk: Pubkey = USER, data: bytes | None = None) -> Any:
        return self.run(write(user_pk, DEVICE, self.publisher.pubkey(), data))


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    made = Runtime()
    yield made
    del made.svm


def test_up_sets_status_rtt_and_both_slots(runtime: Runtime) -> None:
    runtime.put(USER, user(DEVICE, bgp_status=DOWN, up_at=5, reported_at=6))
    assert runtime.write(data=payload(UP, 12_345_678)) is None
    assert bgp(runtime.data()) == Bgp(UP, SLOT, SLOT, 12_345_678)


def test_down_leaves_last_bgp_up_at_alone(runtime: Runtime) -> None:
    runtime.put(USER, user(DEVICE, bgp_status=UP, up_at=5, reported_at=6))
    assert runtime.write(data=payload(DOWN)) is None
    assert bgp(runtime.data()) == Bgp(DOWN, 5, SLOT, 0)


def test_unknown_can_be_written_too(runtime: Runtime) -> None:
    runtime.put(USER, user(DEVICE, bgp_status=UP, up_at=5))
    assert runtime.write(data=payload(0)) is None
    assert bgp(runtime.data()) == Bgp(0, 5, SLOT, 0)


def test_a_payload_of_two_bytes_means_no_rtt(runtime: Runtime) -> None:
    runtime.put(USER, user(DEVICE))
    runtime.write(data=payload(UP, 99))
    assert runtime.write(data=bytes([106, UP])) is None
    assert bgp(runtime.data()) == Bgp(UP, SLOT, SLOT, 0)


@pytest.mark.parametrize("data", [b"", b"\x6a", b"\x69\x01", bytes([106, 3]), bytes([106, 1, 0]), bytes(10)])
def test_another_payload_is_refused_as_invalid_instruction_data(runtime: Runtime, data: bytes) -> None:
    runtime.put(USER, user(DEVICE))
    assert runtime.write(data=data) == {"InstructionError": [0, "InvalidInstructionData"]}


def test_everything_but_the_bgp_fields_stays_as_it_was(runtime: Runtime) -> None:
    before = user(DEVICE, publishers=3, subscribers=2, feeds=4)
    runtime.put(USER, before)
    assert runtime.write(data=payload(UP, 2**64 - 1)) is None
    after = runtime.data()
    start = 132 + 4 + 96 + 4 + 64 + 32 + 5
    assert after[:start] == before[:start]
    assert after[start + 25 :] == before[start + 25 :]
    assert bgp(after) == Bgp(UP, SLOT, SLOT, 2**64 - 1)


@pytest.mark.parametrize(
    "lists", [{}, {"publishers": 2}, {"subscribers": 1}, {"publishers": 1, "subscribers": 5}]
)
def test_an_old_account_grows_wherever_it_ends_behind_its_lists(
    runtime: Runtime, lists: dict[str, int]
) -> None:
    whole = user_head(DEVICE, **lists) + bytes(4 + 1 + 1 + 8 + 8 + 8 + 4)  # type: ignore[arg-type]
    for missing in range(34 + 32 + 1):
        runtime.put(USER, whole[: len(whole) - missing])
        assert runtime.write(data=payload(UP, 7)) is None
        after = runtime.data()
        assert len(after) == len(whole)
        assert bgp(after) == Bgp(UP, SLOT, SLOT, 7)
        assert after[: len(whole) - 66] == whole[: len(whole) - 66]


def test_an_account_that_ends_before_its_lists_grows_too(runtime: Runtime) -> None:
    runtime.put(USER, user_head(DEVICE)[:132])
    assert runtime.write(data=payload(UP, 7)) is None
    assert bgp(runtime.data()) == Bgp(UP, SLOT, SLOT, 7)


def test_the_publisher_pays_the_rent_of_growth(runtime: Runtime) -> None:
    old = user_head(DEVICE)
    runtime.put(USER, old)
    rent = runtime.svm.minimum_balance_for_rent_exemption
    growth = rent(len(old) + 34) - rent(len(old))
    payer = Keypair.from_seed(b"\1" * 32)
    runtime.svm.airdrop(payer.pubkey(), 10**9)
    before = runtime.balance(runtime.publisher.pubkey())
    message = Message.new_with_blockhash(
        [write(USER, DEVICE, runtime.publisher.pubkey())], payer.pubkey(), Hash.default()
    )
    tx = VersionedTransaction(message, [payer, runtime.publisher])
    assert isinstance(runtime.svm.send_transaction(tx), TransactionMetadata)
    assert before - runtime.balance(runtime.publisher.pubkey()) == growth
    assert runtime.balance(USER) == rent(len(old) + 34)
    assert runtime.balance(payer.pubkey()) == 10**9 - 2 * 5000


def test_an_account_with_lamports_to_spare_grows_for_free(runtime: Runtime) -> None:
    data = user_head(DEVICE)
    runtime.svm.set_account(USER, Account(10**8, data, PROGRAM, executable=False, rent_epoch=0))
    before = runtime.balance(runtime.publisher.pubkey())
    assert runtime.write() is None
    assert before - runtime.balance(runtime.publisher.pubkey()) == 5000


def test_a_publisher_without_the_rent_can_not_grow_an_account(runtime: Runtime) -> None:
    runtime.put(USER, user_head(DEVICE))
    poor = runtime.svm.minimum_balance_for_rent_exemption(0) + 5000
    account = Account(poor, b"", SYSTEM, executable=False, rent_epoch=0)
    runtime.svm.set_account(runtime.publisher.pubkey(), account)
    assert runtime.write() is not None
    assert len(runtime.data()) == len(user_head(DEVICE))


def test_32_zero_bytes_in_the_place_of_feed_pks_stay(runtime: Runtime) -> None:
    data = user(DEVICE)[:-4] + bytes(32)
    runtime.put(USER, data)
    before = runtime.balance(runtime.publisher.pubkey())
    assert runtime.write() is None
    assert len(runtime.data()) == len(data)
    assert before - runtime.balance(runtime.publisher.pubkey()) == 5000


def test_a_signer_who_is_not_the_metrics_publisher_is_not_allowed(runtime: Runtime) -> None:
    runtime.put(USER, user(DEVICE))
    other = Keypair.from_seed(b"\2" * 32)
    runtime.svm.airdrop(other.pubkey(), 10**9)
    error = runtime.run(write(USER, DEVICE, other.pubkey()), payer=other)
    assert error == {"InstructionError": [0, {"Custom": 8}]}
    assert "Program log: Error: the signer is not the device's metrics publisher" in runtime.outcome.logs


def test_a_user_of_another_device_is_not_allowed(runtime: Runtime) -> None:
    runtime.put(USER, user(key(101)))
    assert runtime.write() == {"InstructionError": [0, {"Custom": 8}]}
    assert "Program log: Error: the user is not on this device" in runtime.outcome.logs


@pytest.mark.parametrize(("code", "prefixes"), [(b"", 0), (b"x" * 32, 3), (b"fra", 40)])
def test_the_publisher_is_found_behind_code_and_prefixes_of_any_length(
    runtime: Runtime, code: bytes, prefixes: int
) -> None:
    runtime.put(DEVICE, device(runtime.publisher.pubkey(), code=code, prefixes=prefixes))
    runtime.put(USER, user(DEVICE))
    assert runtime.write() is None


def test_accounts_of_another_program_are_refused(runtime: Runtime) -> None:
    runtime.put(USER, user(DEVICE), owner=key(66))
    assert runtime.write() == {"InstructionError": [0, "IncorrectProgramId"]}
    runtime.put(USER, user(DEVICE))
    runtime.put(DEVICE, device(runtime.publisher.pubkey()), owner=key(66))
    assert runtime.write() == {"InstructionError": [0, "IncorrectProgramId"]}


def test_accounts_of_another_type_are_refused(runtime: Runtime) -> None:
    runtime.put(USER, user(DEVICE, kind=8))
    assert runtime.write() == {"InstructionError": [0, {"Custom": 9}]}
    runtime.put(USER, user(DEVICE))
    runtime.put(DEVICE, device(runtime.publisher.pubkey(), kind=6))
    assert runtime.write() == {"InstructionError": [0, {"Custom": 9}]}


@pytest.mark.parametrize(
    ("field", "code"),
    [
        ({"client_ip": bytes(4)}, 26),
        ({"dz_ip": bytes(4)}, 27),
        ({"tunnel_net": bytes([10, 0, 0, 0, 31])}, 28),
        ({"tunnel_net": bytes([169, 254, 0, 0, 33])}, 28),
        ({"tunnel_id": 4596}, 29),
    ],
)
def test_a_user_whose_fields_make_no_sense_is_refused(runtime: Runtime, field: Any, code: int) -> None:
    runtime.put(USER, user(DEVICE, **field))
    assert runtime.write() == {"InstructionError": [0, {"Custom": code}]}


@pytest.mark.parametrize(
    "field",
    [{"tunnel_id": 0}, {"tunnel_id": 4595}, {"dz_ip": b"\x64\x02\x00\x01"}, {"status": 6}, {"status": 3}],
)
def test_what_the_original_accepts_is_accepted(runtime: Runtime, field: Any) -> None:
    runtime.put(USER, user(DEVICE, **field))
    assert runtime.write() is None


def test_a_pending_user_needs_no_addresses(runtime: Runtime) -> None:
    runtime.put(USER, user(DEVICE, status=0, dz_ip=bytes(4), tunnel_net=bytes(5)))
    assert runtime.write() is None


@pytest.mark.parametrize("data", [b"\7", user_head(DEVICE)[:131], user_head(DEVICE, publishers=3)[:200]])
def test_a_user_account_cut_short_is_invalid_account_data(runtime: Runtime, data: bytes) -> None:
    runtime.put(USER, data)
    assert runtime.write() == {"InstructionError": [0, "InvalidAccountData"]}


def test_list_lengths_beyond_the_account_are_invalid_account_data(runtime: Runtime) -> None:
    data = bytearray(user(DEVICE))
    struct.pack_into("<I", data, 132, 2**32 - 1)
    runtime.put(USER, bytes(data))
    assert runtime.write() == {"InstructionError": [0, "InvalidAccountData"]}


def test_a_device_account_cut_short_is_invalid_account_data(runtime: Runtime) -> None:
    runtime.put(USER, user(DEVICE))
    whole = device(runtime.publisher.pubkey())
    for length in (1, 120, 130, 150, 160, 170):
        runtime.put(DEVICE, whole[:length])
        assert runtime.write() == {"InstructionError": [0, "InvalidAccountData"]}, length


def test_a_publisher_who_did_not_sign_is_refused(runtime: Runtime) -> None:
    runtime.put(USER, user(DEVICE))
    other = Keypair.from_seed(b"\2" * 32)
    runtime.svm.airdrop(other.pubkey(), 10**9)
    metas = write(USER, DEVICE, runtime.publisher.pubkey()).accounts
    metas[2] = AccountMeta(runtime.publisher.pubkey(), is_signer=False, is_writable=True)
    error = runtime.run(Instruction(PROGRAM, payload(), metas), payer=other)
    assert error == {"InstructionError": [0, "MissingRequiredSignature"]}


def test_too_few_accounts_are_refused_and_further_ones_ignored(runtime: Runtime) -> None:
    runtime.put(USER, user(DEVICE))
    metas = write(USER, DEVICE, runtime.publisher.pubkey()).accounts
    error = runtime.run(Instruction(PROGRAM, payload(), metas[:3]))
    assert error == {"InstructionError": [0, "NotEnoughAccountKeys"]}
    extra = [*metas, metas[0], AccountMeta(key(77), is_signer=False, is_writable=False), metas[2]]
    assert runtime.run(Instruction(PROGRAM, payload(), extra)) is None


def test_one_account_in_two_places_is_told_by_its_type(runtime: Runtime) -> None:
    runtime.put(USER, user(DEVICE))
    publisher = runtime.publisher.pubkey()
    assert runtime.run(write(USER, USER, publisher)) == {"InstructionError": [0, {"Custom": 9}]}
    assert runtime.run(write(DEVICE, DEVICE, publisher)) == {"InstructionError": [0, {"Custom": 9}]}


def test_20_instructions_fit_one_transaction_and_all_take_effect(runtime: Runtime) -> None:
    users = [key(1000 + i) for i in range(20)]
    for i, one in enumerate(users):
        runtime.put(one, user(DEVICE) if i % 2 else user_head(DEVICE))
    instructions = [
        write(one, DEVICE, runtime.publisher.pubkey(), payload(UP, i)) for i, one in enumerate(users)
    ]
    assert len(bytes(sign(instructions, runtime.publisher, Hash.default()))) <= 1232
    assert runtime.run(*instructions) is None
    assert [bgp(runtime.data(one)) for one in users] == [Bgp(UP, SLOT, SLOT, i) for i in range(20)]
    assert runtime.outcome.units < 60_000


def test_a_failing_instruction_names_its_index_and_undoes_the_others(runtime: Runtime) -> None:
    users = [key(1000 + i) for i in range(12)]
    for i, one in enumerate(users):
        runtime.put(one, user(key(101) if i == 7 else DEVICE))
    before = runtime.balance(runtime.publisher.pubkey())
    instructions = [write(one, DEVICE, runtime.publisher.pubkey()) for one in users]
    assert runtime.run(*instructions) == {"InstructionError": [7, {"Custom": 8}]}
    assert isinstance(runtime.result, FailedTransactionMetadata)
    assert all(bgp(runtime.data(one)).status == 0 for one in users)
    assert before - runtime.balance(runtime.publisher.pubkey()) == 5000


def test_the_same_user_twice_in_one_transaction_ends_with_the_last(runtime: Runtime) -> None:
    runtime.put(USER, user_head(DEVICE))
    publisher = runtime.publisher.pubkey()
    up, down = write(USER, DEVICE, publisher, payload(UP, 9)), write(USER, DEVICE, publisher, payload(DOWN))
    assert runtime.run(up, down) is None
    assert bgp(runtime.data()) == Bgp(DOWN, SLOT, SLOT, 0)


@pytest.mark.parametrize("features", ["default", "mainnet"])
def test_the_program_loads_under_every_feature_set_in_use(features: str) -> None:
    runtime = Runtime()
    if features == "mainnet":
        runtime.svm = LiteSVM().with_mainnet_features().with_blockhash_check(False)
        runtime.svm.add_program(PROGRAM, elf())
        runtime.svm.airdrop(runtime.publisher.pubkey(), 10**9)
        runtime.put(DEVICE, device(runtime.publisher.pubkey()))
    runtime.put(USER, user_head(DEVICE))
    assert runtime.write() is None


def test_the_built_file_is_what_the_source_builds_to() -> None:
    debian.require("clang")
    version = subprocess.run(["clang", "--version"], capture_output=True, text=True, check=True).stdout
    if "version 14." not in version:
        pytest.skip("the built program is clang 14's; another version may write other bytes")
    digests = {hashlib.sha256(one).hexdigest() for one in (build.build(), build.build(), elf())}
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("data", "digest"),
    [(b"", 0), (b"abort", 0xB6FC1A11), (b"sol_log_", 0x207559BD), (b"hello", 0x248BFA47)],
)
def test_syscalls_are_numbered_by_murmur3(data: bytes, digest: int) -> None:
    assert build.murmur3_32(data) == digest


def test_what_can_not_be_linked_is_refused() -> None:
    with pytest.raises(ValueError, match="no rule"):
        build._relocate(bytearray(16), 0, 3, ("x", 5, 0), 1, {})
