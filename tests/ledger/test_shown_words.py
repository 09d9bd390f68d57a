"""What an RPC says is shown without the secrets of its URL."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dzbgp.ledger.secrets import MAX_WORDS, Redactor

TOKEN = "8a4fd3f4-0977"
URL = f"https://user:pass-word@rpc.example:8899/v1/{TOKEN}?key=que%2Fry&x=1"


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
