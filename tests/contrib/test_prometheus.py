import re
from typing import Any

import pytest
import ruamel.yaml
from metrics_lab import CONTRIB, METRIC, exported_names, lab_run, promtool

RULES = CONTRIB / "prometheus" / "dzbgp.rules.yaml"
RULE_TESTS = CONTRIB / "prometheus" / "dzbgp.rules.test.yaml"


def load(path: Any) -> Any:
    return ruamel.yaml.YAML(typ="safe").load(path.read_text(encoding="utf-8"))


def alerts() -> list[dict[str, Any]]:
    return [rule for group in load(RULES)["groups"] for rule in group["rules"]]


def test_promtool_finds_no_fault_in_the_exposition_of_a_real_run() -> None:
    checked = promtool("check", "metrics", stdin=lab_run().exposition)

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_promtool_accepts_the_alert_rules() -> None:
    checked = promtool("check", "rules", str(RULES))

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(alerts())} rules found" in checked.stdout


def test_every_alert_fires_when_it_should_and_only_then() -> None:
    tested = promtool("test", "rules", str(RULE_TESTS))

    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_is_quiet() -> None:
    cases = [case for test in load(RULE_TESTS)["tests"] for case in test["alert_rule_test"]]
    firing = {case["alertname"] for case in cases if case.get("exp_alerts")}
    quiet = {case["alertname"] for case in cases if not case.get("exp_alerts")}

    assert firing == quiet == {alert["alert"] for alert in alerts()}


def test_a_threshold_moved_makes_the_rule_tests_fail(tmp_path: Any) -> None:
    text = RULES.read_text(encoding="utf-8")
    (tmp_path / RULE_TESTS.name).write_text(RULE_TESTS.read_text(encoding="utf-8"), encoding="utf-8")
    for before, after in (
        ("sol < 0.5", "sol < 0.1"),
        ("== 0", "== 2"),
        ("_held[5m]) > 0", "_held[5m]) > 99"),
    ):
        assert before in text
        (tmp_path / RULES.name).write_text(text.replace(before, after), encoding="utf-8")

        assert promtool("test", "rules", str(tmp_path / RULE_TESTS.name)).returncode == 1


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_an_alert_waits_and_says_how_bad_it_is_and_what_to_do(alert: dict[str, Any]) -> None:
    assert re.fullmatch(r"\d+m", alert["for"])
    assert alert["labels"]["severity"] in {"warning", "critical"}
    assert set(alert["annotations"]) == {"summary", "description", "runbook"}
    assert alert["annotations"]["runbook"].endswith(".")


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_an_alert_uses_only_metrics_that_a_real_run_exports(alert: dict[str, Any]) -> None:
    used = set(METRIC.findall(alert["expr"]))

    assert used
    assert used <= exported_names()


def test_no_alert_rests_on_a_counter_which_means_nothing_across_runs_of_cron() -> None:
    assert not [
        alert["alert"] for alert in alerts() if re.search(r"_total|_bucket|rate\(|increase\(", alert["expr"])
    ]
