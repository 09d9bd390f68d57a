"""The second look before a Down, over real simulated devices that NAPALM reads."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from small_world import DOWN, PUBLISHER, SIGNERS, UP, SmallWorld

from dzbgp.console.progress import NoProgress
from dzbgp.decision.rules import Rules
from dzbgp.fleet.fleet import Fleet
from dzbgp.fleet.load import load_inventory
from dzbgp.lab.eos.fleet import EosFault, EosFleet, FaultKind
from dzbgp.lab.world import scenario
from dzbgp.lab.world.inventory import write_inventory
from dzbgp.lab.world.scenario import DeviceRow, UserRow
from dzbgp.lab.world.world import UserSpec, World
from dzbgp.models.decision import Decision
from dzbgp.models.report import Report
from dzbgp.models.session import Observed
from dzbgp.run.job import run_pass
from dzbgp.run.request import PassOptions
from dzbgp.state.memory import Recall

ONE, TWO, THREE = "one-dz-001", "two-dz-001", "tri-dz-001"
CONTRIBUTOR = scenario.PUBLISHERS[0]
# What is expected of a first pass is not used here: each test makes its own.
NOTHING = scenario.leave("unchanged")
USERS = tuple(
    UserRow(code, 500 + number, scenario.IBRL, onchain, scenario.up(1_000 * (number + 1)), NOTHING)
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
            dry_run=False, confirm_down_s=confirm_down_s, rules=Rules(max_down_min=99), signers=SIGNERS
        )
        self.chain.writes = []
        return run_pass(
            self.fleet,
            cast("Any", self.chain.ledger),
            options,
            NoProgress(),
            Recall(None, dry_run=False),
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
        DeviceRow(code, CONTRIBUTOR, f"{net}.{number}", 0) for number, code in enumerate((ONE, TWO, THREE), 1)
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
        (FaultKind.NO_ANSWER, ""),
        (FaultKind.HANGUP, ""),
        (FaultKind.BAD_PASSWORD, ""),
        (FaultKind.GARBAGE, ""),
        (FaultKind.EMPTY, "shows no BGP at all"),
        (FaultKind.WRONG_IDENTITY, "it is another device"),
        (EosFault(FaultKind.MISSING_VRF, vrf="vrf1"), "vrf"),
    ],
    ids=str,
)
def test_a_second_look_that_tells_nothing_leaves_the_down_unconfirmed(
    scene: Scene, fault: FaultKind | EosFault, words: str
) -> None:
    spec = scene.user(ONE, 0)
    scene.goes(spec, "Active")
    scene.between = lambda: scene.eos.set_fault(ONE, fault)
    report = scene.run()
    decision = scene.decision(spec, report)
    assert (decision.reason, decision.status) == ("unconfirmed", None)
    assert "at the first look, and the second told nothing: " in decision.detail
    assert words in decision.detail
    assert scene.chain.writes == []
    # What was seen of the others stands.
    assert scene.decision(scene.user(ONE, 1), report).reason == "unchanged"


def test_only_devices_with_such_a_change_are_asked_again(scene: Scene) -> None:
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


def test_who_is_up_again_at_the_second_look_and_due_is_written_up_with_its_rtt(scene: Scene) -> None:
    spec = scene.user(ONE, 1)
    scene.chain.change(spec.user.pubkey, last_bgp_reported_at=0)
    scene.goes(spec, "Active")
    scene.between = lambda: scene.goes(spec, "Established")
    scene.run()
    assert [(write.status, write.rtt_ns) for write in scene.chain.writes] == [(UP, 2_000_000)]


def test_an_up_is_written_without_rtt_when_the_device_falls_silent_in_between(scene: Scene) -> None:
    spec = scene.user(ONE, 2)
    scene.chain.change(spec.user.pubkey, bgp_status=DOWN)
    scene.goes(scene.user(ONE, 0), "Idle")
    scene.between = lambda: scene.eos.set_fault(ONE, FaultKind.HANGUP)
    scene.run()
    assert [(write.status, write.rtt_ns) for write in scene.chain.writes] == [(UP, 0)]


def test_confirm_down_of_zero_takes_the_first_looks_word(scene: Scene) -> None:
    spec = scene.user(ONE, 0)
    scene.goes(spec, "Active")
    scene.between = lambda: scene.goes(spec, "Established")
    scene.run(confirm_down_s=0)
    assert scene.slept == []
    assert [write.status for write in scene.chain.writes] == [DOWN]


def test_a_down_that_is_refreshed_or_first_reported_needs_no_second_look(scene: Scene) -> None:
    spec = scene.user(ONE, 0)
    scene.chain.change(spec.user.pubkey, bgp_status=DOWN, last_bgp_reported_at=0)
    scene.goes(spec, "Active")
    scene.run()
    assert scene.slept == []
    assert [write.status for write in scene.chain.writes] == [DOWN]
