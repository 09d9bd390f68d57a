import json
import re
from itertools import combinations
from typing import Any

import pytest
from metrics_lab import CONTRIB, METRIC, exported_names, lab_run
from prometheus_client.parser import text_string_to_metric_families

DASHBOARD: dict[str, Any] = json.loads((CONTRIB / "grafana" / "dzbgp.json").read_text(encoding="utf-8"))
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def exprs() -> list[str]:
    return [target["expr"] for panel in PANELS for target in panel["targets"]]


def test_every_expression_uses_only_metrics_that_a_real_run_exports() -> None:
    for expr in exprs():
        used = set(METRIC.findall(expr))
        assert used, expr
        assert used <= exported_names(), expr


def test_every_label_that_is_grouped_by_or_matched_is_one_that_its_metric_has() -> None:
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(lab_run().exposition):
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    # No sample before the first retry, and the only use of it is its sum.
    labels.setdefault("dzbgp_rpc_retries_total", {"method"})
    for expr in exprs():
        wanted = {word for group in re.findall(r"by \(([^)]*)\)", expr) for word in re.split(r",\s*", group)}
        wanted |= set(re.findall(r"(\w+)(?:=~|!=|=)\"", expr))
        known = set[str]().union(*(labels[name] for name in METRIC.findall(expr)))
        assert wanted <= known | {"instance"}, expr


def test_every_metric_but_those_for_alerts_or_details_is_on_the_dashboard() -> None:
    shown = {name for expr in exprs() for name in METRIC.findall(expr)}
    families = set(re.findall(r"^# TYPE (\S+)", lab_run().exposition, flags=re.MULTILINE))
    left_out = {name for name in families if not any(used.startswith(name) for used in shown)}

    assert left_out == {
        "dzbgp_build_info",
        "dzbgp_device_up",
        "dzbgp_last_complete_pass_timestamp_seconds",
        "dzbgp_passes_total",
        "dzbgp_transactions_total",
    }


def test_panels_have_ids_of_their_own() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]

    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_has_a_title_a_description_a_unit_and_the_chosen_data_source(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == DATASOURCE
    assert all(target["datasource"] == DATASOURCE and target["legendFormat"] for target in panel["targets"])
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_titles_are_said_once() -> None:
    titles = [panel["title"] for panel in PANELS]

    assert len(titles) == len(set(titles))


def test_the_data_source_and_the_instance_are_chosen_on_the_dashboard() -> None:
    chosen = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}

    assert chosen["datasource"]["type"] == "datasource"
    assert chosen["datasource"]["query"] == "prometheus"
    assert chosen["instance"]["datasource"] == DATASOURCE
    assert set(METRIC.findall(chosen["instance"]["query"]["query"])) <= exported_names()
    assert all('instance=~"$instance"' in expr for expr in exprs())


def test_no_panel_lies_over_another() -> None:
    for one, other in combinations([panel["gridPos"] for panel in DASHBOARD["panels"]], 2):
        apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_x or apart_y, (one, other)
        assert one["x"] + one["w"] <= 24
