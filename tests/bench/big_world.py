"""Worlds of any size for benchmarks: healthy devices, and a share of users about whom there is news."""

from collections.abc import Mapping
from itertools import cycle

from solders.pubkey import Pubkey

from dzbgp.lab.world.scenario import (
    ACTIVE,
    DOWN,
    IBRL,
    MULTICAST,
    NEVER,
    PUBLISHERS,
    UP,
    UP_STALE,
    Onchain,
    ScenarioDevice,
    ScenarioUser,
    Session,
    Truth,
    leave,
    up,
    write_down,
    write_up,
)
from dzbgp.lab.world.world import NOW_SLOT, World

# Per session of the fleet, what there is to write about it, in turn.
_NEWS: tuple[tuple[Onchain, Session, Truth], ...] = (
    (DOWN, up(4_000), write_up("changed", 4_000_000)),
    (NEVER, up(5_000), write_up("first-report", 5_000_000)),
    (UP_STALE, up(6_000), write_up("refresh", 6_000_000)),
    (UP, ACTIVE, write_down("changed")),
)
_NO_NEWS = (UP, up(7_000), leave("unchanged"))


def big_world(
    devices: int,
    users_per_device: int,
    seed: int = 1,
    *,
    changed: float = 0.05,
    publishers: Mapping[str, Pubkey] | None = None,
    block: str = "127.102",
    port: int = 0,
    now_slot: int = NOW_SLOT,
) -> World:
    """Build a healthy fleet in which the share `changed` (0 to 1) of the users is to be written.

    The news are spread evenly over the devices: sessions that came up, first reports, refreshes and sessions
    that went down, a quarter each. One user in eight is a multicast user. Devices listen on addresses of
    their own in `block`; `port` 0 lets each take a free one.

    Raises ValueError beyond 62,500 devices or 262,144 users.
    """
    if devices > 250 * 250:
        raise ValueError(f"{devices} devices; {block} has addresses for 62500")
    rows = tuple(
        ScenarioDevice(
            f"big-dz-{number:03d}",
            PUBLISHERS[number % len(PUBLISHERS)],
            f"{block}.{number // 250}.{number % 250 + 1}",
            port,
        )
        for number in range(devices)
    )
    news = cycle(_NEWS)
    users = []
    due = 0.0
    for row in rows:
        for tunnel in range(users_per_device):
            due += changed
            is_due = due >= 1 - 1e-9
            due -= is_due
            onchain, session, truth = next(news) if is_due else _NO_NEWS
            kind = MULTICAST if tunnel % 8 == 7 else IBRL
            users.append(ScenarioUser(row.code, 500 + tunnel, kind, onchain, session, truth))
    return World.of(rows, tuple(users), seed, publishers=publishers, now_slot=now_slot)
