"""Parts of a fleet: exactly one takes each device, and always the same."""

from collections import Counter
from pathlib import Path

import pytest
from core_builders import make_device
from hypothesis import given
from hypothesis import strategies as st
from test_fleet import put

from dzbgp.errors import UsageError
from dzbgp.fleet.fleet import Fleet
from dzbgp.fleet.load import load_inventory
from dzbgp.fleet.shard import Shard


@given(st.binary(max_size=40), st.integers(1, 50))
def test_of_n_shards_exactly_one_takes_a_key(key: bytes, count: int) -> None:
    assert sum(Shard(number, count).takes(key) for number in range(1, count + 1)) == 1


def test_which_shard_takes_a_device_never_changes() -> None:
    # SHA-256 of 32 zero bytes begins 66687aadf862bd77, and 0x66687aadf862bd77 % 4 == 3.
    assert [Shard(number, 4).takes(bytes(32)) for number in (1, 2, 3, 4)] == [False, False, False, True]


def test_shards_are_of_about_one_size() -> None:
    sizes = Counter(
        number
        for key in range(1000)
        for number in range(1, 5)
        if Shard(number, 4).takes(bytes([key % 256, key // 256]))
    )
    assert min(sizes.values()) > 200


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "1/0", "a/b", "1/4/2", "", "-1/4", " 1/4", "1/٤"])
def test_what_is_no_part_is_told(text: str) -> None:
    with pytest.raises(UsageError, match=r"--shard: invalid part .*; expected I/N"):
        Shard.parse(text)


def test_a_part_is_read() -> None:
    assert Shard.parse("2/4") == Shard(2, 4)


def test_a_host_that_is_no_device_is_told_by_one_shard_only(tmp_path: Path) -> None:
    devices = [
        make_device(number, code=f"d-{number}", public_ip=f"203.0.113.{number}") for number in range(1, 9)
    ]
    known = {device.pubkey: device for device in devices}
    path = put(tmp_path, {**{device.code: {} for device in devices}, "stray-1": {}, "stray-2": {}})
    parts = [Fleet(load_inventory(path), Shard(number, 3)).match(known) for number in (1, 2, 3)]
    assert sorted(name for part in parts for name in part) == sorted(
        [*(one.code for one in devices), "stray-1", "stray-2"]
    )
