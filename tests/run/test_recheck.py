"""The second look before a Down, over real simulated devices that NAPALM reads."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from small_world import DOWN, NEVER, PUBLISHER, SIGNERS, UP, Passes, SmallWorld

from dzbgp.console.progress import NoProgress
from dzbgp.decision.rules import Rules
from dzbgp.fleet.fleet import Fleet
from dzbgp.fleet.load import load_inventory
from dzbgp.lab.eos.fleet import DeviceFault, EosFault, EosFleet
from dzbgp.lab.world import scenario
from dzbgp.lab.world.inventory import write_inventory
from dzbgp.lab.world.scenario import ScenarioDevice, ScenarioUser
from dzbgp.lab.world.world import UserSpec, World
from dzbgp.models.decision import Decision
from dzbgp.models.exit import ExitReason, exit_reasons
from dzbgp.models.ledger import BgpStatus
from dzbgp.models.report import Report
from dzbgp.models.session import Observed
from dzbgp.run.interrupts import Interrupts
from dzbgp.run.job import run_pass
from dzbgp.run.request import PassOptions
from dzbgp.state.memory import Memory

ONE, TWO, THREE = "one-dz-001", "two-dz-001", "tri-dz-001"
CONTRIBUTOR = scenario.PUBLISHERS[0]
# What is expected of a first pass is not used here: each test makes its own.
NOTHING = scenario.leave("unchanged")
USERS = tuple(
    ScenarioUser(code, 500 + number, scenario.IBRL, onchain, scenario.up(1_000 * (number + 1)), NOTHING)
    for code in (ONE, TWO, THREE)
    for number, onchain in enumerate((scenario.UP, scenario.UP, scenario.DOWN))
)


@dataclass
class Scene:
    """Three devices with three users each: two Up onchain, one Down; and all three Established."""

    eos: EosFleet
    fleet: Fleet
    world: World
    chain: SmallWorld = field(default_factory=lambda: SmallWorld(0, 0))
    between: Callable[[], None] = lambda: None
    slept: list[float] = field(default_factory=list)

    def begin(self) -> None:
        self.chain = SmallWorld(0, 0)
        self.chain.slot = self.world.now_slot
        self.chain.devices = {spec.device.pubkey: spec.device for spec in self.world.devices}
        self.chain.users = {spec.user.pubkey: spec.user for spec in self.world.users}
        self.between, self.slept = lambda: None, []
        for code in (ONE, TWO, THREE):
            self.eos.set_fault(code, None)
        for spec in self.world.users:
            self.goes(spec, "Established")
        self.chain.write_mode = "land"
        # The third of each device is Up already, so that only what a test does is news.
        for code in (ONE, TWO, THREE):
            self.chain.change(self.user(code, 2).user.pubkey, bgp_status=UP)

    def user(self, code: str, number: int) -> UserSpec:
        return self.world.user(code, 500 + number)

    def goes(self, spec: UserSpec, state: str) -> None:
        self.eos.set_state(spec.device, spec.peer_address, state, established_s=9_000)

    def run(self, confirm_down_s: float = 5.0) -> Report:
        options = PassOptions(
            dry_run=False, confirm_down_s=confirm_down_s, rules=Rules(max_down=1.0), signers=SIGNERS
        )
        self.chain.writes = []
        return run_pass(
            self.fleet,
            cast("Any", self.chain.ledger),
            options,
            NoProgress(),
            Memory(None, dry_run=False),
            self._sleep,
        )

    def decision(self, spec: UserSpec, report: Report) -> Decision:
        return next(one for one in report.decisions if one.observation.user.pubkey == spec.user.pubkey)

    def requests(self) -> dict[str, int]:
        return {code: self.eos.requests(code) for code in (ONE, TWO, THREE)}

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.between()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    net = f"127.{100 + hash(str(tmp_path_factory.getbasetemp())) % 100}.77"
    rows = tuple(
        ScenarioDevice(code, CONTRIBUTOR, f"{net}.{number}", 0)
        for number, code in enumerate((ONE, TWO, THREE), 1)
    )
    world = World.of(rows, USERS, publishers={CONTRIBUTOR: PUBLISHER.pubkey()})
    with EosFleet.start(world.eos_devices()) as eos:
        world = world.relocated(eos.addresses)
        directory = write_inventory(tmp_path_factory.mktemp("inventory"), world).parent
        file = directory / "defaults.yaml"
        file.write_text(
            file.read_text(encoding="utf-8").replace("timeout: 3", "timeout: 1"), encoding="utf-8"
        )
        with Fleet(load_inventory(directory)) as fleet:
            yield Scene(eos, fleet, world)


@pytest.fixture
def scene(stage: Scene) -> Scene:
    stage.begin()
    return stage


def test_without_news_no_device_is_asked_again(scene: Scene) -> None:
    scene.run()
    before = scene.requests()
    report = scene.run()
    assert {one.reason for one in report.decisions} == {"unchanged"}
    assert scene.slept == []
    assert {code: count - before[code] for code, count in scene.requests().items()} == dict.fromkeys(
        before, 1
    )


def test_down_at_both_looks_is_down(scene: Scene) -> None:
    spec = scene.user(ONE, 0)
    scene.goes(spec, "Active")
    report = scene.run()
    assert scene.slept == [5.0]
    decision = scene.decision(spec, report)
    assert (decision.reason, decision.status, decision.rtt_ns) == ("changed", DOWN, 0)
    assert [(write.user, write.status) for write in scene.chain.writes] == [(spec.user.pubkey, DOWN)]


def test_up_at_the_second_look_is_no_down(scene: Scene) -> None:
    spec = scene.user(ONE, 0)
    scene.goes(spec, "Active")
    scene.between = lambda: scene.goes(spec, "Established")
    report = scene.run()
    decision = scene.decision(spec, report)
    assert (decision.reason, decision.status) == ("unchanged", UP)
    assert scene.chain.writes == []


def test_one_that_comes_back_does_not_save_another_that_does_not(scene: Scene) -> None:
    first, second = scene.user(ONE, 0), scene.user(ONE, 1)
    scene.goes(first, "Active")
    scene.goes(second, "Active")
    scene.between = lambda: scene.goes(first, "Established")
    scene.run()
    assert [write.user for write in scene.chain.writes] == [second.user.pubkey]


def test_one_that_is_down_only_at_the_second_look_waits_for_the_next_pass(scene: Scene) -> None:
    first, second = scene.user(ONE, 0), scene.user(ONE, 1)
    scene.goes(first, "Active")
    scene.between = lambda: scene.goes(second, "Active")
    scene.run()
    assert [write.user for write in scene.chain.writes] == [first.user.pubkey]


def test_a_neighbor_that_is_taken_away_between_the_looks_is_down(scene: Scene) -> None:
    spec = scene.user(ONE, 0)
    scene.goes(spec, "Active")
    peer = scene.eos.device(ONE).peer(spec.peer_address)
    scene.between = lambda: scene.eos.remove_peer(ONE, spec.peer_address)
    try:
        decision = scene.decision(spec, scene.run())
    finally:
        scene.eos.add_peer(ONE, peer)
    assert (decision.reason, decision.status) == ("changed", DOWN)
    assert decision.observation.observed is Observed.ABSENT


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (DeviceFault.NO_ANSWER, ""),
        (DeviceFault.HANGUP, ""),
        (DeviceFault.BAD_PASSWORD, ""),
        (DeviceFault.GARBAGE, ""),
        (DeviceFault.EMPTY, "shows no BGP at all"),
        (DeviceFault.WRONG_IDENTITY, "it is another device"),
        (EosFault(DeviceFault.MISSING_VRF, vrf="vrf1"), "vrf"),
    ],
    ids=str,
)
def test_a_second_look_that_tells_nothing_leaves_the_down_unconfirmed(
    scene: Scene, fault: DeviceFault | EosFault, words: str
) -> None:
    spec = scene.user(ONE, 0)
    scene.goes(spec, "Active")
    scene.between = lambda: scene.eos.set_fault(ONE, fault)
    report = scene.run()
    decision = scene.decision(spec, report)
    assert (decision.reason, decision.status) == ("unconfirmed", None)
    assert "at the first look; the second look failed: " in decision.detail
    assert words in decision.detail
    assert scene.chain.writes == []
    # What was seen of the others stands.
    assert scene.decision(scene.user(ONE, 1), report).reason == "unchanged"


def test_only_devices_with_such_a_change_are_asked_again(scene: Scene) -> None:
    # A device's first pass asks it who it is, too.
    scene.run()
    scene.goes(scene.user(TWO, 1), "Idle")
    before = scene.requests()
    scene.run()
    asked = {code: count - before[code] for code, count in scene.requests().items()}
    assert asked[ONE] == asked[THREE] == 1
    assert asked[TWO] > 1


def test_the_same_look_brings_the_rtts_of_what_is_written_up(scene: Scene) -> None:
    spec = scene.user(THREE, 2)
    scene.chain.change(spec.user.pubkey, bgp_status=DOWN)
    scene.goes(scene.user(ONE, 0), "Idle")
    scene.run()
    assert scene.slept == [5.0]
    assert {write.user: (write.status, write.rtt_ns) for write in scene.chain.writes} == {
        scene.user(ONE, 0).user.pubkey: (DOWN, 0),
        spec.user.pubkey: (UP, 3_000_000),
    }


def test_without_a_down_nobody_waits_for_rtts(scene: Scene) -> None:
    spec = scene.user(THREE, 2)
    scene.chain.change(spec.user.pubkey, bgp_status=DOWN)
    scene.run()
    assert scene.slept == []
    assert [(write.status, write.rtt_ns) for write in scene.chain.writes] == [(UP, 3_000_000)]


def test_a_refresh_is_not_written_when_the_looks_disagree(scene: Scene) -> None:
    spec = scene.user(ONE, 1)
    scene.chain.change(spec.user.pubkey, last_bgp_reported_at=0)
    scene.goes(spec, "Active")
    scene.between = lambda: scene.goes(spec, "Established")
    decision = scene.decision(spec, scene.run())
    assert decision.reason == "unconfirmed"
    assert decision.detail.endswith("Not written: the first look said down.")
    assert scene.chain.writes == []


def test_an_up_is_not_written_when_the_session_is_down_at_the_second_look(scene: Scene) -> None:
    spec = scene.user(ONE, 2)
    scene.chain.change(spec.user.pubkey, bgp_status=DOWN)
    scene.goes(scene.user(TWO, 0), "Idle")
    scene.between = lambda: scene.goes(spec, "Idle")
    assert scene.decision(spec, scene.run()).reason == "unchanged"
    assert [write.status for write in scene.chain.writes] == [DOWN]


def test_an_up_is_not_written_when_the_device_falls_silent_in_between(scene: Scene) -> None:
    spec = scene.user(ONE, 2)
    scene.chain.change(spec.user.pubkey, bgp_status=DOWN)
    scene.goes(scene.user(TWO, 0), "Idle")
    scene.between = lambda: scene.eos.set_fault(ONE, DeviceFault.HANGUP)
    decision = scene.decision(spec, scene.run())
    assert decision.reason == "unconfirmed"
    assert "the session was Established at the first look" in decision.detail
    assert [write.status for write in scene.chain.writes] == [DOWN]


def test_confirm_down_of_zero_looks_again_at_once(scene: Scene) -> None:
    spec = scene.user(ONE, 0)
    scene.goes(spec, "Active")
    before = scene.requests()
    scene.run(confirm_down_s=0)
    assert scene.slept == []
    assert scene.requests()[ONE] - before[ONE] > 1
    assert [write.status for write in scene.chain.writes] == [DOWN]


@pytest.mark.parametrize("onchain", [DOWN, NEVER])
def test_a_down_that_is_refreshed_or_first_reported_takes_a_second_look_too(
    scene: Scene, onchain: BgpStatus
) -> None:
    spec = scene.user(ONE, 0)
    scene.chain.change(spec.user.pubkey, bgp_status=onchain, last_bgp_reported_at=0)
    scene.goes(spec, "Active")
    scene.run()
    assert scene.slept == [5.0]
    assert [write.status for write in scene.chain.writes] == [DOWN]
    scene.chain.change(spec.user.pubkey, bgp_status=onchain, last_bgp_reported_at=0)
    scene.between = lambda: scene.goes(spec, "Established")
    scene.run()
    assert scene.chain.writes == []


# Devices that are slow, and fleets that take long


def test_each_decision_rests_on_the_second_look_and_on_the_slot_before_it() -> None:
    world = SmallWorld(2, 2)
    world.goes_down(world.user(0).pubkey)
    passes = Passes(world, confirm_down_s=5)
    first, second = world.slot, world.slot + 13  # 5 s at 0.4 s a slot, rounded up
    looks = [one.look for one in passes.run().decisions]
    assert [look.slot if look else None for look in looks] == [pytest.approx(second, abs=1), *[first] * 3]


@pytest.mark.parametrize("look", ["read", "recheck"])
def test_a_device_that_is_slow_in_either_look_loses_only_its_own_users(look: str) -> None:
    world = SmallWorld(75, 1, DOWN)
    world.goes_up()
    slow = world.device(7).code
    report = Passes(world).run(late={look: {slow}})
    assert len(world.writes) == 74
    (left,) = [one for one in report.decisions if one.reason != "changed"]
    assert left.observation.host == slow
    assert left.reason == ("no-answer" if look == "read" else "expired")


def test_each_look_ends_at_half_the_age_that_a_decision_may_have() -> None:
    world = SmallWorld(3, 1, DOWN)
    world.goes_up()
    Passes(world, max_age_s=40).run(per_look=2)
    assert world.look_limits == [20, 20, 20]


def test_a_fleet_that_takes_longer_than_a_look_is_written_in_groups() -> None:
    world = SmallWorld(7, 2, DOWN)
    world.goes_up()
    report = Passes(world).run(per_look=3)
    assert [len(hosts) for hosts in world.looked_again] == [3, 3, 1]
    assert world.transactions == 3
    assert {one.reason for one in report.decisions} == {"changed"}
    assert [one.observation.host for one in report.decisions] == sorted(
        one.observation.host for one in report.decisions
    )
    assert all(user.bgp_status is UP for user in world.users.values())


def test_after_a_signal_while_a_group_is_written_no_other_is_begun_and_the_report_says_so() -> None:
    class Signalled(Interrupts):
        def release(self) -> bool:
            return False

    world = SmallWorld(7, 2, DOWN)
    world.goes_up()
    passes = Passes(world)
    passes.interrupts = Signalled()
    report = passes.run(per_look=3)
    assert world.transactions == 1
    assert Counter(one.reason for one in report.decisions) == {"changed": 6, "expired": 8}
    assert exit_reasons(report) == [ExitReason.NOT_WRITTEN, ExitReason.INTERRUPTED]


def test_the_guard_weighs_the_whole_fleet_whatever_the_groups() -> None:
    world = SmallWorld(8, 10)
    world.goes_down(*(one for number, one in enumerate(world.users) if number % 10 < 3))
    world.goes_down(world.user(9).pubkey)
    passes = Passes(world, max_down=0.3, max_down_min=10)
    report = passes.run(per_look=3)
    assert [one.reason for one in report.decisions if one.reason != "unchanged"] == ["guard"] * 25
    assert world.transactions == 0
