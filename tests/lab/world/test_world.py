"""The lab's world: the same every time, true to its own rules, and described by inventory/."""

import copy
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import ruamel.yaml
from big_world import big_world
from nornir import InitNornir
from nornir.core import Nornir
from nornir.plugins.runners import SerialRunner
from nornir_napalm.plugins.tasks import napalm_get
from solders.pubkey import Pubkey

from dzbgp.lab.eos.fleet import ADMIN_DOWN, DeviceFault, EosFleet
from dzbgp.lab.world.encode import AccountType, Layout
from dzbgp.lab.world.inventory import write_inventory
from dzbgp.lab.world.world import LAB_PASSWORD, LAB_USERNAME, NOW_SLOT, PROGRAM_ID, World
from dzbgp.models.ledger import BgpStatus, DeviceStatus, UserStatus, UserType

CHECKOUT = Path(__file__).parents[3]
WORLD = World.build()
REFRESH_SLOTS = 54_000


def load(path: Path) -> Any:
    return ruamel.yaml.YAML(typ="safe").load(path)


def elsewhere() -> dict[str, tuple[str, int]]:
    """Free ports on addresses that no other run is likely to use; devices that share one still do."""
    net = f"127.{random.randint(110, 250)}.{random.randint(0, 255)}"
    return {device.code: (f"{net}.{device.address.split('.')[2]}", 0) for device in WORLD.devices}


def test_the_same_seed_gives_the_same_world() -> None:
    again = World.build()
    assert again == WORLD
    assert again.accounts() == WORLD.accounts()
    other = World.build(2)
    assert {device.device.pubkey for device in other.devices}.isdisjoint(WORLD.accounts())
    assert [user.user.client_ip for user in other.users] != [user.user.client_ip for user in WORLD.users]


def test_other_publishers_change_nothing_but_the_devices_publisher() -> None:
    keypairs = World.default_publishers()
    publishers = {name: keypair.pubkey() for name, keypair in keypairs.items()}
    other = World.build(publishers=publishers)
    assert tuple(publishers) == WORLD.publisher_names
    assert other.users == WORLD.users
    for device, before in zip(other.devices, WORLD.devices, strict=True):
        assert device.device.metrics_publisher_pk == publishers[device.publisher]
        assert device.device.pubkey == before.device.pubkey
    changed = {key for key, data in other.accounts().items() if WORLD.accounts()[key] != data}
    assert changed == {device.device.pubkey for device in WORLD.devices}


def test_a_world_at_another_slot_is_as_old_as_before() -> None:
    later = World.build(now_slot=NOW_SLOT + 1_000)
    for user, before in zip(later.users, WORLD.users, strict=True):
        moved = 1_000 if before.user.last_bgp_reported_at else 0
        assert user.user.last_bgp_reported_at - before.user.last_bgp_reported_at == moved
    with pytest.raises(ValueError, match="now_slot"):
        World.build(now_slot=100_000)


def test_keys_addresses_and_tunnels_are_unique() -> None:
    assert len(WORLD.accounts()) == len({*WORLD.accounts()})
    assert len({user.user.pubkey for user in WORLD.users}) == len(WORLD.users)
    assert len({device.device.public_ip for device in WORLD.devices}) == len(WORLD.devices)
    assert len({device.loopback for device in WORLD.devices}) == len(WORLD.devices)
    assert len({(device.address, device.port) for device in WORLD.devices}) == len(WORLD.devices)
    assert len({(user.device, user.user.tunnel_id) for user in WORLD.users}) == len(WORLD.users)
    # One pair shares a tunnel on purpose, and one client has two users.
    assert len({user.user.tunnel_net.address for user in WORLD.users}) == len(WORLD.users) - 1
    assert len({user.user.client_ip for user in WORLD.users}) == len(WORLD.users) - 1


def test_a_user_has_the_even_side_and_its_neighbor_the_odd_one() -> None:
    for user in WORLD.users:
        net = user.user.tunnel_net
        assert net.address >> 16 == (169 << 8) + 254
        assert net.address % 2 == 0
        assert int(user.peer_address.rpartition(".")[2]) % 2 == 1
        assert net.prefix_len == 31


def test_a_users_account_is_found_from_its_seeds() -> None:
    user = WORLD.users[0].user
    client = bytes(int(part) for part in user.client_ip.split("."))
    seeds = [b"doublezero", b"user", client, bytes([user.user_type])]
    assert Pubkey.find_program_address(seeds, PROGRAM_ID) == (user.pubkey, user.bump_seed)


def test_the_world_has_everything_that_a_fleet_can_have() -> None:
    assert len(WORLD.devices) == 8
    assert len(WORLD.users) == 74
    assert len(WORLD.publisher_names) == 3
    assert Counter(user.reason for user in WORLD.users) == {
        "changed": 19,
        "first-report": 11,
        "refresh": 9,
        "unchanged": 13,
        "absent": 2,
        "ambiguous": 2,
        "no-answer": 6,
        "suspect-device": 5,
        "not-activated": 7,
    }
    assert {user.layout for user in WORLD.users} == set(Layout)
    assert {user.vrf for user in WORLD.users} == {"default", "vrf1", "vrf2"}
    kinds = Counter(data[0] for data in WORLD.accounts().values())
    assert (kinds[AccountType.DEVICE], kinds[AccountType.USER], kinds[AccountType.TENANT]) == (8, 74, 2)
    assert kinds[AccountType.CONTRIBUTOR] == 3
    assert kinds[AccountType.LOCATION] == kinds[AccountType.EXCHANGE] == 8
    assert kinds[AccountType.ACCESS_PASS] > 0


def test_expected_holds_nobody_who_must_not_be_written() -> None:
    expected = WORLD.expected()
    assert len(expected) == 39
    unheard = {"tyo-dz-001", "sgp-dz-001"}
    for user in WORLD.users:
        if user.user.pubkey not in expected:
            continue
        status, rtt_ns = expected[user.user.pubkey]
        assert user.user.status is UserStatus.ACTIVATED
        assert user.device not in unheard
        assert status in {BgpStatus.UP, BgpStatus.DOWN}
        if status is BgpStatus.DOWN:
            assert rtt_ns == 0
            assert user.session is None or user.session.state != "Established"
        else:
            assert user.session is not None
            assert user.session.state == "Established"
            assert rtt_ns == (user.session.rtt_us or 0) * 1_000


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_each_reason_fits_what_the_account_says(seed: int) -> None:
    world = World.build(seed)
    for spec in world.users:
        user = spec.user
        age = world.now_slot - user.last_bgp_reported_at
        never = user.bgp_status is BgpStatus.UNKNOWN
        assert never == (user.last_bgp_reported_at == 0)
        assert never or age < 20_000 < REFRESH_SLOTS or REFRESH_SLOTS < 70_000 <= age
        match spec.reason:
            case "first-report":
                assert never
            case "changed":
                assert not never
                assert spec.expect is not user.bgp_status
            case "refresh":
                assert age > REFRESH_SLOTS
                assert spec.expect is user.bgp_status
            case "unchanged":
                assert age < REFRESH_SLOTS
            case "absent":
                assert spec.session is None
                assert user.bgp_status is not BgpStatus.UP
            case "not-activated":
                assert user.status is not UserStatus.ACTIVATED
        if spec.layout < Layout.WITHOUT_RTT:
            assert never


def test_no_more_users_go_down_at_once_than_a_guard_lets_through() -> None:
    drained = {d.code for d in WORLD.devices if d.device.status is DeviceStatus.DRAINED}
    falling = [
        user
        for user in WORLD.users
        if user.expect is BgpStatus.DOWN
        and user.user.bgp_status is BgpStatus.UP
        and user.device not in drained
    ]
    assert len(drained) == 1
    assert len(falling) < 10


def test_the_devices_carry_the_sessions_and_faults_of_the_story() -> None:
    devices = {device.code: device for device in WORLD.eos_devices()}
    assert {code: d.fault.kind for code, d in devices.items() if d.fault} == {
        "tyo-dz-001": DeviceFault.NO_ANSWER,
        "sgp-dz-001": DeviceFault.EMPTY,
    }
    for spec in WORLD.devices:
        device = devices[spec.code]
        assert device.router_id == spec.device.public_ip
        users = [u for u in WORLD.users if u.device == spec.code and u.session is not None]
        ibgp = [peer for peer in device.peers if peer.asn == 65342]
        assert len(ibgp) == 7
        assert {peer.vrf for peer in ibgp} == {"default"}
        assert len(device.peers) == len(users) + len(ibgp)
    user = WORLD.user("ams-dz-001", 515)
    shut = devices["ams-dz-001"].peer(user.peer_address)
    assert (shut.state, shut.idle_reason, shut.description) == ("Idle", ADMIN_DOWN, "USER-515")
    assert (shut.asn, shut.interface, shut.vrf) == (65000, "Tunnel515", "vrf1")
    assert all(peer.idle_reason == ADMIN_DOWN for peer in devices["lon-dz-001"].peers if peer.asn == 65000)
    assert {u.vrf for u in WORLD.users if u.user.user_type is UserType.MULTICAST} == {"default"}


def test_the_inventory_of_the_checkout_describes_the_world(tmp_path: Path) -> None:
    write_inventory(tmp_path, WORLD)
    for name in ("hosts.yaml", "groups.yaml", "defaults.yaml"):
        assert load(CHECKOUT / "inventory" / name) == load(tmp_path / name), name
    written, kept = load(tmp_path / "config.yaml"), load(CHECKOUT / "inventory" / "config.yaml")
    assert kept["inventory"].pop("options") == {
        name: str(Path("inventory") / Path(path).name)
        for name, path in written["inventory"].pop("options").items()
    }
    assert kept == written


def test_nornir_loads_the_inventory_from_the_root_of_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CHECKOUT)
    nornir = InitNornir(config_file="inventory/config.yaml")
    found = {}
    for name, host in nornir.inventory.hosts.items():
        options = host.get_connection_parameters("napalm")
        assert options.platform == "eos"
        assert (options.username, options.password) == (LAB_USERNAME, LAB_PASSWORD)
        assert options.extras is not None
        assert options.extras["timeout"] <= 5
        found[name] = (options.hostname, options.port)
    assert found == {device.host: (device.address, device.port) for device in WORLD.devices}


def test_each_way_of_matching_a_host_is_used() -> None:
    assert {device.matched_by for device in WORLD.devices} == {"name", "code", "pubkey", "public_ip"}


def test_an_inventory_is_not_written_before_the_ports_are_known(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ams-dz-001"):
        write_inventory(tmp_path, World.build(addresses=elsewhere()))


def three_on_one_address(nornir: Nornir, *, own_options: bool) -> dict[str, str]:
    """Ask the three hosts of one group, one after the other, and return the router-id of vrf1 by host."""
    hosts = nornir.filter(filter_func=lambda host: host["contributor"] == "tidewater")
    if own_options:
        for host in hosts.inventory.hosts.values():
            options = host.get_connection_parameters("napalm")
            host.connection_options["napalm"] = copy.deepcopy(options)
    answers = hosts.with_runner(_Serial()).run(napalm_get, getters=["bgp_neighbors"])
    return {name: result[0].result["bgp_neighbors"]["vrf1"]["router_id"] for name, result in answers.items()}


class _Serial:
    """Asks the hosts in their order, so that what leaks leaks from the first."""

    def run(self, task: Any, hosts: Any) -> Any:
        return SerialRunner().run(task, sorted(hosts, key=lambda host: str(host.name)))


@pytest.mark.parametrize("own_options", [True, False])
def test_three_hosts_of_one_group_are_a_trap_unless_each_has_options_of_its_own(
    tmp_path: Path, own_options: bool
) -> None:
    world = World.build(addresses=elsewhere())
    with EosFleet.start(world.eos_devices()) as fleet:
        config = write_inventory(tmp_path, world.relocated(fleet.addresses))
        answers = three_on_one_address(InitNornir(config_file=str(config)), own_options=own_options)
    right = {d.host: d.device.public_ip for d in world.devices if d.contributor == "tidewater"}
    if own_options:
        assert answers == right
    else:
        assert len(set(answers.values())) == 1


def test_the_whole_world_can_be_read_through_nornir(tmp_path: Path) -> None:
    world = World.build(addresses=elsewhere())
    with EosFleet.start(world.eos_devices()) as fleet:
        config = write_inventory(tmp_path, world.relocated(fleet.addresses))
        nornir = InitNornir(config_file=str(config))
        for host in nornir.inventory.hosts.values():
            options = copy.deepcopy(host.get_connection_parameters("napalm"))
            options.extras = {**(options.extras or {}), "timeout": 1}
            host.connection_options["napalm"] = options
        answers = nornir.run(napalm_get, getters=["bgp_neighbors"])
    codes = {device.host: device.code for device in world.devices}
    assert {codes[host] for host in answers.failed_hosts} == {"tyo-dz-001"}
    seen = {
        (codes[host], address): peer["is_up"]
        for host, result in answers.items()
        if host not in answers.failed_hosts
        for vrf in result[0].result["bgp_neighbors"].values()
        for address, peer in vrf["peers"].items()
        if peer["remote_as"] == 65000
    }
    assert seen == {
        (user.device, user.peer_address): user.session.state == "Established"
        for user in world.users
        if user.session is not None and user.device not in {"tyo-dz-001", "sgp-dz-001"}
    }


def test_a_big_world_has_the_share_of_news_that_was_asked_for() -> None:
    world = big_world(20, 64, changed=0.1)
    assert len(world.users) == 1_280
    assert len(world.expected()) == 128
    assert len({user.user.pubkey for user in world.users}) == 1_280
    assert Counter(user.reason for user in world.users) == {
        "unchanged": 1_152,
        "changed": 64,
        "first-report": 32,
        "refresh": 32,
    }
    assert {device.fault for device in world.devices} == {None}
    assert world == big_world(20, 64, changed=0.1)
    assert not big_world(2, 8, changed=0).expected()
    assert len(big_world(2, 8, changed=1).expected()) == 16


def test_a_world_larger_than_its_address_ranges_is_refused() -> None:
    with pytest.raises(ValueError, match="262144"):
        big_world(1_000, 263)
