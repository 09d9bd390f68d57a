from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from check_lab import TIMEOUT_S, Checked, check, pointed
from e2e_lab import E2eLab, started_lab

from dzbgp.diagnostics.check import ledger
from dzbgp.ledger.rpc.retry import RetryBudget

Check = Callable[..., Checked]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[E2eLab]:
    with started_lab(tmp_path_factory.mktemp("lab"), timeout_s=TIMEOUT_S) as running:
        yield running


@pytest.fixture
def lab(world: E2eLab, monkeypatch: pytest.MonkeyPatch) -> Iterator[E2eLab]:
    """A lab in which all is well."""
    monkeypatch.setattr(
        ledger, "_BUDGET", RetryBudget(attempts=2, base_s=0.01, request_s=1.0, deadline_s=3.0)
    )
    for spec in world.world.devices:
        world.fleet.set_fault(spec.code, None)
    yield world
    world.ledger.clear_faults()


@pytest.fixture
def checked(lab: E2eLab, tmp_path: Path) -> Check:
    """Checks everything; without further options all is well."""
    return lambda *args, **more: check(*pointed(lab, tmp_path / "state" / "dzbgp.sqlite"), *args, **more)
