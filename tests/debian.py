"""The Debian packages that some tests need. `python3 tests/debian.py` prints those that are missing."""

import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterable

PROGRAMS = {
    "bird2": ("bird",),  # the users of the tests on real BGP
    "chromium": ("chromium",),  # looks at the HTML report
    "clang": ("clang",),  # version 14 rebuilds the lab's program byte for byte
    "frr": ("vtysh", "/usr/lib/frr/zebra", "/usr/lib/frr/bgpd"),  # the switch of the tests on real BGP
    "iproute2": ("ip", "ss"),
    "prometheus": ("promtool",),  # checks metrics and alert rules
    "systemd": ("systemd-analyze",),  # checks the units
}
"""Package: the programs that the tests start from it."""


def missing(packages: Iterable[str] = PROGRAMS) -> list[str]:
    """Return the packages of which a program is not installed."""
    return [name for name in packages if not all(map(shutil.which, PROGRAMS[name]))]


def require(package: str) -> None:
    """Skip the test without the package; fail it where every test must run (CI=true)."""
    import pytest  # noqa: PLC0415 - CI asks for the packages before anything is installed

    if missing([package]):
        reason = f"it needs {', '.join(PROGRAMS[package])} (apt-get install {package})"
        if os.environ.get("CI", "").lower() in {"1", "true"}:
            pytest.fail(reason)
        pytest.skip(reason)


def line(reasons: Iterable[str]) -> str:
    """Return one line about the tests that were skipped because packages are missing, or an empty text."""
    found = Counter(
        match[1] for reason in reasons if (match := re.search(r"apt-get install ([\w ]+)", reason))
    )
    if not found:
        return ""
    packages = sorted({name for names in found for name in names.split()})
    return f"{found.total()} tests skipped without Debian packages: apt-get install {' '.join(packages)}"


if __name__ == "__main__":
    sys.stdout.write(" ".join(missing()) + "\n")
    sys.exit(bool(missing()))
