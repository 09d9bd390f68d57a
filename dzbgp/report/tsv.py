"""The report for pipes: a tab-separated line a user."""

from dzbgp.console.tsv import tsv
from dzbgp.models.json_schema import user_object
from dzbgp.models.report import Report
from dzbgp.report.digest import is_worth_showing


def render(report: Report, *, show_all: bool = False) -> str:
    """Return a line for each user with an action or an unknown state, with `show_all` for every user.

    The fields are those of the JSON report's `users`, in their order; new ones are added at the end.
    """
    return tsv(
        list(user_object(decision, report.submission_of(decision)).values())
        for decision in report.decisions
        if show_all or is_worth_showing(decision)
    )
