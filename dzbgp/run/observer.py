"""The events of a watch's passes."""

from dzbgp.errors import ExitCode
from dzbgp.models.report import Report


class Observer:
    """Does nothing with it; the metrics of a service do (run/service.py)."""

    def passed(self, report: Report, result: ExitCode) -> None:
        """Take in a pass that came to a report."""

    def failed(self, error: BaseException, duration_s: float) -> None:
        """Take in a pass that failed as a whole."""
