"""Adversarial input, from hypothesis: no crash, no wrong write."""

import logging
from collections.abc import Iterator

import pytest
import targets
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    """What is logged about each of thousands of answers would only be kept in memory."""
    logging.disable(logging.ERROR)
    yield
    logging.disable(logging.NOTSET)


@settings(max_examples=3_000)
@given(st.binary(max_size=400))
def test_accounts_of_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    targets.accounts(data)


@settings(max_examples=1_500)
@given(st.binary(max_size=60))
def test_whatever_a_device_answers_nothing_is_written_that_it_did_not_say(data: bytes) -> None:
    targets.eapi_answers(data)


@settings(max_examples=1_000)
@given(st.binary(max_size=60))
def test_a_body_of_any_bytes_is_an_answer_or_explained_in_one_line(data: bytes) -> None:
    targets.eapi_bodies(data)


@settings(max_examples=1_500)
@given(st.binary(max_size=60))
def test_whatever_an_rpc_answers_is_usable_or_an_error_of_the_ledger(data: bytes) -> None:
    targets.rpc_answers(data)
