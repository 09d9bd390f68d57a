import json

from report_builders import key, mixed, report

from dzbgp.report import json as json_report
from dzbgp.report.tsv import render


def test_each_user_with_an_action_or_an_unknown_state_is_a_line_with_the_fields_of_the_json() -> None:
    what = mixed(dry_run=False)
    users = {user["user"]: user for user in json.loads(json_report.render(what))["users"]}
    rows = [line.split("\t") for line in render(what).splitlines()]
    assert {row[0] for row in rows} == {
        name for name, user in users.items() if user["action"] != "skip" or user["observed"] == "unknown"
    }
    for row in rows:
        assert row == ["" if value is None else str(value) for value in users[row[0]].values()]


def test_with_all_every_user_is_a_line() -> None:
    assert str(key("user 30")) not in render(mixed(dry_run=True))
    assert len(render(mixed(dry_run=True), show_all=True).splitlines()) == 13


def test_nothing_to_tell_is_nothing() -> None:
    assert render(report()) == ""
