"""What is taken in of a device over SSH, from a server that never ends its answer."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ssh_eos import SshEos, ssh_servers
from test_fleet import PASSWORD, USERNAME, block, eos

from dzbgp.eos import decoding
from dzbgp.eos.bgp import SUMMARY
from dzbgp.eos.connection import EosConnection
from dzbgp.eos.deadline import Deadline
from dzbgp.eos.getter import read_bgp
from dzbgp.lab.eos.fleet import EosFleet

SSH: dict[str, Any] = {"timeout": 10, "optional_args": {"transport": "ssh", "force_no_enable": True}}


@pytest.fixture(scope="module")
def device() -> Iterator[EosFleet]:
    with EosFleet.start([eos("ams-1", f"{block()}.1", 1)]) as made:
        yield made


@pytest.fixture
def ssh(device: EosFleet) -> Iterator[SshEos]:
    with ssh_servers(device, ["ams-1"]) as servers:
        yield servers["ams-1"]


@pytest.fixture
def connection() -> Iterator[EosConnection]:
    made = EosConnection(Deadline(30))
    yield made
    made.close()


def opened(connection: EosConnection, ssh: SshEos, address: str) -> None:
    connection.open(address, USERNAME, PASSWORD, ssh.port, "eos", SSH)


def test_an_answer_about_bgp_may_be_as_large_as_over_eapi(
    device: EosFleet, ssh: SshEos, connection: EosConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "MAX_ANSWER_BYTES", 1024 * 1024)
    opened(connection, ssh, device.addresses["ams-1"][0])
    assert read_bgp(connection).vrfs
    # Each answer has a bound of its own.
    answer = len(bytes(connection.ask([SUMMARY])[0]))
    monkeypatch.setattr(decoding, "MAX_ANSWER_BYTES", answer + 200)
    for _ in range(3):
        connection.ask([SUMMARY])
    monkeypatch.setattr(decoding, "MAX_ANSWER_BYTES", 1024 * 1024)
    ssh.flood = "show ip bgp"
    with pytest.raises(decoding.AnswerTooLargeError, match="the answer is larger than 1 MiB"):
        read_bgp(connection)


def test_a_session_log_that_the_inventory_asks_for_is_not_written(
    device: EosFleet, ssh: SshEos, connection: EosConnection, tmp_path: Path
) -> None:
    log = tmp_path / "session.log"
    asked = SSH | {"optional_args": {**SSH["optional_args"], "session_log": str(log)}}
    connection.open(device.addresses["ams-1"][0], USERNAME, PASSWORD, ssh.port, "eos", asked)
    assert read_bgp(connection).vrfs
    assert not log.exists()


def test_a_login_that_says_too_much_is_given_up(
    device: EosFleet, ssh: SshEos, connection: EosConnection
) -> None:
    ssh.flood = "show version"
    with pytest.raises(decoding.AnswerTooLargeError, match=r"the answer is larger than 0\.25 MiB"):
        opened(connection, ssh, device.addresses["ams-1"][0])


def test_an_answer_may_hold_as_many_values_as_over_eapi(
    device: EosFleet, ssh: SshEos, connection: EosConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(connection, ssh, device.addresses["ams-1"][0])
    monkeypatch.setattr(decoding, "MAX_VALUES", 3)
    with pytest.raises(decoding.AnswerTooLargeError, match="more than 3 values"):
        read_bgp(connection)
