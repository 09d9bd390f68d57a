"""What a check finds: one line for each thing that a run needs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from dzbgp.errors import ExitCode


class Verdict(StrEnum):
    """How a thing is. FAIL: a run does without it or not at all; WARNING: it goes on, somebody should look."""

    OK = "ok"
    WARNING = "warning"
    FAIL = "fail"


class Section(StrEnum):
    """What a finding is about, in the order in which a run comes to need it."""

    INVENTORY = "inventory"
    LEDGER = "ledger"
    KEYS = "keys"
    STATE = "state"
    DEVICES = "devices"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `hint`: what to do about it, one sentence; empty when it is well."""

    section: Section
    subject: str
    """What was looked at: a host, an RPC, a publisher's key, a file."""
    check: str
    """What about it, one word."""
    verdict: Verdict
    detail: str
    hint: str = ""
    code: ExitCode = ExitCode.OK
    """What it makes of the exit code; OK unless the verdict is FAIL."""


class Findings:
    """Collects the findings of one section."""

    def __init__(self, section: Section) -> None:
        self._section = section
        self._found: list[Finding] = []

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._found)

    def ok(self, subject: str, check: str, detail: str) -> None:
        """Notes what is well."""
        self._found.append(Finding(self._section, subject, check, Verdict.OK, detail))

    def warn(self, subject: str, check: str, detail: str, hint: str) -> None:
        """Notes what a run goes on with."""
        self._found.append(Finding(self._section, subject, check, Verdict.WARNING, detail, hint))

    def fail(self, subject: str, check: str, detail: str, hint: str, code: ExitCode) -> None:
        """Notes what fails."""
        self._found.append(Finding(self._section, subject, check, Verdict.FAIL, detail, hint, code))


@dataclass(frozen=True, slots=True)
class CheckReport:
    """All findings, in the order of their sections."""

    env: str
    program_id: str
    checked_at: datetime
    duration_s: float
    findings: Sequence[Finding]

    @property
    def exit_code(self) -> ExitCode:
        """The one of the contract: where several hold, the lowest other than OK."""
        return min((item.code for item in self.findings if item.code), default=ExitCode.OK)

    @property
    def verdict(self) -> Verdict:
        """The worst verdict."""
        found = {item.verdict for item in self.findings}
        return next((one for one in (Verdict.FAIL, Verdict.WARNING) if one in found), Verdict.OK)

    def count(self, verdict: Verdict) -> int:
        """Gives how many findings are so."""
        return sum(item.verdict is verdict for item in self.findings)
