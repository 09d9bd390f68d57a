"""Durations as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dzbgp.console.words import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("5m", 300),
        ("6h", 21_600),
        ("1d", 86_400),
        ("250ms", 0.25),
        ("1.5h", 5_400),
        ("1h30m", 5_400),
        ("1m500ms", 60.5),
        ("0", 0),
        ("0s", 0),
        (" 5m ", 300),
    ],
)
def test_a_duration_is_an_amount_with_its_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "5",
        "m",
        "5 m",
        "-5m",
        "+5m",
        "5M",
        "1e3s",
        ".5s",
        "5.s",
        "5w",
        "1h 30m",
        "1h30",
        "inf",
        "nan",
        "\u0663s",
    ],
)
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="expected for example 90s, 5m or 6h"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["36501d", "9" * 400 + "s"], ids=["a hundred years", "beyond a float"])
def test_a_duration_beyond_a_century_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="too long"):
        parse_duration(text)


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59))
def test_parts_add_up(hours: int, minutes: int, seconds: int) -> None:
    assert parse_duration(f"{hours}h{minutes}m{seconds}s") == hours * 3600 + minutes * 60 + seconds


@given(st.text(max_size=12))
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    try:
        assert parse_duration(text) >= 0
    except ValueError as error:
        assert "duration" in str(error)  # noqa: PT017 - any text may be one or the other
