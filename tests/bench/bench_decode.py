"""Decoding users; and resolving and deciding, both beside the public Python SDK's decoding."""

import importlib
import statistics
import time
from collections.abc import Callable
from typing import Any

from big_world import big_world
from goals import Row, Table
from solders.pubkey import Pubkey

from dzbgp.decision.policy import Clock, decide
from dzbgp.decision.resolver import assess_credibility, resolve
from dzbgp.decision.rules import Rules
from dzbgp.lab.world.world import World
from dzbgp.ledger.program.accounts import decode_user
from dzbgp.models.ledger import Device, User, dotted
from dzbgp.models.session import DeviceReading, DeviceResult, Neighbor, Vrf

DEVICES, USERS = 1_000, 100
ROUNDS = 5


def bench() -> Table:
    world = big_world(DEVICES, USERS)
    keys = {spec.user.pubkey for spec in world.users}
    accounts = [(key, data) for key, data in world.accounts().items() if key in keys]
    users = [decode_user(key, data) for key, data in accounts]
    assert len(users) == DEVICES * USERS
    readings = [(reading, of_device) for reading, of_device in answered(world, users)]
    clock = Clock(world.now_slot, 0.4, time.time())
    sdk = sdk_user()

    def ours() -> None:
        for key, data in accounts:
            decode_user(key, data)

    def theirs() -> None:
        for _, data in accounts:
            sdk(data)

    def decided() -> None:
        rules = Rules()
        count = 0
        for reading, of_device in readings:
            for observation in resolve(assess_credibility(reading, of_device), of_device, {}):
                decide(observation, clock, rules)
                count += 1
        assert count == len(users)

    ours_s, theirs_s, decided_s = medians(ours, theirs if sdk else None, decided)
    table = Table(
        f"Decoding {len(users):,} users; resolving and deciding them",
        f"CPU time of one thread, medians of {ROUNDS}, in turn; the SDK (doublezero-serviceability 0.0.3) knows no BGP "
        "field, so it decodes less",
    )
    table.rows = [
        Row("ours: users a second", f"{len(users) / ours_s:,.0f}"),
        Row(
            "the SDK: users a second",
            f"{len(users) / theirs_s:,.0f}" if sdk else "not installed (make bench does)",
        ),
        Row(
            "users a second: ours / the SDK",
            f"{theirs_s / ours_s:.1f} x" if sdk else "-",
        ),
        Row("decoding", f"{ours_s:.2f} s"),
        Row(
            "resolving and deciding 100,000 users, goal: the SDK's decoding",
            f"{decided_s:.2f} s",
            f"{theirs_s:.2f} s" if sdk else "-",
            decided_s <= theirs_s if sdk else None,
        ),
    ]
    return table


def sdk_user() -> Any:
    """The SDK's decoder; None where it is not installed."""
    try:
        return importlib.import_module("serviceability.state").User.from_bytes
    except ImportError:
        return None


def medians(*calls: Callable[[], None] | None) -> list[float]:
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(ROUNDS):
        for seconds, call in zip(taken, calls, strict=True):
            started = time.process_time()
            if call is not None:
                call()
            seconds.append(time.process_time() - started)
    return [statistics.median(seconds) for seconds in taken]


def answered(world: World, users: list[User]) -> list[tuple[DeviceReading, list[User]]]:
    """What each device answers, and whose sessions these are."""
    of_device: dict[Pubkey, list[User]] = {}
    for user in users:
        of_device.setdefault(user.device_pk, []).append(user)
    return [
        (_reading(spec.device, of_device[spec.device.pubkey]), of_device[spec.device.pubkey])
        for spec in world.devices
    ]


def _reading(device: Device, users: list[User]) -> DeviceReading:
    neighbors = tuple(
        Neighbor(dotted(user.tunnel_net.address | 1), "vrf1", is_up=True, is_enabled=True, uptime_s=86_400)
        for user in users
    )
    vrfs = (Vrf("default", "10.0.0.1"), Vrf("vrf1", device.public_ip))
    return DeviceReading(device.code, DeviceResult.OK, device, vrfs=vrfs, neighbors=neighbors)
