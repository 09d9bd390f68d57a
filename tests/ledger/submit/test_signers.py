"""Keypair files, good and bad; whatever is wrong with one, no byte of it is shown."""

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nobody import as_nobody, open_directory
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import transfer
from solders.transaction import Transaction

from dzbgp.errors import ExitCode, KeypairError
from dzbgp.ledger.program.instruction import Write, set_bgp_status
from dzbgp.ledger.submit.signers import Signers, UnexpectedTransactionError, load_signers
from dzbgp.models.ledger import BgpStatus

# Its bytes are all of three digits, so that none of them turns up in a message by chance.
KEYPAIR = next(
    keypair
    for keypair in (Keypair.from_seed(bytes([100 + number]) * 32) for number in range(100))
    if sum(byte >= 100 for byte in bytes(keypair)) >= 50
)
BYTES = list(bytes(KEYPAIR))


def put(path: Path, keypair: Keypair, mode: int = 0o600) -> Path:
    path.write_text(json.dumps(list(bytes(keypair))))
    path.chmod(mode)
    return path


def test_a_file_is_read_as_the_solana_command_line_writes_it(tmp_path: Path) -> None:
    signers = load_signers([put(tmp_path / "id.json", KEYPAIR)])
    assert len(signers) == 1
    assert KEYPAIR.pubkey() in signers
    assert signers.keypairs[KEYPAIR.pubkey()] == KEYPAIR


def test_files_and_directories_may_be_mixed_and_a_key_may_come_twice(tmp_path: Path) -> None:
    inside = tmp_path / "keys"
    inside.mkdir()
    others = [Keypair() for _ in range(3)]
    for number, keypair in enumerate(others):
        put(inside / f"{number}.json", keypair)
    put(inside / "again.json", KEYPAIR)
    (inside / "notes.txt").write_text("no key")
    signers = load_signers([put(tmp_path / "id.json", KEYPAIR), inside])
    assert set(signers.keypairs) == {keypair.pubkey() for keypair in [KEYPAIR, *others]}


def test_no_paths_give_no_signers() -> None:
    assert len(load_signers([])) == 0


def test_what_signers_print_is_public_keys(tmp_path: Path) -> None:
    signers = load_signers([put(tmp_path / "id.json", KEYPAIR)])
    assert repr(signers) == f"Signers({KEYPAIR.pubkey()})"
    assert str(KEYPAIR) not in repr(Signers({KEYPAIR.pubkey(): KEYPAIR}))


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o601])
def test_a_file_that_others_can_get_at_is_warned_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int
) -> None:
    path = put(tmp_path / "id.json", KEYPAIR, mode)
    with caplog.at_level(logging.WARNING):
        assert len(load_signers([path])) == 1
    (record,) = caplog.records
    assert record.getMessage() == (
        f"keypair {path} can be read by others than its owner (mode {mode:o}): chmod 600 it"
    )


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_file_of_its_owners_alone_is_not_warned_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int
) -> None:
    with caplog.at_level(logging.DEBUG):
        load_signers([put(tmp_path / "id.json", KEYPAIR, mode)])
    assert caplog.records == []


def text(content: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(content)


def raw(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


EXPECTED = "expected a Solana CLI keypair, a JSON array of 64 integers"
MALFORMED: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda _: None, "No such file or directory"),
    "a loop of links": (lambda path: path.symlink_to(path), "symbolic links"),
    "empty": (text(""), "it is not JSON"),
    "text": (text("my secret key 123"), "it is not JSON"),
    "cut short": (text(json.dumps(BYTES)[:-1]), "it is not JSON"),
    "not UTF-8": (raw(b"\xff\xfe[1,2]"), "it is not JSON"),
    "raw bytes": (raw(bytes(KEYPAIR)), "it is not JSON"),
    "deep": (text("[" * 100_000), "it is not JSON"),
    "a long number": (text("9" * 5_000), "it is not JSON"),
    "base58": (text(json.dumps(str(KEYPAIR))), "it holds a JSON string"),
    "bare base58": (text(str(KEYPAIR)), "it is not JSON"),
    "an object": (text(json.dumps({"secret": BYTES})), "it holds a JSON object"),
    "null": (text("null"), "it holds a JSON null"),
    "a boolean": (text("true"), "it holds a JSON boolean"),
    "a number": (text("123"), "it holds a JSON number"),
    "no items": (text("[]"), "it holds a JSON array of 0 items"),
    "the secret half": (text(json.dumps(BYTES[:32])), "it holds a JSON array of 32 items"),
    "one too many": (text(json.dumps([*BYTES, 1])), "it holds a JSON array of 65 items"),
    "a byte too large": (text(json.dumps([*BYTES[:63], 256])), "an item is not an integer from 0 to 255"),
    "a negative byte": (text(json.dumps([*BYTES[:63], -1])), "an item is not an integer from 0 to 255"),
    "a fraction": (text(json.dumps([*BYTES[:63], 1.5])), "an item is not an integer from 0 to 255"),
    "a string inside": (text(json.dumps([*BYTES[:63], "1"])), "an item is not an integer from 0 to 255"),
    "a boolean inside": (text(json.dumps([*BYTES[:63], True])), "an item is not an integer from 0 to 255"),
    "halves of two keys": (
        text(json.dumps(BYTES[:32] + list(bytes(Keypair.from_seed(bytes(32)).pubkey())))),
        "its public key does not belong to its secret key",
    ),
}


def shows_the_key(message: str) -> bool:
    """Return whether a message holds a part of the key: bytes, base58 or hexadecimal."""
    encoded, hexadecimal = str(KEYPAIR), bytes(KEYPAIR).hex()
    runs = [encoded[at : at + 8] for at in range(len(encoded) - 8)]
    runs += [hexadecimal[at : at + 8] for at in range(len(hexadecimal) - 8)]
    return any(run in message for run in runs) or bool(re.search(r"\d+,\s*\d+", message))


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_keypair_is_told_by_file_finding_and_expectation_and_never_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    make, found = MALFORMED[case]
    path = tmp_path / "id.json"
    make(path)
    with caplog.at_level(logging.DEBUG), pytest.raises(KeypairError) as caught:
        load_signers([path])
    message = str(caught.value)
    assert message.startswith(f"--keypair {path}: ")
    assert found in message
    assert message.endswith(EXPECTED)
    assert "\n" not in message
    assert caught.value.exit_code is ExitCode.USAGE
    # Neither the message nor what a traceback would chain to it.
    assert not shows_the_key(message)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert not shows_the_key(caplog.text)


@pytest.mark.parametrize("case", [case for case in MALFORMED if case != "missing"])
def test_in_a_directory_what_is_no_keypair_is_passed_over_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    make, found = MALFORMED[case]
    make(tmp_path / "bad.json")
    put(tmp_path / "good.json", KEYPAIR)
    with caplog.at_level(logging.WARNING):
        signers = load_signers([tmp_path])
    assert set(signers.keypairs) == {KEYPAIR.pubkey()}
    (record,) = caplog.records
    assert str(tmp_path / "bad.json") in record.getMessage()
    assert found in record.getMessage()
    assert not shows_the_key(record.getMessage())


def test_a_directory_without_any_json_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "id.txt").write_text("[]")
    with pytest.raises(KeypairError, match=r"the directory holds no \*\.json file") as caught:
        load_signers([tmp_path])
    assert str(tmp_path) in str(caught.value)


def test_a_directory_called_like_a_keypair_inside_a_directory_is_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "old.json").mkdir()
    put(tmp_path / "id.json", KEYPAIR)
    assert len(load_signers([tmp_path])) == 1
    assert "it is not a file; skipped" in caplog.text


def test_a_file_that_may_not_be_read_is_told_so() -> None:
    with open_directory(0o755) as place:
        file = put(place / "id.json", KEYPAIR, 0o000)
        said = as_nobody(lambda: str(load_signers([file])))
    assert "KeypairError" in said
    assert "Permission denied" in said


@pytest.mark.parametrize(
    "given",
    [
        json.dumps(BYTES),
        json.dumps(BYTES).replace(" ", ""),
        json.dumps(BYTES).split()[0],
        str(BYTES[:20]),
        str(KEYPAIR),
        bytes(KEYPAIR).hex(),
    ],
    ids=["array", "dense array", "first word of an array", "short array", "base58", "hexadecimal"],
)
def test_a_key_given_in_the_place_of_its_path_is_not_shown(given: str) -> None:
    with pytest.raises(KeypairError, match="looks like a key itself") as caught:
        load_signers([Path(given)])
    message = str(caught.value)
    assert not shows_the_key(message)
    assert str(BYTES[0]) not in message


def test_a_path_too_long_to_be_one_is_not_shown() -> None:
    with pytest.raises(KeypairError, match=r"File name too long \(360 characters\)") as caught:
        load_signers([Path("secret-0-" * 40)])
    assert "secret" not in str(caught.value)


@settings(max_examples=60)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
        lambda inner: st.lists(inner, max_size=66) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=70,
    )
)
def test_no_json_at_all_raises_anything_but_keypair_error(
    tmp_path_factory: pytest.TempPathFactory, content: object
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(content))
    with pytest.raises(KeypairError):
        load_signers([path])


def test_a_pipe_in_a_key_directory_is_passed_over_and_not_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    put(tmp_path / "id.json", KEYPAIR)
    assert KEYPAIR.pubkey() in load_signers([tmp_path])
    assert "pipe.json: it is not a file; skipped" in caplog.text


def test_a_credential_of_systemd_needs_no_chmod(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "publisher.json"
    put(file, KEYPAIR)
    file.chmod(0o440)
    load_signers([file])
    assert "chmod 600" in caplog.text
    caplog.clear()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    load_signers([file])
    assert not caplog.text


# The one place that signs

PROGRAM, DEVICE, USER = (Pubkey.from_bytes(bytes([number]) * 32) for number in (1, 2, 3))
HASH = Hash.default()
STATUS = set_bgp_status(Write(USER, DEVICE, KEYPAIR.pubkey(), BgpStatus.DOWN), PROGRAM)
LIMIT = set_compute_unit_limit(1_000)


def with_data(data: bytes) -> Instruction:
    return Instruction(PROGRAM, data, STATUS.accounts)


def sign(*instructions: Instruction, users: tuple[Pubkey, ...] = (USER,)) -> Transaction:
    message = Message.new_with_blockhash(list(instructions), KEYPAIR.pubkey(), HASH)
    return Signers({KEYPAIR.pubkey(): KEYPAIR}).sign(message, PROGRAM, users)


def test_a_status_of_a_user_of_this_pass_is_signed() -> None:
    sign(LIMIT, set_compute_unit_price(5), STATUS).verify()


@pytest.mark.parametrize(
    "instruction",
    [
        transfer({"from_pubkey": KEYPAIR.pubkey(), "to_pubkey": USER, "lamports": 1}),
        with_data(bytes([105]) + STATUS.data[1:]),
        with_data(STATUS.data + b"x"),
        with_data(b""),
        Instruction(DEVICE, STATUS.data, STATUS.accounts),
        Instruction(PROGRAM, STATUS.data, [*STATUS.accounts, AccountMeta(DEVICE, False, True)]),
        Instruction(PROGRAM, STATUS.data, [AccountMeta(DEVICE, True, True), *STATUS.accounts[1:]]),
    ],
    ids=[
        "transfer",
        "another variant",
        "too long",
        "empty",
        "another program",
        "more accounts",
        "more signers",
    ],
)
def test_anything_else_is_an_internal_error_and_is_not_signed(instruction: Instruction) -> None:
    with pytest.raises(UnexpectedTransactionError):
        sign(LIMIT, STATUS, instruction)


def test_nothing_is_signed_for_a_user_of_another_pass() -> None:
    with pytest.raises(UnexpectedTransactionError, match="not one of this pass"):
        sign(LIMIT, STATUS, users=(DEVICE,))


def test_any_signer_will_do_that_has_a_key_and_signs() -> None:
    class Service:
        def pubkey(self) -> Pubkey:
            return KEYPAIR.pubkey()

        def sign_message(self, message: bytes) -> Signature:
            return KEYPAIR.sign_message(message)

    service = Service()
    message = Message.new_with_blockhash([LIMIT, STATUS], service.pubkey(), HASH)
    Signers({service.pubkey(): service}).sign(message, PROGRAM, {USER}).verify()


def test_a_file_without_an_end_is_no_keypair() -> None:
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\n"
        "from pathlib import Path\n"
        "from dzbgp.ledger.submit.signers import load_signers\n"
        "load_signers([Path('/dev/zero')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "KeypairError: --keypair /dev/zero: it is not JSON" in done.stderr
