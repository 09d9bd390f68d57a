"""Which failures are worth asking again, which are worth asking elsewhere, and what is shown of an RPC's words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dzbgp.ledger.errors import (
    LedgerError,
    RpcError,
    RpcProtocolError,
    RpcSizeError,
    RpcStatusError,
    RpcTransportError,
)
from dzbgp.ledger.rpc.failures import MAX_WORDS, Redactor, is_about_request, is_transient, worth_raising

TOKEN = "8a4fd3f4-0977"
URL = f"https://user:pass-word@rpc.example:8899/v1/{TOKEN}?key=que%2Fry&x=1"


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, *range(520, 531)])
def test_a_status_that_passes_is_asked_again_here_and_elsewhere(status: int) -> None:
    error = RpcStatusError("x", status)
    assert is_transient(error)
    assert not is_about_request(error)


@pytest.mark.parametrize("status", [301, 401, 402, 403, 404, 405, 410, 501, 505])
def test_a_status_about_this_rpc_is_asked_elsewhere_only(status: int) -> None:
    error = RpcStatusError("x", status)
    assert not is_transient(error)
    assert not is_about_request(error)


@pytest.mark.parametrize("code", [503, 429, 500, 502, 504, -32603, -32000, -32004, -32005, -32016, -32429])
def test_a_code_that_passes_is_asked_again_here_and_elsewhere(code: int) -> None:
    error = RpcError("x", code)
    assert is_transient(error)
    assert not is_about_request(error)


@pytest.mark.parametrize("code", [-32601, -32010, -32001, -32007, -32011, -32014, 401, 403])
def test_a_code_about_this_rpc_is_asked_elsewhere_only(code: int) -> None:
    error = RpcError("x", code)
    assert not is_transient(error)
    assert not is_about_request(error)


@pytest.mark.parametrize(
    "error",
    [
        RpcStatusError("x", 400),
        *(RpcError("x", code) for code in (-32700, -32600, -32602, -32002, -32003, -32015)),
    ],
)
def test_what_is_about_the_request_is_asked_of_nobody_else(error: LedgerError) -> None:
    assert is_about_request(error)
    assert not is_transient(error)


def test_an_answer_that_is_too_large_here_may_not_be_elsewhere() -> None:
    assert not is_transient(RpcSizeError("x"))
    assert not is_about_request(RpcSizeError("x"))


def test_of_all_rpcs_failures_the_one_that_may_pass_soonest_is_raised() -> None:
    token, busy, down = RpcStatusError("x", 401), RpcStatusError("x", 429, 60.0), RpcTransportError("x")
    assert worth_raising([down, token]) is down
    assert worth_raising([busy, down, token]) is down
    assert worth_raising([busy, token]) is busy
    assert worth_raising([token, RpcSizeError("y")]).args == ("y",)
    assert worth_raising([RpcProtocolError("z")]).args == ("z",)


@pytest.mark.parametrize(
    "secret",
    [TOKEN, TOKEN.upper(), f"/v1/{TOKEN}", "user:pass-word", "pass-word", "que%2Fry", "que/ry", "user"],
)
def test_no_part_of_the_url_is_shown(secret: str) -> None:
    assert secret not in Redactor([URL]).text(f"no such path: {secret}!")


def test_ordinary_words_stay_as_they_are() -> None:
    assert Redactor([URL]).text("Node is behind by 120 slots") == "Node is behind by 120 slots"
    assert Redactor(["http://localhost:8899"]).text("localhost: / refused") == "localhost: / refused"


def test_words_are_cut_after_the_secret_is_gone() -> None:
    words = Redactor([URL]).text("x" * (MAX_WORDS - 5) + TOKEN)
    assert len(words) <= MAX_WORDS
    assert TOKEN[:6] not in words


def test_texts_in_an_errors_data_are_made_fit_too() -> None:
    assert Redactor([URL]).json({f"a{TOKEN}": [f"\x1b[2J{TOKEN}", 7, None]}) == {"a***": ["[2J***", 7, None]}


@given(st.text(), st.text(alphabet="abc/%20?&=:-", min_size=4))
def test_whatever_an_rpc_says_is_one_short_printable_line_without_the_path(words: str, path: str) -> None:
    redactor = Redactor([f"http://rpc.example/{path}"])
    told = redactor.text(f"{words} /{path} {words}")
    assert told.isprintable()
    assert len(told) <= MAX_WORDS
    whole = redactor.line(f"{words} /{path} {words}")
    assert all(part not in whole.lower() for part in path.partition("?")[0].split("/") if len(part) >= 4)
