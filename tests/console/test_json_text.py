"""What commands print as JSON: the same text as Python's own encoder, whatever is in it."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dzbgp.console.json_text import json_text

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(st.characters())
    | st.floats(-1e9, 1e9).map(lambda number: round(number, 3)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
)


@given(VALUES)
def test_the_text_is_the_one_of_pythons_encoder(document: Any) -> None:
    assert json_text(document) == json.dumps(document, indent=2)


@pytest.mark.parametrize("odd", ["\ud800", 2**64, -(2**63) - 1, "é\U0001f600", "\x7f\x00\u2028"])
def test_what_msgspec_does_not_know_is_written_too(odd: Any) -> None:
    text = json_text({"odd": [odd]})
    assert text.isascii()
    assert json.loads(text) == {"odd": [odd]}


def test_small_and_large_numbers_stay_what_they_are() -> None:
    numbers = [1e-7, 1e22, 5e-324, math.pi]
    assert json.loads(json_text(numbers)) == numbers
