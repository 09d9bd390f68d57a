"""What is said about missing Debian packages, and when their tests fail."""

import debian
import pytest

ABSENT = {"nothing": ("no-such-program",), "shell": ("/bin/sh",)}


def test_a_package_is_missing_if_one_of_its_programs_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian, "PROGRAMS", ABSENT)
    assert debian.missing(ABSENT) == ["nothing"]


def test_without_the_package_a_test_is_skipped_and_in_ci_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian, "PROGRAMS", ABSENT)
    debian.require("shell")
    monkeypatch.setenv("CI", "")
    with pytest.raises(pytest.skip.Exception, match=r"no-such-program \(apt-get install nothing\)"):
        debian.require("nothing")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception):
        debian.require("nothing")


def test_one_line_names_all_packages_and_counts_the_tests() -> None:
    reasons = [
        "it needs bird (apt-get install frr bird2)",
        "x (apt-get install frr bird2)",
        "y (apt-get install clang)",
        "z",
    ]
    assert debian.line(reasons) == "3 tests skipped without Debian packages: apt-get install bird2 clang frr"
    assert debian.line(["needs root"]) == ""
