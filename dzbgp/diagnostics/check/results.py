"""The results of a check: one for each thing that a run needs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from dzbgp.errors import ExitCode, first_of


class Verdict(StrEnum):
    """FAIL: this part is skipped, or the run cannot start. WARNING: the run continues; a person should check it."""

    OK = "ok"
    WARNING = "warning"
    FAIL = "fail"


class CheckSection(StrEnum):
    """The part of a run that a result is about, in the order in which a run needs them."""

    INVENTORY = "inventory"
    LEDGER = "ledger"
    KEYS = "keys"
    STATE = "state"
    DEVICES = "devices"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one test. `hint`: what to do about it, in one sentence; empty if it is ok."""

    section: CheckSection
    subject: str
    """What was tested: a host, an RPC, a publisher's key, a file."""
    check: str
    """What about it, in one word."""
    verdict: Verdict
    detail: str
    hint: str = ""
    code: ExitCode = ExitCode.OK
    """The exit code that it leads to; OK unless the verdict is FAIL."""


class CheckResults:
    """Collects the results of one section."""

    def __init__(self, section: CheckSection) -> None:
        self._section = section
        self._results: list[CheckResult] = []

    def __iter__(self) -> Iterator[CheckResult]:
        return iter(self._results)

    def ok(self, subject: str, check: str, detail: str) -> None:
        """Add a test that passed."""
        self._results.append(CheckResult(self._section, subject, check, Verdict.OK, detail))

    def warn(self, subject: str, check: str, detail: str, hint: str) -> None:
        """Add a problem that does not stop a run."""
        self._results.append(CheckResult(self._section, subject, check, Verdict.WARNING, detail, hint))

    def fail(self, subject: str, check: str, detail: str, hint: str, code: ExitCode) -> None:
        """Add a failure."""
        self._results.append(CheckResult(self._section, subject, check, Verdict.FAIL, detail, hint, code))


@dataclass(frozen=True, slots=True)
class CheckReport:
    """All results, in the order of their sections."""

    env: str
    program_id: str
    checked_at: datetime
    duration_s: float
    results: Sequence[CheckResult]

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of the contract."""
        return first_of(item.code for item in self.results)

    @property
    def verdict(self) -> Verdict:
        """The worst verdict."""
        found = {item.verdict for item in self.results}
        return next((one for one in (Verdict.FAIL, Verdict.WARNING) if one in found), Verdict.OK)

    def count(self, verdict: Verdict) -> int:
        """Return the number of results with this verdict."""
        return sum(item.verdict is verdict for item in self.results)
