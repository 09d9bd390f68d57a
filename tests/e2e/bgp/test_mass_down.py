"""Many users of one switch lose their sessions at once: the guard holds, and --force writes."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from bgp_lab import FIRST, BgpLab, started_lab, started_switches, user_row

from dzbgp.models.ledger import BgpStatus

USERS = range(500, 564)
KILLED = USERS[:22]
"""A third of them, and so more than the 30 % that pass."""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[BgpLab]:
    users = [
        user_row(FIRST, tunnel, tenant="meridian" if tunnel % 4 == 1 else "", multicast=tunnel % 8 == 0)
        for tunnel in USERS
    ]
    with started_switches([FIRST], users) as switches, started_lab(tmp_path, switches) as running:
        yield running


def test_the_guard_holds_the_downs_of_a_third_of_64_users_and_force_writes_them(lab: BgpLab) -> None:
    first = lab.run()
    assert first.code == 0, first.err
    assert Counter(lab.statuses().values()) == {BgpStatus.UP: 64}
    before = lab.accounts()

    peers = [lab.peer(tunnel) for tunnel in KILLED]
    lab.switch().kill(*peers)
    lab.switch().down(*peers)
    held = lab.run("--confirm-down", "1s")
    assert held.code == 4, held.err
    assert held.report["summary"]["held"] == len(KILLED)
    assert {user["reason"] for user in held.report["users"] if user["action"] == "hold"} == {"guard"}
    assert lab.accounts() == before

    forced = lab.run("--force")
    assert forced.code == 0, forced.err
    assert {tunnel for tunnel, status in lab.statuses().items() if status is BgpStatus.DOWN} == set(KILLED)
    assert all(lab.account(tunnel).rtt_ns == 0 for tunnel in KILLED)
    untouched = {key: bgp for key, bgp in lab.accounts().items() if key[1] not in KILLED}
    assert untouched == {key: before[key] for key in untouched}
