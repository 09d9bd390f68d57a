"""The figures of a page are those that were measured."""

import pytest
from goals import Row, Table
from marks import NoMarksError, replaced

PAGE = """# Title

<!-- bench -->
| old |
| `start` | kept | 1 x | 2 x | met |
| `fetch` | old | 9 | 1 | met |
<!-- /bench -->

End.
"""
FETCH = Table(
    "Fetch",
    "here",
    [Row("no goal", "5"), Row("bytes", "3 MiB", "2 MiB", False), Row("time", "1 s", "2 s", True)],
)


def test_only_the_rows_of_what_was_measured_change_and_only_those_with_a_goal_are_shown() -> None:
    assert replaced(PAGE, {"fetch": FETCH}) == (
        "# Title\n\n<!-- bench -->\n"
        "| benchmark | figure | measured | goal | |\n"
        "|---|---|---|---|---|\n"
        "| `fetch` | bytes | 3 MiB | 2 MiB | **missed** |\n"
        "| `fetch` | time | 1 s | 2 s | met |\n"
        "| `start` | kept | 1 x | 2 x | met |\n"
        "<!-- /bench -->\n\nEnd.\n"
    )


def test_a_page_that_is_up_to_date_stays_as_it_is() -> None:
    once = replaced(PAGE, {"fetch": FETCH})
    assert replaced(once, {"fetch": FETCH}) == once


@pytest.mark.parametrize("page", ["no marks", "<!-- /bench --> <!-- bench -->", "<!-- bench -->"])
def test_a_page_without_marks_is_left_alone(page: str) -> None:
    with pytest.raises(NoMarksError):
        replaced(page, {"fetch": FETCH})
