"""Locations, exchanges, contributors and multicast groups against the lab's encoders and literal bytes."""

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.pubkey import Pubkey

from dzbgp.lab.world.encode import (
    AccountType,
    encode_contributor,
    encode_exchange,
    encode_location,
    encode_noise,
)
from dzbgp.ledger.program.accounts import (
    AccountError,
    decode_contributor,
    decode_exchange,
    decode_location,
    decode_multicast_group,
)
from dzbgp.models.ledger import Contributor, Exchange, Location, MulticastGroup

ADDRESS = Pubkey(bytes([99]) * 32)
OWNER = Pubkey(bytes([7]) * 32)
DECODERS: tuple[Callable[[Pubkey, bytes], Any], ...] = (
    decode_location,
    decode_exchange,
    decode_contributor,
    decode_multicast_group,
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def group(code: bytes) -> bytes:
    """A multicast group as the program writes it, without its counters."""
    head = b"\x08" + bytes(OWNER) + bytes(16) + b"\xff" + bytes(32)
    head += bytes([233, 84, 178, 1]) + (10**9).to_bytes(8, "little") + b"\x01"
    return head + len(code).to_bytes(4, "little") + code + bytes(8)


@given(texts, texts, texts)
def test_a_location_is_read_as_it_was_written(code: str, name: str, country: str) -> None:
    data = encode_location(code, name, country, degrees=(52.4, 4.9), owner=OWNER)
    assert decode_location(ADDRESS, data) == Location(ADDRESS, code, name, country)


@given(texts, texts)
def test_an_exchange_is_read_as_it_was_written(code: str, name: str) -> None:
    data = encode_exchange(code, name, degrees=(52.4, 4.9), owner=OWNER, bgp_community=10_001)
    assert decode_exchange(ADDRESS, data) == Exchange(ADDRESS, code, name)


@given(texts)
def test_a_contributor_is_read_as_it_was_written(code: str) -> None:
    assert decode_contributor(ADDRESS, encode_contributor(code, owner=OWNER)) == Contributor(ADDRESS, code)


def test_a_multicast_group_is_read_by_its_code() -> None:
    assert decode_multicast_group(ADDRESS, group(b"mg01")) == MulticastGroup(ADDRESS, "mg01")


def test_an_account_that_ends_before_its_newer_fields_has_them_empty() -> None:
    data = encode_location("ams", "Amsterdam", "NL")
    assert decode_location(ADDRESS, data[: data.index(b"Amsterdam") - 4]) == Location(ADDRESS, "ams", "", "")


@pytest.mark.parametrize("decode", DECODERS)
@pytest.mark.parametrize("data", [b"", b"\x03" * 20, encode_noise(AccountType.FEED, 1)])
def test_another_account_is_refused(decode: Callable[[Pubkey, bytes], Any], data: bytes) -> None:
    with pytest.raises(AccountError):
        decode(ADDRESS, data)


@given(st.sampled_from(DECODERS), st.sampled_from([3, 4, 8, 10]), st.binary(max_size=200))
def test_garbage_is_an_account_error_or_an_account(
    decode: Callable[[Pubkey, bytes], Any], kind: int, rest: bytes
) -> None:
    with contextlib.suppress(AccountError):
        decode(ADDRESS, bytes([kind]) + rest)
