"""Which device of the ledger a host is, where more than one account fits."""

from typing import Any

import pytest
from core_builders import make_device

from dzbgp.fleet.matching import Match, Matcher
from dzbgp.models.ledger import Device, DeviceStatus

GONE = [DeviceStatus.DELETING, DeviceStatus.REJECTED, DeviceStatus.PENDING]


def twin(number: int, status: DeviceStatus = DeviceStatus.ACTIVATED, **changes: Any) -> Device:
    return make_device(number, code="ams-dz-001", public_ip="203.0.113.1", status=status, **changes)


@pytest.mark.parametrize("status", GONE)
@pytest.mark.parametrize("alive", [DeviceStatus.ACTIVATED, DeviceStatus.DRAINED])
@pytest.mark.parametrize("how", [{"name": "ams-dz-001"}, {"name": "r1", "hostname": "203.0.113.1"}])
def test_a_device_beside_its_old_account_is_matched_whichever_comes_first(
    status: DeviceStatus, alive: DeviceStatus, how: dict[str, str]
) -> None:
    old, new = twin(1, status), twin(2, alive)
    for devices in ([old, new], [new, old]):
        assert Matcher(devices).find(**how) == Match(new)


@pytest.mark.parametrize("how", [{"name": "ams-dz-001"}, {"name": "r1", "named": "ams-dz-001"}])
def test_of_two_accounts_that_fit_neither_is_taken_and_both_are_named(how: dict[str, str]) -> None:
    one, other = twin(1), twin(2, DeviceStatus.DRAINED)
    match = Matcher([one, other]).find(**how)
    assert match.device is None
    assert str(one.pubkey) in match.error
    assert str(other.pubkey) in match.error


def test_a_key_tells_two_accounts_apart_and_names_even_one_that_is_deleted() -> None:
    one, other = twin(1), twin(2, DeviceStatus.DELETING)
    matcher = Matcher([one, other])
    assert matcher.find("r1", str(one.pubkey)) == Match(one)
    assert matcher.find(str(other.pubkey)) == Match(other)


@pytest.mark.parametrize("status", GONE)
def test_an_account_that_is_gone_is_nobodys_device(status: DeviceStatus) -> None:
    assert Matcher([twin(1, status)]).find("ams-dz-001") == Match()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("ams-dz-001.mgmt.example.net", True),
        ("ams-dz-001.", False),
        ("ams-dz-0011.example.net", False),
        ("203.0.113.1", False),
    ],
)
def test_a_name_may_have_a_domain_behind_it(name: str, *, found: bool) -> None:
    device = twin(1)
    assert Matcher([device]).find(name).device is (device if found else None)


def test_a_code_with_dots_is_found_before_its_first_part() -> None:
    short, whole = make_device(1, code="ams"), make_device(2, code="ams.example")
    assert Matcher([short, whole]).find("ams.example") == Match(whole)
