"""What an explanation tells people to do."""

import pytest
from core_builders import make_device, make_user

from dzbgp.decision.policy import Clock, decide
from dzbgp.decision.rules import Rules
from dzbgp.diagnostics.audit.findings import Finding, FindingKind
from dzbgp.diagnostics.explain.remedies import remedies
from dzbgp.models.session import Observation, Observed

USER = make_user(tunnel_id=507)
ABSENT = decide(
    Observation(USER, make_device(), "ams-1", Observed.ABSENT, why="no neighbor"), Clock(1, 0.4), Rules()
)


def steps(*kinds: FindingKind) -> list[str]:
    return list(remedies(USER, ABSENT, [Finding(kind, str(USER.pubkey), "ams-1", "") for kind in kinds]))


@pytest.mark.parametrize(
    "kinds", [(), (FindingKind.NEVER_UP,), (FindingKind.DOWN_LONG,), (FindingKind.STALE_REPORT,)]
)
def test_how_old_its_report_is_does_not_explain_why_a_device_has_no_neighbor(
    kinds: tuple[FindingKind, ...],
) -> None:
    assert any("`show running-config section USER-507`" in step for step in steps(*kinds))


@pytest.mark.parametrize(
    "kind", [FindingKind.NOT_RENDERED, FindingKind.DUPLICATE_TUNNEL_ID, FindingKind.TUNNEL_OVERLAP]
)
def test_what_keeps_the_controller_from_configuring_a_neighbor_comes_alone(kind: FindingKind) -> None:
    (step,) = steps(kind)
    assert "USER-507" not in step
