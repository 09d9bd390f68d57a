"""Answers that once made a pass fail or say something false, from the bytes to what is seen of each user.

Each file in cases/ is one device: what is right about it, what it answers, its users with the VRFs they belong to, and
what must be seen of them.
"""

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from core_builders import NO_KEY, make_device, make_tenant, make_user
from replay import answering, replaying

from dzbgp.decision.resolver import resolve
from dzbgp.eos.bgp import NEIGHBORS
from dzbgp.fleet.fleet import Fleet
from dzbgp.models.ledger import User, UserType
from dzbgp.models.session import DeviceReading, DeviceResult

CASES: dict[str, dict[str, Any]] = {
    file.stem: json.loads(file.read_text(encoding="utf-8"))
    for file in sorted((Path(__file__).parent / "cases").glob("*.json"))
}
TENANTS = {number: make_tenant(number, number) for number in (2, 3)}
TUNNEL_ID = 731


def described(case: dict[str, Any], text: str) -> dict[str, Any]:
    """The case with a description at each of its neighbors."""
    changed = deepcopy(case)
    for vrf in changed["answers"][NEIGHBORS]["vrfs"].values():
        for one in vrf["peerList"]:
            one["description"] = text
    return changed


CASES["vrf_hidden_described"] = described(CASES["vrf_hidden"], f"USER-{TUNNEL_ID}")
CASES["vrf_hidden_described"]["users"][0]["seen"] = ["established", 4_000_000]
CASES["vrf_hidden_described_otherwise"] = described(CASES["vrf_hidden"], f"USER-{TUNNEL_ID + 1}")


def user_of(number: int, told: dict[str, Any]) -> User:
    """The user whose session is in this VRF, behind this odd address of its tunnel."""
    stem, _, last = told["peer"].rpartition(".")
    in_tenant = TENANTS.get(int(told["vrf"].removeprefix("vrf"))) if told["vrf"] != "default" else None
    return make_user(
        number,
        f"{stem}.{int(last) - 1}/31",
        tunnel_id=TUNNEL_ID + number * 10,
        user_type=UserType.MULTICAST if told["vrf"] == "default" else UserType.IBRL,
        tenant_pk=in_tenant.pubkey if in_tenant else NO_KEY,
    )


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    devices = {name: answering(case["answers"]) for name, case in CASES.items()}
    with replaying(devices, tmp_path_factory.mktemp("replay")) as running:
        yield running


@pytest.fixture(scope="module")
def readings(fleet: Fleet) -> dict[str, DeviceReading]:
    return {reading.host: reading for reading in fleet.read(dict.fromkeys(CASES, make_device()))}


@pytest.mark.parametrize("name", CASES)
def test_of_each_user_is_seen_what_is_right(readings: dict[str, DeviceReading], name: str) -> None:
    case, reading = CASES[name], readings[name]
    users = [user_of(number, told) for number, told in enumerate(case["users"])]
    tenants = {tenant.pubkey: tenant for tenant in TENANTS.values()}
    seen = resolve(reading, users, tenants)
    assert [[one.observed.value, one.neighbor.rtt_ns if one.neighbor else 0] for one in seen] == [
        told["seen"] for told in case["users"]
    ], case["about"]
    assert list(reading.notes) == case.get("notes", [])
    assert (reading.result is DeviceResult.FAILED) == ("failed" in case)
    assert (reading.error or "").endswith(case.get("failed", ""))
