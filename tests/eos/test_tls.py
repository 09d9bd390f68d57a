"""Who must prove who they are: real certificates over real TLS, through NAPALM as installed."""

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from core_builders import make_device
from nornir.core.inventory import Host
from test_fleet import PASSWORD, USERNAME, block, eos, put

from dzbgp.eos.tls import Verification, Verifier
from dzbgp.errors import InventoryError, UsageError
from dzbgp.fleet.fleet import Fleet
from dzbgp.fleet.load import load_inventory
from dzbgp.fleet.options import FleetRequest
from dzbgp.lab.eos.fleet import EosFleet
from dzbgp.models.session import DeviceReading, DeviceResult

AMS = make_device(1, code="ams-1", public_ip="203.0.113.1")


@pytest.fixture(scope="module")
def fleet() -> Iterator[EosFleet]:
    with EosFleet.start([eos("ams-1", f"{block()}.1", 1)]) as made:
        yield made


@pytest.fixture
def ca(fleet: EosFleet, tmp_path: Path) -> Path:
    file = tmp_path / "ca.pem"
    file.write_text(fleet.ca_pem, encoding="ascii")
    return file


def inventory(fleet: EosFleet, directory: Path, data: dict[str, Any] | None = None, **optional: Any) -> Path:
    address, port = fleet.addresses["ams-1"]
    host: dict[str, Any] = {"hostname": optional.pop("hostname", address), "port": port}
    extras = {"timeout": 5, "optional_args": optional}
    host |= {"data": data or {}, "connection_options": {"napalm": {"extras": extras}}}
    return put(directory, {"ams-1": host})


def read(path: Path, verification: Verification | None = None) -> DeviceReading:
    asked = verification or Verification()
    request = FleetRequest(tls_verify=asked.required, tls_ca_file=asked.ca_file)
    with Fleet(load_inventory(path, request)) as fleet:
        (reading,) = fleet.read({"ams-1": AMS})
    return reading


@pytest.mark.parametrize("required", [None, True])
def test_a_device_proves_itself_by_the_ca_that_the_option_names(
    fleet: EosFleet, ca: Path, tmp_path: Path, required: bool | None
) -> None:
    assert read(inventory(fleet, tmp_path), Verification(required, ca)).result is DeviceResult.OK


def test_a_device_proves_itself_by_the_ca_that_its_data_name_beside_the_inventory(
    fleet: EosFleet, ca: Path, tmp_path: Path
) -> None:
    path = inventory(fleet, tmp_path, {"dz_tls_verify": True, "dz_tls_ca_file": ca.name})
    assert read(path).result is DeviceResult.OK
    assert read(path, Verification(required=True)).result is DeviceResult.OK


def test_a_device_proves_itself_by_the_ca_in_its_optional_args(
    fleet: EosFleet, ca: Path, tmp_path: Path
) -> None:
    path = inventory(fleet, tmp_path, ca_file=str(ca))
    assert read(path).result is DeviceResult.OK


@pytest.mark.parametrize("how", ["option", "data", "optional_args"])
def test_a_device_of_another_ca_is_refused_before_it_is_told_the_password(
    fleet: EosFleet, tmp_path: Path, how: str
) -> None:
    before = fleet.requests("ams-1")
    data = {"dz_tls_verify": True} if how == "data" else {}
    optional = {"enforce_verification": True} if how == "optional_args" else {}
    path = inventory(fleet, tmp_path, data, **optional)
    reading = read(path, Verification(required=True if how == "option" else None))
    assert reading.result is DeviceResult.FAILED
    assert "the certificate was refused" in str(reading.error)
    assert fleet.requests("ams-1") == before


def test_a_device_whose_certificate_has_another_name_is_refused(
    fleet: EosFleet, ca: Path, tmp_path: Path
) -> None:
    before = fleet.requests("ams-1")
    with EosFleet.start([eos("other", f"{block()}.1", 2)]) as other:
        address, port = other.addresses["other"]
        host = {"hostname": address, "port": port}
        # Its own CA signed it, and it is asked by a name that the certificate has not.
        (tmp_path / "other.pem").write_text(other.ca_pem, encoding="ascii")
        path = put(tmp_path, {"ams-1": host | {"hostname": "localhost", "port": port}})
        assert read(path, Verification(ca_file=tmp_path / "other.pem")).result is DeviceResult.FAILED
        path = put(tmp_path, {"ams-1": host})
        assert read(path, Verification(ca_file=ca)).result is DeviceResult.FAILED
        assert read(path, Verification(ca_file=tmp_path / "other.pem")).result is DeviceResult.OK
    assert fleet.requests("ams-1") == before


def test_without_verification_what_the_inventory_asks_for_is_switched_off(
    fleet: EosFleet, tmp_path: Path
) -> None:
    path = inventory(fleet, tmp_path, {"dz_tls_verify": True}, enforce_verification=True)
    assert read(path).result is DeviceResult.FAILED
    assert read(path, Verification(required=False)).result is DeviceResult.OK


@pytest.mark.parametrize(
    ("content", "why"), [(None, "No such file or directory"), ("no certificate", "it holds no certificate")]
)
def test_a_ca_that_can_not_be_read_is_told_by_its_name(
    fleet: EosFleet, tmp_path: Path, content: str | None, why: str
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content, encoding="ascii")
    with pytest.raises(UsageError, match=f"--tls-ca-file {file}: {why}"):
        read(inventory(fleet, tmp_path), Verification(ca_file=file))
    with pytest.raises(UsageError, match=f"host 'ams-1': dz_tls_ca_file {file}: {why}"):
        read(inventory(fleet, tmp_path, {"dz_tls_ca_file": str(file)}))


@pytest.mark.parametrize(
    ("data", "optional", "why"),
    [
        ({"dz_tls_verify": "yes"}, {}, "has dz_tls_verify 'yes'; expected true or false"),
        ({"dz_tls_ca_file": 3}, {}, "has dz_tls_ca_file 3; expected a file's name"),
        ({"dz_tls_verify": True}, {"transport": "http"}, "has transport 'http', which cannot be verified"),
        (
            {"dz_tls_verify": True},
            {"transport": "https_certs"},
            "has transport 'https_certs' and key_file None; expected a file",
        ),
    ],
)
def test_what_can_not_be_verified_is_an_error_of_the_inventory(
    fleet: EosFleet, tmp_path: Path, data: dict[str, Any], optional: dict[str, Any], why: str
) -> None:
    with pytest.raises(InventoryError, match=f"host 'ams-1' {why}") as caught:
        read(inventory(fleet, tmp_path, data, **optional))
    assert PASSWORD not in str(caught.value)
    assert USERNAME not in str(caught.value)


def test_a_ca_without_verification_is_a_contradiction(ca: Path) -> None:
    with pytest.raises(UsageError, match="cannot be combined with --no-tls-verify"):
        Verification(required=False, ca_file=ca)


def test_hosts_that_need_not_be_verified_share_a_context_and_own_ones_are_kept(tmp_path: Path) -> None:
    own = ssl.create_default_context()
    given: list[dict[str, Any]] = [
        {},
        {},
        {"context": own},
        {"enforce_verification": True},
        {"transport": "http"},
    ]
    verifier = Verifier(Verification())
    for options in given:
        verifier.apply(Host("r1"), "host 'r1'", options, tmp_path)
    assert given[0]["context"] is given[1]["context"]
    assert given[0]["context"].verify_mode is ssl.CERT_NONE
    assert given[2:] == [{"context": own}, {"enforce_verification": True}, {"transport": "http"}]
