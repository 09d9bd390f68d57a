"""Errors of transactions as they come in JSON, and the words for them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dzbgp.ledger.program.errors import EXPLANATIONS, PROGRAM_ERRORS
from dzbgp.ledger.submit.rejection import Rejection, read_rejection

PROGRAM = "7CTniUa88iJKUHTrCkB4TjAoG6TD7AMivhQeuqN2LPtX"


def custom(index: int, code: Any) -> dict[str, Any]:
    return {"InstructionError": [index, {"Custom": code}]}


@pytest.mark.parametrize(
    ("err", "index", "why"),
    [
        (
            custom(3, 8),
            3,
            f"the program refused it: NotAllowed (8): {EXPLANATIONS[8]}",
        ),
        (
            custom(0, 26),
            0,
            f"the program refused it: InvalidClientIp (26): {EXPLANATIONS[26]}",
        ),
        (custom(1, 6), 1, "the program refused it: InvalidDevicePubkey (6)"),
        (custom(1, 4_000_000), 1, "the program refused it: an unknown error (4000000)"),
        (
            {"InstructionError": [2, "InvalidAccountData"]},
            2,
            "the runtime refused it: InvalidAccountData",
        ),
        (
            {"InstructionError": [2, {"BorshIoError": "Unknown"}]},
            2,
            "the runtime refused it: {'BorshIoError': 'Unknown'}",
        ),
        ("AccountNotFound", None, "the publisher's account does not exist: it was never funded"),
        ("BlockhashNotFound", None, "BlockhashNotFound"),
        (
            {"InsufficientFundsForRent": {"account_index": 0}},
            None,
            "the publisher cannot pay the rent",
        ),
        ({"DuplicateInstruction": 4}, None, "DuplicateInstruction 4"),
    ],
    ids=[
        "not allowed",
        "bad client ip",
        "named, without a remark",
        "unknown code",
        "builtin",
        "builtin with a value",
        "whole transaction",
        "whole transaction, no words",
        "whole transaction with a value",
        "whole transaction with a number",
    ],
)
def test_an_error_tells_whose_instruction_it_was_and_why(err: Any, index: int | None, why: str) -> None:
    assert read_rejection(err) == Rejection(index, why)


@pytest.mark.parametrize("code", sorted(PROGRAM_ERRORS))
def test_every_error_of_the_program_is_told_by_name_and_number(code: int) -> None:
    assert f"{PROGRAM_ERRORS[code]} ({code})" in read_rejection(custom(0, code)).why


def test_not_allowed_names_the_signer_and_the_device() -> None:
    assert "metrics publisher" in EXPLANATIONS[8]
    assert "on another device" in EXPLANATIONS[8]
    assert "client_ip" in EXPLANATIONS[26]


def test_every_explanation_belongs_to_an_error_of_the_program() -> None:
    assert set(EXPLANATIONS) <= set(PROGRAM_ERRORS)
    assert {PROGRAM_ERRORS[code] for code in EXPLANATIONS} == {
        "NotAllowed",
        "InvalidAccountType",
        "InvalidClientIp",
        "InvalidDzIp",
        "InvalidTunnelNet",
        "InvalidTunnelId",
        "InvalidTunnelEndpoint",
    }


FAILED = f"Program {PROGRAM} failed: custom program error: 0x8"
INVOKED = f"Program {PROGRAM} invoke [1]"
SUCCESS = f"Program {PROGRAM} success"


@pytest.mark.parametrize(
    ("logs", "said"),
    [
        ((INVOKED, "Program log: not your device", FAILED), "not your device"),
        ((INVOKED, "Program log: first", "Program log: second", FAILED), "second"),
        ((INVOKED, "Program log: fine", SUCCESS, INVOKED, "Program log: not fine", FAILED), "not fine"),
        ((INVOKED, "Program log: another user's", SUCCESS, INVOKED, FAILED), None),
        ((INVOKED, "Program log: it", FAILED, "Program log: afterwards"), "it"),
        ((INVOKED, FAILED), None),
        ((), None),
    ],
    ids=["one line", "the last line", "the failing one's", "not another's", "not later", "silent", "no logs"],
)
def test_the_programs_own_words_are_those_of_the_failing_instruction(
    logs: tuple[str, ...], said: str | None
) -> None:
    why = read_rejection(custom(1, 8), logs, PROGRAM).why
    assert why.endswith(f' (it logged "{said}")') if said else "it logged" not in why


def test_long_words_of_the_program_are_cut() -> None:
    why = read_rejection(custom(0, 8), (f"Program log: {'x' * 1_000}", FAILED), PROGRAM).why
    assert "x" * 200 in why
    assert "x" * 201 not in why


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["InstructionError", "Custom", "x"]), inner, max_size=2)
    ),
)


@given(json_values)
def test_no_json_at_all_is_too_odd_to_be_read(err: Any) -> None:
    rejection = read_rejection(err)
    assert rejection.index is None or isinstance(rejection.index, int)
    assert isinstance(rejection.why, str)
