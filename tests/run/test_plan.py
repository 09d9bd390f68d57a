"""What a pass says beside its decisions: its notes, the accounts that it could not read, and what counts as left."""

from pathlib import Path

import pytest
from core_builders import key
from small_world import DOWN, LOSE, PROGRAM, UP, Passes, SmallWorld

from dzbgp.metrics.gauges import PassGauges
from dzbgp.models.exit import ExitReason, exit_code_of, exit_reasons
from dzbgp.models.ledger import SkippedAccount
from dzbgp.state.store import Store


def test_an_rpc_without_tls_on_another_host_is_a_note_of_the_report() -> None:
    report = Passes(SmallWorld()).run()
    (note,) = [note for note in report.notes if "is not encrypted" in note]
    assert note.startswith("RPC http://ledger is not encrypted: ")


@pytest.mark.parametrize("is_ours", [True, False])
def test_an_account_that_cannot_be_read_is_in_the_report_and_counts_where_its_device_is_of_this_inventory(
    *, is_ours: bool
) -> None:
    world = SmallWorld()
    device = world.device().pubkey if is_ours else key(99)
    world.skipped = (SkippedAccount(key(98), "user", "cut short", device),)
    report = Passes(world).run()
    assert report.skipped_accounts == world.skipped
    assert exit_code_of(report) == (3 if is_ours else 0)
    assert (ExitReason.ACCOUNTS_SKIPPED in exit_reasons(report)) is is_ours


def test_a_user_whose_vrf_or_tenant_is_not_known_is_in_the_report_and_makes_it_partial() -> None:
    world = SmallWorld(1, 2)
    world.goes_away(world.user(0).pubkey)
    world.change(world.user(0).pubkey, tenant_pk=key(97))
    passes = Passes(world)
    report = passes.run()
    assert [one.reason for one in report.decisions] == ["no-tenant", "unchanged"]
    assert exit_code_of(report) == 3
    world.change(world.user(0).pubkey, tenant_pk=world.user(1).tenant_pk)
    report = passes.run(missing_vrfs={"vrf1"})
    assert "no-vrf" in {one.reason for one in report.decisions}
    assert exit_code_of(report) == 3


def test_a_due_write_that_is_still_in_flight_makes_each_pass_partial() -> None:
    world = SmallWorld(1, 1, DOWN)
    world.goes_up()
    passes = Passes(world)
    passes.memory.submitting = frozenset({world.user().pubkey})
    for _ in range(2):
        report = passes.run(write_mode=LOSE)
        assert [(one.reason, one.status) for one in report.decisions] == [("in-flight", UP)]
        assert exit_code_of(report) == 3


def test_the_flaps_of_a_pass_are_those_of_its_own_users(tmp_path: Path) -> None:
    world = SmallWorld(2, 1)
    with Store.open(tmp_path / "state", PROGRAM, clock=lambda: world.now) as history:
        passes = Passes(world, history)
        passes.run()
        for turns in (world.goes_down, world.goes_up):
            world.wait(60)
            turns(*world.users)
            passes.run()
        report = passes.run(hosts=[world.device(0).pubkey])
    assert report.transitions == {world.user(0).pubkey: 2}
    assert PassGauges.of(report).flapping == 1
