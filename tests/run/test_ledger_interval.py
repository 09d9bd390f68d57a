"""How often a watch asks the ledger, as the lab's ledger counts it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from watch_lab import DEADLINE_S, WatchLab, watch_lab

from dzbgp.errors import ExitCode
from dzbgp.lab.solana.faults import FaultKind
from dzbgp.ledger.program.cache import TTL_S
from dzbgp.metrics.health import Health
from dzbgp.metrics.registry import Metrics
from dzbgp.models.ledger import BgpStatus
from dzbgp.run import service
from dzbgp.run.request import RunRequest, WatchRequest
from dzbgp.run.setup import choose_contributors, data_good_s
from dzbgp.run.watch import Watch, WatchOptions
from dzbgp.state.memory import Memory

FOREVER_S = 1e6


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[WatchLab]:
    with watch_lab(tmp_path, data_good_s=FOREVER_S) as running:
        yield running


def asked(lab: WatchLab) -> int:
    return sum(lab.ledger.stats().requests.values())


def readings(lab: WatchLab) -> int:
    return lab.ledger.stats().requests.get("getProgramAccounts", 0)


def passed(watch: Watch, count: int = 1) -> None:
    """Do passes, each with its writes."""
    for _ in range(count):
        watch._pass()
        assert watch._worker.wait_idle(DEADLINE_S)


def leave(lab: WatchLab, number: int) -> bytes:
    """Let a user leave the ledger and its device; return its account."""
    spec = lab.spec(number)
    account = lab.ledger.account(spec.user.pubkey)
    assert account is not None
    lab.ledger.set_account(spec.user.pubkey, bytes([200]) + account[1:])
    lab.devices.remove_peer(spec.device, spec.eos_peer().address)
    return account


def become_old(lab: WatchLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what was read be older than what is believed when something is due."""
    fetcher = lab.session._fetcher
    monkeypatch.setattr(fetcher, "_fetched_at", fetcher._fetched_at - TTL_S)


def test_a_steady_pass_asks_the_ledger_nothing(lab: WatchLab) -> None:
    watch = lab.made()
    passed(watch)
    before = asked(lab)
    passed(watch, 5)
    assert asked(lab) == before
    assert {one.observation.user.pubkey for one in lab.told.reports[-1].decisions} == {
        spec.user.pubkey for spec in lab.world.users
    }
    watch._end()


def test_a_steady_pass_for_a_contributor_asks_the_ledger_nothing_either(tmp_path: Path) -> None:
    with watch_lab(tmp_path, devices=2, data_good_s=FOREVER_S) as lab:
        ours = lab.world.devices[0]
        setup = lab.load()
        choose_contributors(setup.fleet, RunRequest(contributor=(ours.contributor,)), lab.session)
        watch = Watch(lab.session, Memory(None, dry_run=False), lambda: setup, WatchOptions(), lab.told)
        passed(watch)
        before = asked(lab)
        passed(watch, 5)
        assert asked(lab) == before
        assert [one.host for one in lab.told.reports[-1].devices] == [ours.host]
        watch._end()


def test_a_neighbor_that_no_user_explains_makes_it_read_the_users_at_once(
    lab: WatchLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    account, spec = leave(lab, 0), lab.spec(0)
    watch = lab.made()
    passed(watch, 2)
    lab.ledger.set_account(spec.user.pubkey, account)
    lab.devices.add_peer(spec.device, spec.eos_peer())
    become_old(lab, monkeypatch)
    passed(watch)
    found = {one.user: one.reason for one in lab.told.reports[-1].decisions}
    assert found[spec.user.pubkey] == "unchanged"
    watch._end()


def test_a_neighbor_of_nobody_is_asked_about_once(lab: WatchLab, monkeypatch: pytest.MonkeyPatch) -> None:
    account, spec = leave(lab, 0), lab.spec(0)
    watch = lab.made()
    passed(watch)
    lab.devices.add_peer(spec.device, spec.eos_peer())
    become_old(lab, monkeypatch)
    passed(watch)
    assert readings(lab) == 6
    become_old(lab, monkeypatch)
    passed(watch, 3)
    assert readings(lab) == 6
    # It goes and comes back, which may be another one.
    lab.devices.remove_peer(spec.device, spec.eos_peer().address)
    passed(watch)
    lab.devices.add_peer(spec.device, spec.eos_peer())
    lab.ledger.set_account(spec.user.pubkey, account)
    passed(watch)
    assert spec.user.pubkey in {one.user for one in lab.told.reports[-1].decisions}
    watch._end()


def test_a_neighbor_that_came_while_the_users_were_just_read_is_not_forgotten(
    lab: WatchLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    account, spec = leave(lab, 0), lab.spec(0)
    watch = lab.made()
    passed(watch)
    lab.ledger.set_account(spec.user.pubkey, account)
    lab.devices.add_peer(spec.device, spec.eos_peer())
    passed(watch)
    assert readings(lab) == 3, "not more often than every TTL_S"
    become_old(lab, monkeypatch)
    passed(watch)
    assert spec.user.pubkey in {one.user for one in lab.told.reports[-1].decisions}
    watch._end()


def test_what_is_due_is_decided_by_users_as_they_are_now(
    lab: WatchLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = lab.made()
    passed(watch)
    gone = [spec.user.pubkey for spec in lab.world.users[:3]]
    for number in range(3):
        leave(lab, number)
    become_old(lab, monkeypatch)
    passed(watch)
    assert not {one.user for one in lab.told.reports[-1].decisions} & set(gone)
    assert "simulateTransaction" not in lab.ledger.stats().requests
    watch._end()


def test_after_a_write_and_after_one_that_failed_the_users_are_read_anew(lab: WatchLab) -> None:
    watch = lab.made()
    passed(watch)
    lab.put(0, up=False)
    passed(watch)
    before = readings(lab)
    passed(watch)
    assert readings(lab) == before + 3
    lab.inject(FaultKind.HTTP_STATUS, method="getLatestBlockhash", times=None)
    lab.put(0, up=True)
    passed(watch)
    assert lab.says(0, BgpStatus.DOWN)
    before = readings(lab)
    passed(watch)
    assert readings(lab) == before + 3
    watch._end()


def test_data_of_a_ledger_that_is_not_believed_is_soon_read_again(
    lab: WatchLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lab.session._client.credibility, "max_lag_s", -1.0)
    watch = lab.made()
    passed(watch)
    assert lab.session.program_data().doubt
    monkeypatch.undo()
    become_old(lab, monkeypatch)
    assert not lab.session.program_data().doubt
    watch._end()


def test_a_reload_reads_the_users_again(lab: WatchLab) -> None:
    watch = lab.made()
    passed(watch)
    watch._load_anew()
    passed(watch)
    assert readings(lab) == 6
    watch._end()


@given(interval_s=st.floats(0.1, 300), ledger_interval_s=st.floats(0, 300), first_s=st.floats(0, 1))
def test_data_of_a_pass_is_never_older_than_the_ledger_interval(
    interval_s: float, ledger_interval_s: float, first_s: float
) -> None:
    good_s = data_good_s(WatchRequest(interval_s=interval_s, ledger_interval_s=ledger_interval_s))
    read_at = first_s
    for number in range(1, 50):
        at = first_s + number * interval_s
        if at - read_at >= good_s:
            # Whoever came after the last reading has waited no longer than this, or than one pass.
            assert at - read_at <= max(ledger_interval_s, interval_s) + 1e-6
            read_at = at


def test_one_run_uses_what_it_reads_as_upstream_does() -> None:
    assert data_good_s(RunRequest()) == TTL_S


def test_balances_are_asked_on_the_ledgers_schedule_and_after_a_write(
    lab: WatchLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[Any] = []
    monkeypatch.setattr(service, "measure_balances", lambda *_: counted.append(1))
    watch = lab.made()
    passed(watch)
    report = lab.told.reports[-1]
    measure = service._Measure(Metrics(), lab.session, FOREVER_S, Health(FOREVER_S))
    for _ in range(3):
        measure.passed(report, ExitCode.OK)
    assert len(counted) == 1
    lab.put(0, up=False)
    passed(watch, 2)
    assert lab.told.reports[-1].submissions
    measure.passed(lab.told.reports[-1], ExitCode.OK)
    assert len(counted) == 2
    watch._end()
