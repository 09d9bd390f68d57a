"""Opening a device through NAPALM's driver: what goes wrong in there is told as what it is."""

import ssl
from typing import Any

import napalm
import pytest
from napalm.base.exceptions import ConnectionException
from nornir.core.inventory import ConnectionOptions, Host

from dzbgp.eos.connection import CONNECTION, EosConnection, OddAnswerError, connect
from dzbgp.eos.deadline import Deadline
from dzbgp.eos.eapi import LoginRefusedError
from dzbgp.eos.errors import explain

PASSWORD = "hunter2"
HERE = ConnectionOptions("192.0.2.1", 8443, "reader", PASSWORD, "eos", {"timeout": 3})


class _Driver:
    """Stands where NAPALM's driver is; open() raises, as it is or wrapped as the development version does."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.device = None

    cause: Exception

    def open(self) -> None:
        raise self.cause


class _WrappingDriver(_Driver):
    def open(self) -> None:
        try:
            super().open()
        except Exception as error:  # noqa: BLE001 - as NAPALM does
            # It takes the text with it, which may hold the body of an answer.
            raise ConnectionException(f"{error} {PASSWORD}")  # noqa: B904


class _ChainingDriver(_Driver):
    def open(self) -> None:
        try:
            super().open()
        except Exception as error:
            raise ConnectionException(f"{error} {PASSWORD}") from error


@pytest.fixture(
    params=[_Driver, _WrappingDriver, _ChainingDriver], ids=["5.2", "development", "with a cause"]
)
def driver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type[_Driver]:
    kind = type("Driver", (request.param,), {})
    monkeypatch.setattr(napalm, "get_network_driver", lambda _: kind)
    return kind


def opened(kind: type[_Driver], cause: Exception) -> str:
    kind.cause = cause
    with pytest.raises((OddAnswerError, OSError, LoginRefusedError)) as raised:
        EosConnection().open("192.0.2.1", "reader", PASSWORD, 8443, "eos", {"timeout": 3})
    told = explain(raised.value, HERE)
    assert PASSWORD not in told
    return told.removeprefix("192.0.2.1:8443: ")


@pytest.mark.parametrize(
    "cause",
    [KeyError("version"), TypeError("x"), IndexError("x"), ValueError("x"), AttributeError("x")],
    ids=repr,
)
def test_an_answer_without_a_version_speaks_of_show_version(driver: type[_Driver], cause: Exception) -> None:
    assert opened(driver, cause) == "the answer to `show version` holds no version that can be read"


def test_what_fails_before_an_answer_is_told_as_what_it_is(driver: type[_Driver]) -> None:
    assert opened(driver, ConnectionRefusedError(111, "x")).startswith("connection refused")
    assert opened(driver, LoginRefusedError()).startswith("user 'reader' was not accepted")
    certificate = ssl.SSLCertVerificationError(1, "x")
    certificate.verify_message = "self-signed certificate"
    assert opened(driver, certificate) == "the certificate was refused: self-signed certificate"


def test_one_that_could_not_be_opened_leaves_nothing_with_the_host(driver: type[_Driver]) -> None:
    driver.cause = KeyError("version")
    host = Host("r1", connection_options={CONNECTION: HERE})
    with pytest.raises(OddAnswerError):
        connect(host, None, Deadline(5))  # type: ignore[arg-type]
    assert host.connections == {}


def test_what_napalm_takes_out_of_its_options_is_there_again_for_the_next_attempt(
    driver: type[_Driver],
) -> None:
    driver.cause = ConnectionRefusedError()
    extras = {"timeout": 3, "optional_args": {"transport": "http", "enable_password": PASSWORD}}
    with pytest.raises(ConnectionRefusedError):
        EosConnection().open("192.0.2.1", "reader", PASSWORD, 8443, "eos", extras)
    assert extras == {"timeout": 3, "optional_args": {"transport": "http", "enable_password": PASSWORD}}
