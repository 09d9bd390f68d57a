"""Where real BGP can't be had its tests are skipped with a message; in CI they fail."""

import os

import pytest
import sandbox
from bgp_lab import require_real_bgp


def test_without_root_they_are_skipped_with_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="needs root"):
        require_real_bgp()


@pytest.mark.parametrize("ci", ["true", "1"])
def test_in_ci_they_fail_instead(monkeypatch: pytest.MonkeyPatch, ci: str) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("CI", ci)
    with pytest.raises(pytest.fail.Exception, match="needs root"):
        require_real_bgp()


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(sandbox, "NEEDED", ("sh", "no-such-tool"))
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"no-such-tool \(apt-get install frr bird2 iproute2\)"):
        require_real_bgp()
