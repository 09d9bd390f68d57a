"""`dzbgp inventory`: what it writes, what it changes when it is run again, and what it leaves alone."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import ruamel.yaml
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from inventory_lab import CODES, KESTREL, WORLD, change_device, remove_device
from nornir import InitNornir
from solders.pubkey import Pubkey
from standing_ledger import invoke, standing_ledger

from dzbgp.errors import ExitCode
from dzbgp.fleet.from_ledger.directory import InventoryUpdate, plan_update
from dzbgp.fleet.from_ledger.facts import FACTS, Facts, facts_of
from dzbgp.fleet.from_ledger.selection import Selection
from dzbgp.fleet.from_ledger.update import Kind
from dzbgp.fleet.from_ledger.yaml_edit import UneditableError, YamlText, inline, text
from dzbgp.fleet.load import load_inventory
from dzbgp.lab.solana.ledger import Ledger
from dzbgp.ledger.program.snapshot import Names
from dzbgp.models.ledger import Contributor, Device, DeviceStatus, Exchange, Location

AMS = WORLD.device("ams-dz-001").device


@pytest.fixture(autouse=True)
def login(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person's: the files that are made of the ledger hold none."""
    monkeypatch.setenv("DZBGP_EOS_USERNAME", "reader")
    monkeypatch.setenv("DZBGP_EOS_PASSWORD", "hunter2")


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with standing_ledger(WORLD) as ledger:
        yield ledger


def load(file: Path) -> dict[str, Any]:
    return ruamel.yaml.YAML(typ="safe").load(file.read_text()) or {}


def written(ledger: Ledger, directory: Path, *args: str, code: ExitCode = ExitCode.OK) -> str:
    done = invoke(ledger, "inventory", "--output", str(directory), *args)
    assert done.exit_code == code, done.output
    return done.stdout


def contents(directory: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in directory.iterdir()}


def edit(file: Path, *changes: tuple[str, str]) -> None:
    content = file.read_text()
    for old, new in changes:
        assert old in content, old
        content = content.replace(old, new, 1)
    file.write_text(content)


def test_it_writes_an_inventory_that_dzbgp_and_nornir_read(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = written(ledger, Path("mine/fleet"))
    assert "8 added" in said
    assert {file.name for file in (tmp_path / "mine/fleet").iterdir()} == {
        "hosts.yaml",
        "groups.yaml",
        "defaults.yaml",
        "config.yaml",
    }
    assert sorted(load_inventory(Path("mine/fleet")).inventory.hosts) == CODES
    plain = InitNornir(config_file="mine/fleet/config.yaml").inventory
    assert sorted(plain.hosts) == CODES
    assert plain.hosts["lon-dz-001"]["location_name"] == "London"
    assert plain.hosts["lon-dz-001"].platform == "eos"
    monkeypatch.chdir("/")
    assert sorted(load_inventory(tmp_path / "mine/fleet/config.yaml").inventory.hosts) == CODES


def test_it_says_the_same_as_the_plugin(ledger: Ledger, tmp_path: Path) -> None:
    written(ledger, tmp_path / "fleet", "--hostname", "{code}.mgmt", "--metro", "xams,xfra")
    options = {
        "env": "localnet",
        "rpc_url": ledger.url,
        "hostname": "{code}.mgmt",
        "metro": ["xams", "xfra"],
    }
    plugin = InitNornir(
        inventory={"plugin": "DoubleZeroInventory", "options": options}, logging={"enabled": False}
    ).inventory
    hosts = load(tmp_path / "fleet/hosts.yaml")
    assert {name: host.hostname for name, host in plugin.hosts.items()} == {
        name: host["hostname"] for name, host in hosts.items()
    }
    assert {name: dict(host.data) for name, host in plugin.hosts.items()} == {
        name: host["data"] for name, host in hosts.items()
    }
    assert set(plugin.groups) == set(load(tmp_path / "fleet/groups.yaml"))


def test_run_again_it_changes_nothing(ledger: Ledger, tmp_path: Path) -> None:
    written(ledger, tmp_path / "fleet")
    before = contents(tmp_path / "fleet")
    said = written(ledger, tmp_path / "fleet", "--exit-code", "--dry-run")
    assert "8 unchanged" in said
    assert "Nothing to write" in said
    assert contents(tmp_path / "fleet") == before


def test_what_the_ledger_knows_renewed_goes_in_and_every_other_line_stays(
    ledger: Ledger, tmp_path: Path
) -> None:
    fleet = tmp_path / "fleet"
    written(ledger, fleet)
    edit(
        fleet / "hosts.yaml",
        ("\nams-dz-001:\n", "\n# The first one.\nams-dz-001:  # ours\n  port: 8443\n"),
        ("location-ams, status-activated]", "location-ams, status-activated, edge]  # and mine"),
        ("    status: activated\n", "    # as of today\n    status: 'activated' # so far\n    rack: 7\n"),
        ("\nchi-dz-001:", "\n# Spare, not onchain.\nspare-1:\n  hostname: 10.9.9.9\n\nchi-dz-001:"),
    )
    edit(fleet / "groups.yaml", ("contributor-kestrel: {}", "edge: {}\ncontributor-kestrel: {}"))
    before = (fleet / "hosts.yaml").read_text()
    change_device(ledger, "ams-dz-001", status=DeviceStatus.DRAINED, public_ip="203.0.113.7")
    said = written(ledger, fleet)
    assert "~ host ams-dz-001: hostname " in said
    assert "status activated -> drained" in said
    expected = (
        before.replace(f"  hostname: {AMS.public_ip}", "  hostname: 203.0.113.7")
        .replace(f"    public_ip: {AMS.public_ip}", "    public_ip: 203.0.113.7")
        .replace("location-ams, status-activated, edge]", "location-ams, status-drained, edge]")
        .replace("status: 'activated' # so far", "status: drained # so far")
    )
    assert (fleet / "hosts.yaml").read_text() == expected
    assert "1 no device of the ledger" in said


def test_a_hostname_of_a_person_stays_and_one_of_the_ledger_follows_it(
    ledger: Ledger, tmp_path: Path
) -> None:
    fleet = tmp_path / "fleet"
    written(ledger, fleet)
    edit(fleet / "hosts.yaml", (f"hostname: {AMS.public_ip}", "hostname: 10.0.0.1"))
    said = written(ledger, fleet, "--hostname", "{code}.mgmt.example.net")
    hosts = load(fleet / "hosts.yaml")
    assert hosts["ams-dz-001"]["hostname"] == "10.0.0.1"
    assert hosts["fra-dz-001"]["hostname"] == "fra-dz-001.mgmt.example.net"
    assert "1 with a hostname of your own" in said
    written(ledger, fleet, "--hostname", "{code}.mgmt.example.net", "--dry-run", "--exit-code")


def test_hosts_that_left_the_ledger_are_told_and_kept_until_they_are_pruned(
    ledger: Ledger, tmp_path: Path
) -> None:
    fleet = tmp_path / "fleet"
    written(ledger, fleet)
    edit(
        fleet / "hosts.yaml",
        ("\nfra-dz-001:", "\n# About Frankfurt.\nfra-dz-001:"),
        ("\nlax-dz-001:", "\n# About LA.\nlax-dz-001:"),
    )
    before = (fleet / "hosts.yaml").read_text()
    remove_device(ledger, "fra-dz-001")
    assert "! host fra-dz-001: no longer in the ledger; kept" in written(ledger, fleet)
    assert (fleet / "hosts.yaml").read_text() == before
    said = written(ledger, fleet, "--prune")
    assert "- host fra-dz-001" in said
    assert "- groups location-fra, metro-xfra" in said
    after = (fleet / "hosts.yaml").read_text()
    start, end = before.index("# About Frankfurt."), before.index("# About LA.")
    assert after == before[:start] + before[end:]
    assert "location-fra" not in load(fleet / "groups.yaml")
    assert sorted(load_inventory(fleet).inventory.hosts) == [code for code in CODES if code != "fra-dz-001"]


def test_pruning_leaves_a_person_s_hosts_and_groups_alone(ledger: Ledger, tmp_path: Path) -> None:
    fleet = tmp_path / "fleet"
    written(ledger, fleet)
    edit(fleet / "groups.yaml", ("metro-xfra:\n", "metro-xfra:\n  port: 8443\n"))
    with (fleet / "hosts.yaml").open("a") as file:
        file.write("spare-1: {hostname: 10.9.9.9}\n")
    remove_device(ledger, "fra-dz-001")
    written(ledger, fleet, "--prune")
    assert "spare-1" in load(fleet / "hosts.yaml")
    assert load(fleet / "groups.yaml")["metro-xfra"]["port"] == 8443


def test_hosts_that_the_filters_do_not_choose_are_listed_and_removed_only_by_prune(
    ledger: Ledger, tmp_path: Path
) -> None:
    fleet = tmp_path / "fleet"
    written(ledger, fleet)
    with (fleet / "hosts.yaml").open("a") as file:
        file.write("spare-1: {hostname: 10.9.9.9}\n")
    change_device(ledger, "ams-dz-001", mgmt_vrf="oob")
    said = written(ledger, fleet, "--contributor", "kestrel")
    assert "! host ams-dz-001: not chosen by these filters; kept (--prune removes it)" in said
    assert "6 to prune" in said
    hosts = load(fleet / "hosts.yaml")
    assert sorted(hosts) == sorted([*CODES, "spare-1"])
    assert hosts["ams-dz-001"]["data"]["mgmt_vrf"] == "oob"
    said = written(ledger, fleet, "--contributor", "kestrel", "--prune")
    assert "- host ams-dz-001: not chosen by these filters" in said
    assert sorted(load(fleet / "hosts.yaml")) == sorted([*KESTREL, "spare-1"])
    assert "contributor-northlight" not in load(fleet / "groups.yaml")
    assert "Nothing to write" in written(ledger, fleet, "--contributor", "kestrel", "--prune")


def test_filters_choose_what_is_written(ledger: Ledger, tmp_path: Path) -> None:
    written(ledger, tmp_path / "a", "--contributor", "kestrel")
    assert sorted(load(tmp_path / "a/hosts.yaml")) == KESTREL
    written(ledger, tmp_path / "b", "--code", "a*,lon*", "--status", "drained")
    assert sorted(load(tmp_path / "b/hosts.yaml")) == ["lon-dz-001"]


def test_a_dry_run_writes_nothing_and_says_what_would_change(ledger: Ledger, tmp_path: Path) -> None:
    said = written(ledger, tmp_path / "fleet", "--dry-run")
    assert "+ host ams-dz-001" in said
    assert "Would write" in said
    assert not (tmp_path / "fleet").exists()
    written(ledger, tmp_path / "fleet", "--dry-run", "--exit-code", code=ExitCode.CHANGES_PENDING)


def test_a_device_that_was_made_renewed_under_its_code_stays_the_same_host(
    ledger: Ledger, tmp_path: Path
) -> None:
    fleet = tmp_path / "fleet"
    written(ledger, fleet)
    remove_device(ledger, "ams-dz-001")
    renewed = Pubkey.new_unique()
    from dzbgp.lab.world.encode import encode_device  # noqa: PLC0415

    ledger.set_account(renewed, encode_device(replace(AMS, pubkey=renewed)))
    assert f"dz_device {AMS.pubkey} -> {renewed}" in written(ledger, fleet)
    assert load(fleet / "hosts.yaml")["ams-dz-001"]["data"]["dz_device"] == str(renewed)


def test_an_inventory_written_by_hand_is_taken_up(ledger: Ledger, tmp_path: Path) -> None:
    example = Path(__file__).parents[2] / "inventory"
    for file in example.iterdir():
        (tmp_path / file.name).write_text(file.read_text())
    said = written(ledger, tmp_path)
    assert "8 changed" in said
    old, new = (example / "hosts.yaml").read_text(), (tmp_path / "hosts.yaml").read_text()
    assert [line for line in old.splitlines() if "#" in line] == [
        line for line in new.splitlines() if "#" in line
    ]
    assert list(load(tmp_path / "hosts.yaml")) == list(load(example / "hosts.yaml"))
    assert load(tmp_path / "hosts.yaml")["frankfurt-1"]["connection_options"]
    assert "Nothing to write" in written(ledger, tmp_path)
    assert (tmp_path / "defaults.yaml").read_text() == (example / "defaults.yaml").read_text()


def test_a_file_keeps_its_permissions_and_its_line_ends(ledger: Ledger, tmp_path: Path) -> None:
    written(ledger, tmp_path)
    hosts = tmp_path / "hosts.yaml"
    hosts.write_bytes(hosts.read_bytes().replace(b"\n", b"\r\n"))
    hosts.chmod(0o600)
    change_device(ledger, "ams-dz-001", mgmt_vrf="")
    written(ledger, tmp_path)
    assert hosts.stat().st_mode & 0o777 == 0o600
    assert hosts.read_bytes().count(b"\n") == hosts.read_bytes().count(b"\r\n")
    assert load(hosts)["ams-dz-001"]["data"]["mgmt_vrf"] == ""


def test_a_link_that_somebody_planted_beside_a_file_is_not_written_through(
    ledger: Ledger, tmp_path: Path
) -> None:
    inventory, victim = tmp_path / "inventory", tmp_path / "victim"
    inventory.mkdir()
    victim.write_bytes(b"mine")
    for name in ("hosts.yaml", "groups.yaml", "defaults.yaml"):
        (inventory / f".{name}.{os.getpid()}").symlink_to(victim)
    written(ledger, inventory)
    assert victim.read_bytes() == b"mine"
    assert (inventory / "hosts.yaml").is_file()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("hosts.yaml", "ams-dz-001: [", ["hosts.yaml", "line"]),
        ("hosts.yaml", "ams-dz-001: {port: x}", ["hosts.yaml", "ams-dz-001", "port"]),
        ("groups.yaml", "- a\n", ["groups.yaml"]),
        ("hosts.yaml", "a: &a {data: {x: 1}}\nams-dz-001: *a\n", ["hosts.yaml", "anchors"]),
    ],
)
def test_a_file_that_can_not_be_changed_is_told_and_nothing_is_written(
    ledger: Ledger, tmp_path: Path, name: str, content: str, words: list[str]
) -> None:
    (tmp_path / name).write_text(content)
    done = invoke(ledger, "inventory", "--output", str(tmp_path))
    assert done.exit_code == ExitCode.USAGE
    assert len(done.stderr.splitlines()) == 1
    assert all(word in done.stderr for word in words), done.stderr
    assert contents(tmp_path) == {name: content}


@pytest.mark.parametrize(
    ("args", "code", "word"),
    [
        (["--contributor", "nobody"], ExitCode.USAGE, "--contributor: unknown name 'nobody'"),
        (["--hostname", "{no}"], ExitCode.USAGE, "--hostname"),
        (["--rpc-url", "http://127.0.0.1:1/s3cret"], ExitCode.COULD_NOT_RUN, "127.0.0.1:1"),
    ],
)
def test_what_goes_wrong_is_one_line_and_an_exit_code(
    tmp_path: Path, ledger: Ledger, args: list[str], code: ExitCode, word: str
) -> None:
    done = invoke(
        None if "--rpc-url" in args else ledger, "inventory", "--output", str(tmp_path / "x"), *args
    )
    assert done.exit_code == code
    assert word in done.stderr
    assert "s3cret" not in done.output
    assert [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert not (tmp_path / "x").exists()


def test_a_place_that_is_a_file_or_can_not_be_written_is_told(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert invoke(ledger, "inventory", "--output", str(tmp_path / "file")).exit_code == ExitCode.USAGE
    done = invoke(ledger, "inventory", "--output", "/proc/fleet")
    assert done.exit_code == ExitCode.USAGE, done.output
    assert "/proc/fleet" in done.stderr


def test_what_a_contributor_chose_for_a_name_moves_no_cursor(ledger: Ledger, tmp_path: Path) -> None:
    change_device(ledger, "ams-dz-001", code="x\x1b[2J\n: {}#'\"é")
    said = written(ledger, tmp_path)
    assert "\x1b" not in said
    assert "x\x1b[2J\n: {}#'\"é" in load(tmp_path / "hosts.yaml")


# From here on without a ledger: what a person may have done to a file, and what the ledger may have done meanwhile.

KEYS = [Pubkey(bytes([number]) * 32) for number in range(1, 7)]
PLACES = [Pubkey(bytes([number]) * 32) for number in range(100, 104)]
NAMES = Names(
    locations={
        key: Location(key, f"loc{number}", f"City {number}", "NL") for number, key in enumerate(PLACES)
    },
    exchanges={key: Exchange(key, f"x{number}", f"City {number}") for number, key in enumerate(PLACES)},
    contributors={key: Contributor(key, f"con{number}") for number, key in enumerate(PLACES)},
)


@st.composite
def devices(draw: st.DrawFn, number: int) -> Device:
    return replace(
        AMS,
        pubkey=KEYS[number],
        code=f"dev-{number}",
        public_ip=f"203.0.113.{draw(st.integers(1, 4))}{number}",
        status=draw(st.sampled_from([DeviceStatus.ACTIVATED, DeviceStatus.DRAINED, DeviceStatus(9)])),
        location_pk=draw(st.sampled_from(PLACES)),
        exchange_pk=draw(st.sampled_from(PLACES)),
        contributor_pk=draw(st.sampled_from(PLACES)),
        mgmt_vrf=draw(st.sampled_from(["", "mgmt", "yes", "1", "a: b", "#x", "ü\x07\u2028"])),
    )


def facts_in(*some: Device) -> list[Facts]:
    return facts_of({device.pubkey: device for device in some}, NAMES)


@dataclass
class Hand:
    """A person at the file: writes hosts in whatever style, and remarks."""

    draw: st.DrawFn
    remarks: int = 0

    def flip(self) -> bool:
        return self.draw(st.booleans())

    def remark(self, indent: int) -> list[str]:
        self.remarks += 1
        kinds = [[], [f"{' ' * indent}# remark {self.remarks}"], [""], ["", f"# remark {self.remarks}", ""]]
        return self.draw(st.sampled_from(kinds))

    def end(self) -> str:
        self.remarks += 1
        return self.draw(st.sampled_from(["", f"  # remark {self.remarks}"]))

    def host(self, facts: Facts, hostname: str) -> list[str]:
        groups = [*facts.groups, *(["mine"] if self.flip() else [])]
        if self.flip():
            group_lines = [f"  groups: {inline(groups)}{self.end()}"]
        else:
            items = [
                line for group in groups for line in [*self.remark(2), f"    - {text(group)}{self.end()}"]
            ]
            group_lines = [f"  groups:{self.end()}", *items]
        known = {
            key: facts.data[key] for key in FACTS if key == "dz_device" or self.draw(st.integers(0, 5)) != 0
        }
        if self.flip():
            data_lines = [f"  data: {inline(known | {'rack': '7'})}{self.end()}"]
        else:
            pairs = [f"    {key}: {inline(value)}{self.end()}" for key, value in known.items()]
            pairs.insert(self.draw(st.integers(0, len(pairs))), "    rack: '7'")
            data_lines = [
                f"  data:{self.end()}",
                *(line for pair in pairs for line in [*self.remark(4), pair]),
            ]
        parts = [
            group_lines,
            data_lines,
            [f"  port: 8443{self.end()}"],
            [f"  hostname: {hostname}{self.end()}"],
        ]
        order = self.draw(st.permutations(parts))
        return [f"{facts.name}:{self.end()}", *(line for part in order for line in [*part, *self.remark(2)])]


@dataclass
class Case:
    before: list[Facts]
    """What the file says of its devices."""
    after: list[Facts]
    """What the ledger says now."""
    hosts: str
    own: Mapping[str, bool]
    """Of each host in the file, whether its hostname is a person's."""


@st.composite
def cases(draw: st.DrawFn) -> Case:
    hand = Hand(draw)
    known = [number for number in range(6) if draw(st.integers(0, 3))]
    before = facts_in(*(draw(devices(number)) for number in known))
    left = [number for number in range(6) if draw(st.integers(0, 3))] or [0]
    after = facts_in(*(draw(devices(number)) for number in left))
    own = {facts.name: hand.flip() for facts in before}
    lines = hand.remark(0)
    for facts in draw(st.permutations(before)):
        lines += hand.host(facts, "10.0.0.1" if own[facts.name] else facts.data["public_ip"])
        lines += hand.remark(0)
        if hand.flip():
            lines += [f"own-{len(lines)}:", "  port: 1", *hand.remark(2)]
    return Case(before, after, "\n".join(lines) + ("\n" if hand.flip() else ""), own)


def updated(directory: Path, everything: list[Facts], *, prune: bool) -> InventoryUpdate:
    plan = plan_update(directory, "localnet", everything, Selection(), prune=prune)
    plan.carry_out()
    return plan


# Each example writes and reads whole files several times; shrinking one would take minutes.
@settings(max_examples=40, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(case=cases(), prune=st.booleans())
def test_an_update_keeps_what_a_person_added_and_brings_what_the_ledger_knows(
    tmp_path_factory: pytest.TempPathFactory, case: Case, prune: bool
) -> None:
    directory = tmp_path_factory.mktemp("fleet")
    file = directory / "hosts.yaml"
    file.write_text(case.hosts)
    (directory / "groups.yaml").write_text("mine: {port: 5}\n")
    before = load(file)
    updated(directory, case.after, prune=prune)
    hosts, known = load(file), {facts.name: facts for facts in case.after}
    for name, facts in known.items():
        assert {key: hosts[name]["data"][key] for key in FACTS} == facts.data
        ours = [group for group in hosts[name]["groups"] if group != "mine"]
        assert sorted(ours) == sorted(facts.groups)
        expected = "10.0.0.1" if case.own.get(name) else facts.data["public_ip"]
        old = next((one for one in case.before if one.name == name), None)
        if old is None or case.own[name] or "public_ip" in before[name]["data"]:
            assert hosts[name]["hostname"] == expected
    for name, entry in before.items():
        if name.startswith("own-"):
            assert hosts[name] == entry
        elif name in known:
            assert hosts[name]["port"] == 8443
            assert hosts[name]["data"]["rack"] == "7"
            assert ("mine" in hosts[name]["groups"]) == ("mine" in entry["groups"])
        else:
            assert (name not in hosts) if prune else hosts[name] == entry
    if not prune or not before.keys() - known.keys() - {n for n in before if n.startswith("own-")}:
        assert remarks(file.read_text()) == remarks(case.hosts)
    assert list(before) == [name for name in hosts if name in before] or prune
    assert not updated(directory, case.after, prune=prune).files


def remarks(content: str) -> list[str]:
    return [line[line.index("# remark") :] for line in content.splitlines() if "# remark" in line]


@given(value=st.text())
def test_any_text_is_written_so_that_it_is_read_back(value: str) -> None:
    value = value.encode("utf-8", "replace").decode()
    again = ruamel.yaml.YAML(typ="safe", pure=True).load(f"a: {inline({value: [value]})}\n")
    assert again == {"a": {value: [value]}}


def test_an_edit_that_would_change_more_than_it_is_about_is_refused() -> None:
    shared = YamlText("a: &x {k: '1'}\nb: *x\n")
    shared.set(("b", "k"), "2")
    with pytest.raises(UneditableError):
        shared.finished()


def test_a_plan_tells_kinds_of_changes(tmp_path: Path) -> None:
    world = facts_in(replace(AMS, code="a"))
    plan = plan_update(tmp_path / "new", "localnet", world, Selection())
    assert [change.kind for change in plan.tally.changes if change.noun == "host"] == [Kind.ADDED]
    assert not os.path.lexists(tmp_path / "new")
