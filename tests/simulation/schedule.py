"""What happens in a simulation, all of it drawn from one seed before it begins.

A schedule is a list of events with times, so that a failing one can be printed, and shrunk by leaving events out.
Every seed has a few kinds of trouble only: with all of them at once most would hide behind the others.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

CONFIRM_DOWN_S = 5.0
FOREVER_S = 1e9


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens at `at` seconds; what `args` mean, world.py says for each kind."""

    at: float
    kind: str
    args: tuple[float | int | str, ...] = ()

    def __str__(self) -> str:
        return f"{self.at:8.1f} s  {self.kind} {' '.join(map(str, self.args))}"


@dataclass(frozen=True, slots=True)
class Schedule:
    """One world and what happens in it. Durations in seconds."""

    seed: int
    mode: str
    """`run`: one pass every interval, each a process of its own; `watch`: one process that stays."""
    devices: int
    users: int
    """Of each device."""
    endpoints: int
    nodes: int
    interval_s: float
    duration_s: float
    """Of trouble. Then the world is left alone until it must be right."""
    grace_s: float
    agents: tuple[int, ...]
    """Devices on which upstream's agent writes too."""
    standing: tuple[Event, ...]
    """Faults from the beginning to the end: everything else must still be right."""
    commitment: str
    is_verbose: bool
    events: tuple[Event, ...]

    def __str__(self) -> str:
        head = (
            f"seed {self.seed}: {self.mode} every {self.interval_s:g} s for {self.duration_s:g} s, "
            f"{self.devices} devices with {self.users} users, {self.endpoints} RPCs of {self.nodes} nodes, "
            f"grace {self.grace_s:g} s, {self.commitment}, agents on {list(self.agents)}"
            + "".join(f", {event.kind} {' '.join(map(str, event.args))}" for event in self.standing)
        )
        return "\n".join([head, *(f"  {event}" for event in self.events)])


def draw(seed: int) -> Schedule:
    """Return the schedule of a seed."""
    rng = random.Random(seed)
    mode = rng.choice(("run", "run", "watch"))
    interval_s = rng.choice((30.0, 60.0, 60.0, 120.0) if mode == "run" else (15.0, 30.0, 60.0))
    devices, users = rng.randint(1, 3), rng.randint(2, 5)
    duration_s = interval_s * rng.randint(5, 12)
    endpoints, nodes = rng.choice((1, 1, 2, 3)), rng.choice((1, 2, 3))
    agents = tuple(number for number in range(devices) if rng.random() < 0.15)
    kinds = sorted(_DRAWN)
    chosen = [kind for kind in kinds if rng.random() < 0.3] or [rng.choice(kinds)]
    events = []

    def when() -> float:
        if rng.random() < 0.5:
            at = rng.uniform(0, duration_s)
        else:
            # Near a pass, where it hurts.
            at = interval_s * rng.randrange(int(duration_s / interval_s)) + rng.uniform(0, 20)
        # What a world begins with counts as if it had been so for long: nothing happens at 0.
        return max(round(at, 1), 0.1)

    for _ in range(rng.randint(2, 14)):
        kind = rng.choice(chosen)
        drawn = [
            Event(round(at, 1), name, args)
            for at, name, args in _DRAWN[kind](rng, when(), devices, users, endpoints)
        ]
        if rng.random() < 0.3:
            # Right after a device has answered, where a decision is open.
            looks, delay_s = rng.randint(1, 2 * devices), rng.choice((0.0, 0.3, 2.0))
            drawn = [
                Event(drawn[0].at, "at-look", (looks, delay_s, one.kind, *one.args)) for one in drawn[:1]
            ]
        events += drawn
    # Whatever else: sessions come and go, or there is nothing to get wrong.
    for _ in range(rng.randint(2, 10)):
        events += [
            Event(round(at, 1), name, args) for at, name, args in _flap(rng, when(), devices, users, 0)
        ]
    return Schedule(
        seed=seed,
        mode=mode,
        devices=devices,
        users=users,
        endpoints=endpoints,
        nodes=nodes,
        interval_s=interval_s,
        duration_s=duration_s,
        grace_s=rng.choice((0.0, 0.0, 90.0)),
        agents=agents,
        standing=tuple(_standing(rng, devices, users, endpoints)),
        commitment=rng.choice(("confirmed", "confirmed", "finalized")),
        is_verbose=rng.random() < 0.2,
        events=tuple(sorted(events, key=lambda event: event.at)),
    )


def _standing(rng: random.Random, devices: int, users: int, endpoints: int) -> Iterator[Event]:
    if devices > 1 and rng.random() < 0.2:
        kind, amount = rng.choice((("silent", 0.0), ("slow", 9.0), ("failing", 0.0), ("no_bgp", 0.0)))
        yield Event(0.0, "device", (kind, rng.randrange(devices), FOREVER_S, amount))
    if endpoints > 1 and rng.random() < 0.3:
        kind, amount = rng.choice(_DEAD_RPCS)
        yield Event(0.0, "rpc", (kind, rng.randrange(endpoints), -1, FOREVER_S, amount))
    if rng.random() < 0.15:
        yield Event(0.0, "twin", (rng.randrange(devices), rng.choice(("deleting", "pending", "rejected"))))
    if rng.random() < 0.15:
        yield Event(0.0, "odd-user", (rng.randrange(devices), rng.choice((16, 17, 30, 32))))
    for _ in range(rng.choice((0, 0, 1, 3))):
        yield Event(0.0, "decoy", (rng.randrange(devices * users), rng.choice((0, 1))))


_DEAD_RPCS = (
    ("frozen", 0.0),
    ("lag", 400.0),
    ("silent", 0.0),
    ("refusing", 0.0),
    ("status", 401.0),
    ("status", 404.0),
    ("status", 301.0),
    ("status", 503.0),
    ("error", -32601.0),
    ("error", -32010.0),
    ("error", -32603.0),
    ("error", 503.0),
    ("stale_accounts", 3_000.0),
    ("forgetful", 0.0),
    ("dropping", 1.0),
)
_Drawn = list[tuple[float, str, tuple[float | int | str, ...]]]
_Draw = Callable[[random.Random, float, int, int, int], _Drawn]


def _user(rng: random.Random, devices: int, users: int) -> int:
    return rng.randrange(devices * users)


def _flap(rng: random.Random, at: float, devices: int, users: int, _: int) -> _Drawn:
    user, length = _user(rng, devices, users), rng.choice((3, 8, 20, 60, 200))
    return [(at, "down", (user,)), (at + rng.uniform(0.5, 1.5) * length, "up", (user,))]


def _change(rng: random.Random, at: float, devices: int, users: int, _: int) -> _Drawn:
    return [(at, rng.choice(("down", "up")), (_user(rng, devices, users),))]


def _mass(rng: random.Random, at: float, devices: int, users: int, _: int) -> _Drawn:
    device = rng.randrange(devices)
    end = at + rng.choice((10, 60, 300))
    return [(at, "all-down", (device,)), (end, "all-up", (device,))]


def _life(rng: random.Random, at: float, devices: int, users: int, _: int) -> _Drawn:
    kind = rng.choice(("ban", "delete", "recreate", "successor", "move"))
    user = _user(rng, devices, users)
    args: tuple[float | int | str, ...] = (user, rng.randrange(devices)) if kind == "move" else (user,)
    drawn: _Drawn = [(at, kind, args)]
    if kind == "ban" and rng.random() < 0.5:
        drawn.append((at + rng.uniform(1, 60), "unban", (user,)))
    return drawn


def _device(
    kind: str,
    amount: Callable[[random.Random], float] = lambda _: 0.0,
    lengths: tuple[int, ...] = (5, 20, 60, 240),
) -> _Draw:
    def drawn(rng: random.Random, at: float, devices: int, _: int, __: int) -> _Drawn:
        length = rng.choice(lengths)
        return [(at, "device", (kind, rng.randrange(devices), float(length), amount(rng)))]

    return drawn


def _rpc(kind: str, amount: Callable[[random.Random], float] = lambda _: 0.0) -> _Draw:
    def drawn(rng: random.Random, at: float, _: int, __: int, endpoints: int) -> _Drawn:
        length = rng.choice((1, 5, 20, 60, 240))
        node = rng.choice((-1, 0, 0, 1))
        return [(at, "rpc", (kind, rng.randrange(endpoints), node, float(length), amount(rng)))]

    return drawn


def _beside(rng: random.Random, at: float, devices: int, _: int, __: int) -> _Drawn:
    words = rng.choice(
        ((), ("--shard", "1/1"), ("--limit", f"sim-dz-{rng.randrange(devices):03d}"), ("--dry-run",))
    )
    return [(at, "beside", words)]


def _pause(rng: random.Random, at: float, devices: int, users: int, _: int) -> _Drawn:
    """Something changes, and the program is stopped for a while where it has just seen that."""
    pause = ("at-look", (rng.randint(devices, 2 * devices), rng.choice((0.05, 0.2, 0.5)), "pause"))
    length = rng.choice((15.0, 70.0, 70.0, 300.0))
    return [*_change(rng, at, devices, users, 0), (at + 0.1, pause[0], (*pause[1], length))]


def _standstill(rng: random.Random, at: float, devices: int, users: int, endpoints: int) -> _Drawn:
    """Freeze every RPC, and change a session meanwhile."""
    still: _Drawn = [(at, "rpc", ("frozen", number, -1, 240.0, 0.0)) for number in range(endpoints)]
    changes = [
        change for _ in range(3) for change in _change(rng, at + rng.uniform(40, 120), devices, users, 0)
    ]
    return [*still, *changes]


def _tidy(rng: random.Random, at: float, devices: int, users: int, _: int) -> _Drawn:
    """Somebody removes the lock of a run, and starts another one beside it."""
    user = _user(rng, devices, users)
    return [
        (at, "down", (user,)),
        (at + 0.1, "at-look", (1, 0.0, "unlink-lock")),
        (at + 0.1, "at-look", (1, rng.choice((0.1, 2.0)), "beside")),
    ]


def _sluggish(rng: random.Random, at: float, devices: int, users: int, endpoints: int) -> _Drawn:
    """Something changes, and once that is seen every answer of an RPC takes nearly as long as it may."""
    looks = rng.randint(devices, 2 * devices)
    slow: _Drawn = [
        (at + 0.1, "at-look", (looks, 0.0, "rpc", "slow", number, -1, 240.0, 9.0))
        for number in range(endpoints)
    ]
    return [*_change(rng, at, devices, users, 0), *slow]


def _orphan(rng: random.Random, at: float, devices: int, users: int, endpoints: int) -> _Drawn:
    """What is sent lands late, and whoever sent it is killed, perhaps with a disk that is full."""
    late: _Drawn = [(at, "rpc", ("late", number, -1, 60.0, 140.0)) for number in range(endpoints)]
    disk: _Drawn = [(at, "disk", (60.0,))] if rng.random() < 0.5 else []
    return [*late, *disk, *_change(rng, at, devices, users, 0), (at, "kill-at-send", (1,))]


def _one(kind: str, argument: Callable[[random.Random], tuple[float | int | str, ...]]) -> _Draw:
    return lambda rng, at, _, __, ___: [(at, kind, argument(rng))]


_STATUSES = (301, 401, 402, 403, 404, 408, 410, 413, 429, 503, 522)
_ERRORS = (503, 429, -32603, -32000, -32601, -32010, -32005)
_DRAWN: dict[str, _Draw] = {
    "flap": _flap,
    "change": _change,
    "mass": _mass,
    "life": _life,
    "device-silent": _device("silent"),
    "device-slow": _device("slow", lambda rng: rng.choice((2.0, 6.0, 9.0))),
    "device-failing": _device("failing"),
    "device-no-bgp": _device("no_bgp"),
    "device-lost-vrf": _device("lost_vrf"),
    "device-other": _device("other_device"),
    # Shorter than what the guard takes to let it through.
    "device-empty-vrf": _device("empty_vrf", lengths=(5, 20, 60, 100)),
    "rpc-lag": _rpc("lag", lambda rng: float(rng.choice((5, 20, 60, 100, 200, 400)))),
    "rpc-frozen": _rpc("frozen"),
    "rpc-stale": _rpc("stale_accounts", lambda rng: float(rng.choice((10, 50, 300)))),
    "rpc-forgetful": _rpc("forgetful"),
    "rpc-dropping": _rpc("dropping", lambda rng: rng.choice((0.5, 1.0))),
    "rpc-late": _rpc("late", lambda rng: float(rng.choice((10, 40, 100, 140)))),
    "rpc-slow": _rpc("slow", lambda rng: rng.choice((1.0, 4.0, 9.0))),
    "rpc-silent": _rpc("silent"),
    "rpc-wedged": _rpc("wedged"),
    "rpc-refusing": _rpc("refusing"),
    "rpc-status": _rpc("status", lambda rng: float(rng.choice(_STATUSES))),
    "rpc-error": _rpc("error", lambda rng: float(rng.choice(_ERRORS))),
    "rpc-cut": _rpc("cut"),
    "rpc-samples": _rpc("no_samples"),
    "rpc-wild": _rpc("wild_slot"),
    "fork": _one("fork", lambda rng: (rng.randint(2, 30), rng.choice((0.0, 0.5, 1.0)))),
    "kill": _one("kill", lambda _: ()),
    "kill-at-save": _one("kill-at-save", lambda rng: (rng.randint(1, 6),)),
    "kill-at-send": _one("kill-at-send", lambda rng: (rng.randint(1, 2),)),
    "term": _one("term", lambda _: ()),
    "pause": _pause,
    "clock": _one("clock", lambda rng: (rng.choice((-7200.0, -120.0, -20.0, 20.0, 120.0, 7200.0)),)),
    "disk": _one("disk", lambda rng: (rng.choice((5.0, 60.0, 200.0)),)),
    "hup": _one("hup", lambda _: ()),
    "new-ledger": _one("new-ledger", lambda rng: (rng.choice((1_000, 50_000_000)),)),
    "beside": _beside,
    "sluggish": _sluggish,
    "orphan": _orphan,
    "standstill": _standstill,
    "tidy": _tidy,
    "unlink-lock": _one("unlink-lock", lambda _: ()),
    "other-report": _one("other-report", lambda rng: (rng.random(), rng.choice(("up", "down")))),
}
